"""Scores over the number of training examples: what was measured, the curves through it and their forecasts."""

from __future__ import annotations

import math

from harness.report.charts.chart import Axis, Chart, Line, Panel, Point
from harness.report.charts.scores import score_axis, style
from harness.report.number_format import amount, interval_of, score, study_places
from harness.report.text.axis_words import facet
from harness.report.text.findings import Findings
from harness.results.collect import Results
from harness.results.row_order import kept_split, prompts, tunings
from harness.stats.learning_curves import LearningCurve
from harness.stats.verdicts import Verdicts

__all__ = ["training_sizes"]


def training_sizes(results: Results, findings: Findings) -> Chart | None:
    """Return the learning curves: a panel for each depth and combination of further axes, a line for each prompt.

    Of a single prompt there are lines for depths instead. ``None`` where sizes are no axis.
    """
    verdicts = findings.verdicts
    if verdicts is None or verdicts.curves is None:
        return None
    by, order = ("prompt", prompts(results)) if len(prompts(results)) > 1 else ("tuning", tunings(results))
    lines: dict[str, list[Line]] = {}
    words: dict[str, list[str]] = {}
    for curve in sorted(verdicts.curves.curves, key=lambda curve: order.index(curve.levels[by])):
        name = curve.levels[by]
        number = order.index(name) if by == "prompt" else style(name, results)
        panel = facet(curve.levels, but=(by, "prompt"))
        lines.setdefault(panel, []).extend(_lines(name, number, curve, verdicts))
        words.setdefault(panel, []).append(_words(name, curve, verdicts, study_places(results)))
    panels = tuple(Panel(name, tuple(own), "; ".join(words[name])) for name, own in lines.items())
    title = f"{results.lead} over the number of training examples, with 95% intervals; shaded: twice as many, 80%"
    x, y = Axis("training examples, logarithmic", "log"), score_axis(results.lead, kept_split(results), results)
    return Chart("training_sizes", title, x, y, panels, by if by == "prompt" else "what trains")


def _lines(name: str, number: int, curve: LearningCurve, verdicts: Verdicts) -> list[Line]:
    """Return what was measured, and where there is a fit its curve and the band of its forecasts."""
    scores = {size: verdicts.scores[cell] for size, cell in curve.cells.items()}
    measured = tuple(
        Point(size, one.value, one.low, one.high) for size, one in scores.items() if math.isfinite(one.value)
    )
    drawn = [Line(name, number, measured)] if measured else []
    if curve.fitted:
        told = tuple(Point(size, one.value, one.low, one.high) for size, one in curve.fitted)
        beyond = tuple(point for point in told if point.x >= curve.last)
        drawn = [Line("", number, beyond, "band"), Line("", number, told, "thin"), *drawn]
    return drawn


def _words(name: str, curve: LearningCurve, verdicts: Verdicts, decimals: int) -> str:
    told = [f"{score(verdicts.scores[cell].value, decimals)} with {amount(size)}" for size, cell in curve.cells.items()]
    if curve.forecast:
        ends = interval_of(curve.forecast, decimals)
        told.append(f"forecast {score(curve.forecast.value, decimals)} ({ends}) with {amount(2 * curve.last)}")
    return f"{name}: {', '.join(told)}"
