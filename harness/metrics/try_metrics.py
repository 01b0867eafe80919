"""Metrics tried on two rows, so that one that fails does so before anything trains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from numbers import Real

from harness.core.errors import MetricError
from harness.core.example import Example, Prediction
from harness.core.user_code import user_code
from harness.metrics.base import Metric
from harness.metrics.registry import is_registered

__all__ = ["try_metrics"]


def try_metrics(metrics: Iterable[Metric | str], rows: Sequence[Example]) -> None:
    """See that metrics score two rows, one answered with its target and one with nothing.

    Args:
        metrics: Those of the registry are left out, and so are names.
        rows: Of which the first two are taken.

    Raises:
        MetricError: One fails, or gives no number; says how.
    """
    texts = [*(row.target for row in rows[:1]), ""]
    pairs = [(Prediction(row.id, text, 1.0, 1), row) for row, text in zip(rows, texts, strict=False)]
    for metric in metrics if rows else ():
        if isinstance(metric, str) or is_registered(metric):
            continue
        what = f"metric {metric.name!r}, on two rows that are answered with {texts},"
        with user_code(what, "it must score any text: correct it, or leave it out", MetricError):
            score = metric.reduce([metric.statistics(*pair) for pair in pairs])
            metric.signature()
        if not isinstance(score, Real):
            raise MetricError(
                f"metric {metric.name!r} gives two rows {str(score)[:40]!r}, a {type(score).__name__}; it must give "
                "one number"
            )
