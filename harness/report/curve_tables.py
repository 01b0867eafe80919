"""Learning curves as tables, for people and as csv."""

from __future__ import annotations

import math

from harness.report.csv_tables import csv_text, exact
from harness.report.number_format import UNDEFINED, amount, difference, interval_of, score, significant
from harness.report.plain_tables import PlainTable
from harness.stats.intervals import Interval
from harness.stats.learning_curves import LearningCurve, LearningCurves, Worth

__all__ = ["curve_table", "learning_curves_csv", "worth_csv", "worth_table"]

NOWHERE = Interval(math.nan, math.nan, math.nan)

FILLED = ("exponent", "limit", "forecast", "gain")
"""What a curve has with both ends of its interval."""


def curve_table(curves: LearningCurves | None, decimals: int) -> PlainTable:
    """Return what twice the data would bring, a row for each curve; none without curves."""
    rows = [
        [curve.name, amount(curve.last), *_forecast(curve, decimals)] for curve in (curves.curves if curves else ())
    ]
    header = ["curve", "examples", "with twice as many", "80% interval", "gain", "80% interval of it", "exponent (95%)"]
    return PlainTable(header, rows)


def _forecast(curve: LearningCurve, decimals: int) -> list[str]:
    if not (curve.forecast and curve.gain and curve.exponent):
        return [curve.reason, *[UNDEFINED] * 4]
    return [
        score(curve.forecast.value, decimals),
        interval_of(curve.forecast, decimals),
        difference(curve.gain.value, decimals),
        interval_of(curve.gain, decimals, signed=True),
        f"{curve.exponent.value:.2f} ({interval_of(curve.exponent, 2)})",
    ]


def worth_table(curves: LearningCurves | None, decimals: int) -> PlainTable:
    """Return what choices are worth in training examples, a row for each pair of curves."""
    rows = [[one.curve, one.reference, *_worth(one, decimals)] for one in (curves.worths if curves else ())]
    header = ["curve", "against", "examples saved", "95% interval", "times as many (95%)", "at scores"]
    return PlainTable(header, rows)


def _worth(one: Worth, decimals: int) -> list[str]:
    if not (one.examples and one.factor):
        return [one.reason, *[UNDEFINED] * 3]
    factor = [significant(end) for end in one.factor]
    return [
        f"{one.examples.value:+,.0f}",
        interval_of(one.examples, 0, signed=True),
        f"{factor[0]} ({factor[1]} to {factor[2]})",
        " to ".join(score(end, decimals) for end in one.scores),
    ]


def learning_curves_csv(curves: LearningCurves) -> str:
    """Return one row per curve; floats in full, empty where there is no fit."""
    axes = list(curves.curves[0].levels)
    ends = [f"{name}{end}" for name in FILLED for end in ("", "_low", "_high")]
    header = ["curve", *axes, "sizes", "forecast_size", *ends, "reason"]
    rows = []
    for curve in curves.curves:
        ends_of = [value for name in FILLED for value in (getattr(curve, name) or NOWHERE)]
        told = [exact(value) if math.isfinite(value) else "" for value in ends_of]
        sizes = " ".join(map(str, curve.cells))
        rows.append([curve.name, *curve.levels.values(), sizes, str(2 * curve.last), *told, curve.reason])
    return csv_text(header, rows)


def worth_csv(curves: LearningCurves) -> str:
    """Return one row per pair of curves that differ on one axis; floats in full, empty where nothing can be said."""
    ends = [f"{name}{end}" for name in ("examples", "factor") for end in ("", "_low", "_high")]
    rows = []
    for one in curves.worths:
        told = [exact(value) for values in (one.examples, one.factor) for value in (values or NOWHERE)]
        rows.append([one.axis, one.curve, one.reference, *map(exact, one.scores), *told, one.reason])
    return csv_text(["axis", "curve", "reference", "first_score", "last_score", *ends, "reason"], rows)
