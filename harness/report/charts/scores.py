"""The charts of a study that show scores and losses: depths, learning rates, learning curves, expected best."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Literal

from harness.report.charts.chart import Axis, Chart, Line, Panel, Point
from harness.report.number_format import learning_rate, score, study_places
from harness.report.templates import count
from harness.report.text.axis_words import facet
from harness.report.text.findings import Findings
from harness.results.cell_result import CellResult, Trial
from harness.results.collect import Results
from harness.results.loss_curves import curve_unit
from harness.results.row_order import by_prompt, kept_split, prompts, tunings
from harness.results.search_budget import best_trial, expected_best_curve
from harness.results.unlike_losses import loss_unit
from harness.stats import mean
from harness.study.dimension import Dimension, format_value
from harness.study.search_space import shown_value
from harness.tracking.schema import score_name
from harness.tracking.shot_names import untrained

__all__ = [
    "depths",
    "expected_best",
    "hyperparameters",
    "learning_curves",
    "learning_rates",
    "score_axis",
    "style",
    "untrained_label",
]

NEUTRAL = -1
DEPTHS = "what trains, from nothing to all"


def untrained_label(cells: Iterable[CellResult]) -> str:
    """Return how charts call cells in which nothing trains."""
    return f"none ({' or '.join(sorted({untrained(cell.params) for cell in cells}, reverse=True))})"


def style(tuning: str, results: Results) -> int:
    """Return the style that a tuning has in every chart; prompts have those before, so that no color means both."""
    trained = [name for name in tunings(results) if name != "none"]
    return len(prompts(results)) + trained.index(tuning) if tuning in trained else NEUTRAL


def score_axis(metric: str, split: str, results: Results) -> Axis:
    """Return the axis of a metric, with its unit and direction."""
    if metric == "loss":
        return Axis(f"loss on {split} ({loss_unit(results.cells, results.answers)}), lower is better")
    return Axis(f"{metric} on {split}, {'higher' if results.maximize else 'lower'} is better")


def depths(results: Results, findings: Findings) -> Chart | None:
    """Return each prompt's score over the depths, with its interval; a panel for each combination of further axes."""
    split, names, decimals = kept_split(results), tunings(results), study_places(results)
    order = prompts(results)
    room = 0.5 / (len(order) - 1) if len(order) > 1 else 0.0
    lines: dict[str, list[Line]] = {}
    for _, cells in by_prompt(results):
        number = order.index(cells[0].prompt)
        beside = min(room, 0.08) * (number - (len(order) - 1) / 2)
        scores = [_estimated(cell, names.index(cell.tuning) + beside, split, results, findings) for cell in cells]
        points = tuple(point for point in scores if math.isfinite(point.y))
        if points:
            lines.setdefault(facet(cells[0].factors), []).append(Line(order[number], number, points))
    interval = ", with 95% intervals" if findings.verdicts else ""
    panels = tuple(Panel(name, tuple(own), _by_depth(own, names, decimals)) for name, own in lines.items())
    title, x = f"{results.lead} of each prompt over the depths{interval}", Axis(DEPTHS, "names", tuple(names))
    chart = Chart("depths", title, x, score_axis(results.lead, split, results), panels, "prompt")
    return chart if panels else None


def _by_depth(lines: Sequence[Line], names: Sequence[str], decimals: int) -> str:
    return "; ".join(
        f"{line.name}: " + ", ".join(f"{names[round(p.x)]} {score(p.y, decimals)}" for p in line.points)
        for line in lines
    )


def _estimated(cell: CellResult, x: float, split: str, results: Results, findings: Findings) -> Point:
    estimate = findings.verdicts.scores.get(cell.id) if findings.verdicts else None
    if estimate is None:
        return Point(x, cell.score(score_name(split, results.lead)))
    return Point(x, estimate.value, estimate.low, estimate.high)


def _panels(
    results: Results, lines_of: Callable[[CellResult], list[Line]], words: Callable[[list[Line]], str]
) -> tuple[Panel, ...]:
    """Return a panel for each prompt that has more to show than a level."""
    panels = []
    for prompt, cells in by_prompt(results):
        lines = [line for cell in cells for line in lines_of(cell) if line.points]
        if any(line.drawn != "level" for line in lines):
            panels.append(Panel(prompt, tuple(lines), words(lines)))
    return tuple(panels)


def learning_rates(results: Results) -> Chart | None:
    """Return the objective over the learning rate: a panel for each prompt, a line for each depth."""
    decimals = study_places(results)
    searched = [rates for cell in results.cells if (rates := results.space_of(cell).find("learning_rate"))]
    if not searched:
        return None
    span = min(rates.lowest for rates in searched), max(rates.highest for rates in searched)
    panels = _panels(
        results,
        lambda cell: [_rates(cell, results, span[0])],
        lambda lines: "; ".join(_best_rate(line, decimals) for line in lines),
    )
    title = f"{results.objective} on validation over the learning rate, a mark for each trial, the best ringed"
    x = Axis("learning rate, logarithmic", "log", span=span)
    y = score_axis(results.objective, "validation", results)
    return Chart("learning_rates", title, x, y, panels) if panels else None


def _rates(cell: CellResult, results: Results, low: float) -> Line:
    if cell.tuning == "none":
        value = cell.score(score_name("validation", results.objective))
        return Line(untrained_label([cell]), NEUTRAL, () if math.isnan(value) else (Point(low, value),), "level")
    tried = [trial for trial in cell.trials if math.isfinite(trial.value)]
    if len(results.space.names) > 1:  # more than the rate differs from mark to mark, so no line leads on
        return _marks(cell, [(trial.learning_rate, trial) for trial in tried], results)
    points = tuple(Point(*point) for point in sorted((trial.learning_rate, trial.value) for trial in tried))
    best = best_trial(cell, results)
    ringed = Point(best.learning_rate, best.value) if best else None
    return Line(cell.tuning, style(cell.tuning, results), points, best=ringed)


def _marks(cell: CellResult, tried: Sequence[tuple[float, Trial]], results: Results) -> Line:
    """Return a mark for each trial at its place across; each has a name of its own."""
    points = {trial.index: Point(x, trial.value, name=f"{cell.id} trial {trial.index}") for x, trial in tried}
    best, ordered = best_trial(cell, results), tuple(sorted(points.values(), key=lambda point: point[:2]))
    ringed = points.get(best.index) if best else None
    return Line(cell.tuning, style(cell.tuning, results), ordered, "dots", ringed)


def hyperparameters(results: Results) -> list[Chart]:
    """Return the objective over each hyperparameter beside the learning rate, a mark for each trial."""
    decimals, y = study_places(results), score_axis(results.objective, "validation", results)
    charts = []
    for dimension in results.space.beyond_learning_rate.dimensions:
        panels = _panels(
            results,
            partial(_tried, dimension, results),
            partial(_best_values, dimension, decimals),
        )
        names = tuple(format_value(choice) for choice in dimension.choices)
        kind: Literal["names", "log", "linear"] = "names" if names else dimension.scale
        x = Axis(dimension.name, kind, names, () if names else (dimension.low, dimension.high))
        title = f"{results.objective} on validation over {dimension.name}, a mark for each trial, the best ringed"
        if panels:
            own = dimension.name.partition(".")[2].replace(".", "_")  # of training, or of a kind of adapter
            charts.append(Chart(f"over_{own}", title, x, y, panels))
    return charts


def _tried(dimension: Dimension, results: Results, cell: CellResult) -> list[Line]:
    """Return the marks of a cell's trials over a hyperparameter; of a choice, at the number of its name."""
    tried = []
    for trial in [trial for trial in cell.trials if dimension.name in trial.hyperparameters]:
        value = trial.hyperparameters[dimension.name]
        place = dimension.choices.index(value) if dimension.choices else value
        if math.isfinite(trial.value) and isinstance(place, int | float):
            tried.append((float(place), trial))
    return [_marks(cell, tried, results)]


def _best_values(dimension: Dimension, decimals: int, lines: Sequence[Line]) -> str:
    words = []
    for line in lines:
        best = line.best or line.points[0]
        value = dimension.choices[int(best.x)] if dimension.choices else best.x
        trials = count(len(line.points), "trial")
        words.append(f"{line.name} {score(best.y, decimals)} at {shown_value(value)} ({trials})")
    return "; ".join(words)


def _best_rate(line: Line, decimals: int) -> str:
    if line.drawn == "level":
        return f"{line.name.removeprefix('none (').removesuffix(')')} {score(line.points[0].y, decimals)}"
    best = line.best or line.points[0]
    return f"{line.name} {score(best.y, decimals)} at {learning_rate(best.x)} ({count(len(line.points), 'trial')})"


def learning_curves(results: Results) -> Chart | None:
    """Return train and validation loss by epoch or step, means over a cell's runs, the gap between them shaded."""
    panels, unit = _panels(results, lambda cell: _learned(cell, results), _gaps), curve_unit(results.settings)
    title = f"Loss by {unit}: validation with marks, train dashed, the gap between them shaded"
    x, y = Axis(unit, "count"), Axis(f"loss ({loss_unit(results.cells, results.answers)})")
    return Chart("learning_curves", title, x, y, panels) if panels else None


def _learned(cell: CellResult, results: Results) -> list[Line]:
    runs = results.curves.get(cell.id, ())
    train = _averaged([run.train for run in runs])
    validation = _averaged([run.validation for run in runs])
    number = style(cell.tuning, results)
    both = sorted(train.keys() & validation.keys())
    band = tuple(Point(e, (train[e] + validation[e]) / 2, train[e], validation[e]) for e in both)
    return [
        Line("", number, band if len(band) > 1 else (), "band"),
        Line("", number, tuple(Point(*point) for point in sorted(train.items())), "thin"),
        Line(cell.tuning, number, tuple(Point(*point) for point in sorted(validation.items()))),
    ]


def _averaged(runs: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return the mean at each place of a curve over the runs that have one there."""
    places = sorted({place for run in runs for place in run})
    return {place: mean([run[place] for run in runs if place in run]) for place in places}


def _gaps(lines: Sequence[Line]) -> str:
    ends = []
    for train, validation in zip(lines, lines[1:], strict=False):
        if train.drawn == "thin" and validation.drawn == "marked":
            last = train.points[-1].y, validation.points[-1].y
            ends.append(f"{validation.name} ends with train {last[0]:.3f}, validation {last[1]:.3f}")
    return "; ".join(ends)


def expected_best(results: Results) -> Chart | None:
    """Return the best score to be expected of the first 1, 2, ... trials, by `harness.results.search_budget`."""
    decimals = study_places(results)

    def line(cell: CellResult) -> list[Line]:
        curve = expected_best_curve(cell, results)
        points = tuple(Point(trials, best) for trials, best in enumerate(curve, start=1))
        drawn = len(points) > 1 and math.isfinite(points[0].y)
        return [Line(cell.tuning, style(cell.tuning, results), points)] if drawn else []

    def ends(line: Line) -> str:
        first, last = score(line.points[0].y, decimals), score(line.points[-1].y, decimals)
        return f"{line.name} {first} with 1, {last} with {len(line.points)}"

    panels = _panels(results, line, lambda lines: "; ".join(map(ends, lines)))
    title = f"Expected best {results.objective} on validation over the number of trials"
    y = score_axis(results.objective, "validation", results)
    return Chart("expected_best", title, Axis("trials", "count"), y, panels) if panels else None
