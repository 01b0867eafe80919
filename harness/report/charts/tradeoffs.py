"""What quality takes: scores against seconds, operations and the generality that is kept, with the Pareto front."""

from __future__ import annotations

import math
from typing import NamedTuple

from harness.report.charts.chart import Axis, Chart, Line, Panel, Point
from harness.report.charts.pareto import Spot, front
from harness.report.charts.scores import ZERO_SHOT, score_axis, style
from harness.report.number_format import score, study_places
from harness.report.ranked_table import generality_kept
from harness.results.collect import Results
from harness.results.row_order import kept_split, tunings
from harness.tracking.schema import score_name

__all__ = ["Tradeoff", "tradeoffs"]

FAR = 12
"""How many times the least the most must be, for a logarithmic axis."""


class Tradeoff(NamedTuple):
    """A chart, and its front in words."""

    chart: Chart
    front: str
    """The cells of the front with what they take, cheapest first."""


class _Side(NamedTuple):
    """What quality is held against."""

    name: str
    label: str
    more_is_better: bool
    values: dict[str, float]


def tradeoffs(results: Results) -> list[Tradeoff]:
    """Return the charts that the store has data for; one needs two cells at least."""
    sides = [
        _Side("quality_seconds", "seconds, all runs of a cell", False, {c.id: c.seconds for c in results.cells}),
        _Side("quality_flops", "operations, all runs of a cell (FLOP)", False, _operations(results)),
        _Side(
            "quality_generality",
            "generality kept (perplexity before / after)",
            True,
            {cell.id: generality_kept(cell) for cell in results.cells},
        ),
    ]
    charts = (_tradeoff(side, results) for side in sides)
    return [chart for chart in charts if chart]


def _operations(results: Results) -> dict[str, float]:
    operations = {}
    for cell in results.cells:
        costs = [*(trial.costs for trial in cell.trials), *(final.costs for final in cell.finals)]
        known = [cost["flops"] for cost in costs if "flops" in cost]
        operations[cell.id] = sum(known) if known else math.nan
    return operations


def _tradeoff(side: _Side, results: Results) -> Tradeoff | None:
    split = kept_split(results)
    spots = {cell.id: Spot(side.values[cell.id], cell.score(score_name(split, results.lead))) for cell in results.cells}
    spots = {name: spot for name, spot in spots.items() if all(map(math.isfinite, spot))}
    if len(spots) < 2:
        return None
    best = front(spots, more_is_better=side.more_is_better, maximize=results.maximize)
    takes = [spot.take for spot in spots.values()]
    log = min(takes) > 0 and max(takes) > FAR * min(takes)
    decimals = study_places(results)
    words = ", ".join(f"{name} ({spots[name].take:.3g}; {score(spots[name].quality, decimals)})" for name in best)
    title = f"{results.lead} against {side.label}"
    x = Axis(f"{side.label}{', logarithmic' if log else ''}", "log" if log else "linear")
    lines = (_steps(best, spots, side), *_dots(spots, results))
    panel = Panel("", lines, f"{len(spots)} cells; Pareto front: {words}")
    alt = f"{title}, a mark for each cell. Pareto front: {words}."
    y = score_axis(results.lead, split, results)
    return Tradeoff(Chart(side.name, title, x, y, (panel,), "what trains", alt), words)


def _steps(best: list[str], spots: dict[str, Spot], side: _Side) -> Line:
    """Return the line that no cell lies beyond: quality stays what it is until the next cell of the front."""
    points: list[Point] = []
    for take, quality in (spots[name] for name in best):
        if points:
            before = points[-1]
            points.append(Point(before.x, quality) if side.more_is_better else Point(take, before.y))
        points.append(Point(take, quality))
    return Line("Pareto front", -1, tuple(points), "steps")


def _dots(spots: dict[str, Spot], results: Results) -> list[Line]:
    lines = []
    for tuning in tunings(results):
        cells = [cell.id for cell in results.cells if cell.tuning == tuning and cell.id in spots]
        points = tuple(Point(*spots[name], name=name) for name in cells)
        if points:
            label = ZERO_SHOT if tuning == "none" else tuning
            lines.append(Line(label, style(tuning, results), points, "dots"))
    return lines
