"""The charts of a study that show scores and losses: depths, learning rates, learning curves, expected best."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness.report.charts.chart import Axis, Chart, Line, Panel, Point
from harness.report.number_format import shown
from harness.report.text.findings import Findings
from harness.results import search_budget
from harness.results.collect import CellResult, Results
from harness.results.row_order import by_prompt, kept_split, prompts, tunings
from harness.stats import mean

__all__ = ["depths", "expected", "learning_curves", "learning_rates", "score_axis", "style"]

NEUTRAL = -1
ZERO_SHOT = "none (zero-shot)"


def style(tuning: str, results: Results) -> int:
    """Return the style that a tuning has in every chart."""
    trained = [name for name in tunings(results) if name != "none"]
    return trained.index(tuning) if tuning in trained else NEUTRAL


def score_axis(metric: str, split: str, results: Results) -> Axis:
    """Return the axis of a metric, with its unit and direction."""
    if metric == "loss":
        return Axis(f"loss on {split} (nats a token), lower is better")
    return Axis(f"{metric} on {split}, {'higher' if results.maximize else 'lower'} is better")


def depths(results: Results, findings: Findings) -> Chart | None:
    """Return each prompt's score over the depths, with the intervals of the verdicts."""
    split, names, own = kept_split(results), tunings(results), prompts(results)
    room = 0.5 / max(1, len(own) - 1) if len(own) > 1 else 0.0
    lines = []
    for number, (prompt, cells) in enumerate(by_prompt(results)):
        beside = min(room, 0.08) * (number - (len(own) - 1) / 2)
        found = [_estimated(cell, names.index(cell.tuning) + beside, split, results, findings) for cell in cells]
        points = tuple(point for point in found if math.isfinite(point.y))
        if points:
            lines.append(Line(prompt, number, points))
    if not lines:
        return None
    axis = score_axis(results.lead, split, results)
    interval = ", with 95% intervals" if findings.verdicts else ""
    said = "; ".join(
        f"{line.name}: " + ", ".join(f"{names[round(p.x)]} {shown(p.y, results)}" for p in line.points)
        for line in lines
    )
    title = f"{results.lead} of each prompt over the depths{interval}"
    x = Axis("what trains, from nothing to all", "names", tuple(names))
    return Chart("depths", title, x, axis, (Panel("", tuple(lines), said),), "prompt", f"{title}. {said}.")


def _estimated(cell: CellResult, x: float, split: str, results: Results, findings: Findings) -> Point:
    found = findings.verdicts.scores.get(cell.id) if findings.verdicts else None
    if found is None:
        return Point(x, cell.score(f"{split}/{results.lead}"), name=cell.id)
    return Point(x, found.value, found.low, found.high, cell.id)


def learning_rates(results: Results) -> Chart | None:
    """Return the objective over the learning rate: a panel for each prompt, a line for each depth."""
    searched, panels = results.space.find("learning_rate"), []
    if searched is None:
        return None
    for prompt, cells in by_prompt(results):
        lines = [line for line in (_rates(cell, results, searched.low) for cell in cells) if line.points]
        if any(line.drawn != "level" for line in lines):
            panels.append(Panel(prompt, tuple(lines), "; ".join(_best_rate(line, results) for line in lines)))
    if not panels:
        return None
    title = f"{results.objective} on validation over the learning rate, a mark for each trial"
    y = score_axis(results.objective, "validation", results)
    alt = f"{title}. Best rates by prompt: {_joined(panels)}."
    x = Axis("learning rate, logarithmic", "log", span=(searched.low, searched.high))
    return Chart("learning_rates", title, x, y, tuple(panels), "what trains", alt)


def _rates(cell: CellResult, results: Results, low: float) -> Line:
    if cell.tuning == "none":
        value = cell.score(f"validation/{results.objective}")
        return Line(ZERO_SHOT, NEUTRAL, () if math.isnan(value) else (Point(low, value),), "level")
    tried = sorted((trial.learning_rate, trial.value) for trial in cell.trials if math.isfinite(trial.value))
    return Line(cell.tuning, style(cell.tuning, results), tuple(Point(*one) for one in tried))


def _best_rate(line: Line, results: Results) -> str:
    if line.drawn == "level":
        return f"zero-shot {shown(line.points[0].y, results)}"
    higher = results.maximize and results.objective != "loss"
    best = (max if higher else min)(line.points, key=lambda point: point.y)
    return f"{line.name} {shown(best.y, results)} at {best.x:.2g} ({len(line.points)} trials)"


def learning_curves(results: Results) -> Chart | None:
    """Return train and validation loss by epoch, means over the runs of a cell, with the gap between them shaded."""
    panels = []
    for prompt, cells in by_prompt(results):
        lines = [line for cell in cells for line in _learned(cell, results)]
        if lines:
            panels.append(Panel(prompt, tuple(lines), _gaps(lines)))
    if not panels:
        return None
    title = "Loss by epoch: validation with marks, train dashed, the gap between them shaded"
    y = Axis("loss (nats a token)")
    alt = f"{title}. After the last epoch: {_joined(panels)}."
    return Chart("learning_curves", title, Axis("epoch", "count"), y, tuple(panels), "what trains", alt)


def _learned(cell: CellResult, results: Results) -> list[Line]:
    runs = results.curves.get(cell.id, ())
    train = _averaged([run.train for run in runs])
    validation = _averaged([run.validation for run in runs])
    if not train and not validation:
        return []
    number = style(cell.tuning, results)
    both = sorted(train.keys() & validation.keys())
    band = tuple(Point(e, (train[e] + validation[e]) / 2, train[e], validation[e]) for e in both)
    lines = [
        Line("", number, band if len(band) > 1 else (), "band"),
        Line("", number, tuple(Point(*one) for one in sorted(train.items())), "thin"),
        Line(cell.tuning, number, tuple(Point(*one) for one in sorted(validation.items()))),
    ]
    return [line for line in lines if line.points]


def _averaged(runs: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Return the mean by epoch over the runs that have one."""
    epochs = sorted({epoch for run in runs for epoch in run})
    return {epoch: mean([run[epoch] for run in runs if epoch in run]) for epoch in epochs}


def _gaps(lines: Sequence[Line]) -> str:
    ends = []
    for train, validation in zip(lines, lines[1:], strict=False):
        if train.drawn == "thin" and validation.drawn == "marked":
            last = train.points[-1].y, validation.points[-1].y
            ends.append(f"{validation.name} train {last[0]:.3f}, validation {last[1]:.3f}")
    return "; ".join(ends)


def expected(results: Results) -> Chart | None:
    """Return the best score to be expected of the first 1, 2, ... trials, by `harness.results.search_budget`."""
    panels = []
    for prompt, cells in by_prompt(results):
        lines = []
        for cell in cells:
            curve = search_budget.expected(cell, results)
            points = tuple(Point(number, value) for number, value in enumerate(curve, start=1))
            if len(points) > 1 and math.isfinite(points[0].y):
                lines.append(Line(cell.tuning, style(cell.tuning, results), points))
        if lines:
            said = "; ".join(_bought(line, results) for line in lines)
            panels.append(Panel(prompt, tuple(lines), said))
    if not panels:
        return None
    title = f"Expected best {results.objective} on validation over the number of trials"
    y = score_axis(results.objective, "validation", results)
    alt = f"{title}. {_joined(panels)}."
    return Chart("expected_best", title, Axis("trials", "count"), y, tuple(panels), "what trains", alt)


def _bought(line: Line, results: Results) -> str:
    first, last = line.points[0], line.points[-1]
    return f"{line.name} {shown(first.y, results)} with 1, {shown(last.y, results)} with {len(line.points)}"


def _joined(panels: Sequence[Panel]) -> str:
    return ". ".join(f"{panel.title}: {panel.said}" for panel in panels)
