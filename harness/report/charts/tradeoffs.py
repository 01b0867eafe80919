"""What quality takes: scores against seconds, operations and the generality that is kept, with the Pareto front."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from harness.report.charts.chart import Axis, Chart, Line, Panel, Point
from harness.report.charts.scores import score_axis, style, untrained_label
from harness.report.number_format import score, study_places
from harness.results.collect import Results
from harness.results.cost_table import total_costs
from harness.results.row_order import kept_split, tunings
from harness.tracking.schema import score_name

__all__ = ["Spot", "front", "tradeoffs"]

FAR = 12
"""How many times the least the most must be, for a logarithmic axis."""


class Spot(NamedTuple):
    """Where a cell lies."""

    take: float
    """What is on the axis across: a cost, or what is kept."""
    quality: float


def tradeoffs(results: Results) -> list[Chart]:
    """Return the charts that the store has data for; one needs two cells at least."""
    cells = results.cells
    seconds = {cell.id: cell.seconds for cell in cells}
    operations = {cell.id: total_costs([cell]).get("flops", math.nan) for cell in cells}
    kept = {cell.id: cell.generality_kept for cell in cells}
    charts = [
        _tradeoff("quality_seconds", "seconds, all runs of a cell", seconds, results),
        _tradeoff("quality_flops", "operations, all runs of a cell (FLOP)", operations, results),
        _tradeoff(
            "quality_generality", "generality kept (perplexity before / after)", kept, results, more_is_better=True
        ),
    ]
    return [chart for chart in charts if chart]


def front(spots: Mapping[str, Spot], *, more_is_better: bool, maximize: bool) -> list[str]:
    """Return the cells that no other cell beats in one respect without losing in the other.

    A cell is beaten by one that is at least as good in both respects and better in one (Pareto's order); of two cells
    at one spot neither beats the other. By the values as they are: that they are uncertain is for the reader to weigh.
    Cells with an undefined value are left out; names come in the order of `Spot.take`, ties in the order given.
    """
    across, up = (1.0 if more_is_better else -1.0), (1.0 if maximize else -1.0)
    merits = {
        name: (across * spot.take, up * spot.quality)
        for name, spot in spots.items()
        if math.isfinite(spot.take) and math.isfinite(spot.quality)
    }

    def is_beaten(merit: tuple[float, float]) -> bool:
        return any(other != merit and other[0] >= merit[0] and other[1] >= merit[1] for other in merits.values())

    best = [name for name, merit in merits.items() if not is_beaten(merit)]
    return sorted(best, key=lambda name: spots[name].take)


def _tradeoff(
    name: str, label: str, takes: Mapping[str, float], results: Results, *, more_is_better: bool = False
) -> Chart | None:
    split, decimals = kept_split(results), study_places(results)
    spots = {cell.id: Spot(takes[cell.id], cell.score(score_name(split, results.lead))) for cell in results.cells}
    spots = {cell: spot for cell, spot in spots.items() if all(map(math.isfinite, spot))}
    if len(spots) < 2:
        return None
    best = front(spots, more_is_better=more_is_better, maximize=results.maximize)
    words = ", ".join(f"{cell} ({spots[cell].take:.3g}; {score(spots[cell].quality, decimals)})" for cell in best)
    lines = (_steps([spots[cell] for cell in best], more_is_better), *_dots(spots, results))
    low, *_, high = sorted(spot.take for spot in spots.values())
    x = Axis(f"{label}, logarithmic", "log") if 0 < FAR * low < high else Axis(label)
    panel = Panel("", lines, f"{len(spots)} cells, a mark for each; Pareto front: {words}")
    return Chart(name, f"{results.lead} against {label}", x, score_axis(results.lead, split, results), (panel,))


def _steps(best: list[Spot], more_is_better: bool) -> Line:
    """Return the line that no cell lies beyond: quality stays what it is until the next cell of the front."""
    points = [Point(*best[0])]
    for before, spot in zip(best, best[1:], strict=False):
        corner = (before.take, spot.quality) if more_is_better else (spot.take, before.quality)
        points += [Point(*corner), Point(*spot)]
    return Line("Pareto front", -1, tuple(points), "steps")


def _dots(spots: Mapping[str, Spot], results: Results) -> list[Line]:
    lines = []
    for tuning in tunings(results):
        cells = [cell for cell in results.cells if cell.tuning == tuning and cell.id in spots]
        points = tuple(Point(*spots[cell.id], name=cell.id) for cell in cells)
        if points:
            label = untrained_label(cells) if tuning == "none" else tuning
            lines.append(Line(label, style(tuning, results), points, "dots"))
    return lines
