"""Metrics tried on two rows, so that one that fails does so before anything trains."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from copy import deepcopy
from numbers import Real
from typing import Any

from harness.core.errors import MetricError
from harness.core.example import Example, Prediction, fingerprint
from harness.core.user_code import user_code
from harness.metrics.base import Metric
from harness.metrics.registry import is_registered

__all__ = ["try_metrics"]


def try_metrics(metrics: Iterable[Metric | str], rows: Sequence[Example]) -> None:
    """See that metrics score two rows, one answered with its target and one with nothing.

    Args:
        metrics: Those of the registry are left out, and so are names.
        rows: Of which the first two are taken; all of them where two give no finite score.

    Raises:
        MetricError: One fails, gives no number or another one each time, or changes what it is given; says how.
    """
    texts = [*(row.target for row in rows[:1]), ""]
    pairs = [(Prediction(row.id, text, 1.0, 1), row) for row, text in zip(rows, texts, strict=False)]
    for metric in metrics if rows else ():
        if isinstance(metric, str) or is_registered(metric):
            continue
        what = f"metric {metric.name!r}, on two rows that are answered with {texts},"
        with user_code(what, "it must score any text: correct it, or leave it out", MetricError):
            fault = _fault(metric, deepcopy(pairs)) or _without_number(metric, rows)
        if fault:
            raise MetricError(f"metric {metric.name!r} {fault}")


def _fault(metric: Metric, pairs: Sequence[tuple[Prediction, Example]]) -> str | None:
    """Return what is wrong with what a metric says of some rows, asked twice."""
    before = _shown(pairs)
    score, again = (_once(metric, pairs) for _ in range(2))
    if any(statistic is None for statistic in score[2]):
        return "contributes None for a row; its statistics must be an array of numbers"
    if not isinstance(score[0], Real):
        return f"reduces two rows to {str(score[0])[:40]!r}, a {type(score[0]).__name__}; reduce must give one number"
    if not isinstance(score[1], str) or not score[1].strip():
        return f"has the signature {score[1]!r}; it must be a text that names its version, such as 'mine|version:1'"
    if _shown(pairs) != before:
        return "changes the fields of the example that it is given; take a copy of what it works on"
    if repr(score) != repr(again):
        shown = next((one, other) for one, other in zip(score, again, strict=True) if repr(one) != repr(other))
        return f"says another thing each time, {shown[0]!s:.60} and {shown[1]!s:.60}; seed what it draws"
    return None


def _shown(pairs: Sequence[tuple[Prediction, Example]]) -> str:
    """Return a digest of what prompts would show of examples: not all that a field may be can be compared itself."""
    return fingerprint(example for _, example in pairs)


def _once(metric: Metric, pairs: Sequence[tuple[Prediction, Example]]) -> tuple[Any, Any, list[Any]]:
    """Return score, signature and statistics."""
    statistics = [metric.statistics(*pair) for pair in pairs]
    return metric.reduce(statistics), metric.signature(), statistics


def _without_number(metric: Metric, rows: Sequence[Example]) -> str | None:
    """Return that a metric has no finite score, neither for two rows nor for all of them when they are right."""
    two = [Prediction(row.id, text, 1.0, 1) for row, text in zip(rows, (rows[0].target, ""), strict=False)]
    right = [Prediction(row.id, row.target, 1.0, 1) for row in rows]
    for predictions in (two, right):
        pairs = zip(predictions, rows, strict=False)
        score = metric.reduce([metric.statistics(*pair) for pair in pairs])
        if math.isfinite(score):
            return None
    return f"gives {score} even where all rows are answered with their targets, so it can rank nothing; leave it out"
