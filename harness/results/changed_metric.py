"""A metric that scores stored predictions otherwise than it scored them when their runs were made.

Its code was edited, and its signature was not. Scores that the store holds and scores of today are then of two
metrics, so that claims made of the ones must not stand beside tables of the others.
"""

from __future__ import annotations

import math

from harness.core.example import Split
from harness.metrics.base import Metric
from harness.stats.answers import Answers, Scored
from harness.tracking.schema import score_name

__all__ = ["changed_metric", "in_words", "is_same_score"]

ROUNDING = 1e-6
"""Relative, between a stored score and the same again: stored likelihoods have ten decimals."""


def changed_metric(metric: Metric, answers: Answers, scored: Scored, split: Split) -> str:
    """Return that a metric scores what the store holds otherwise than it did, in words; empty where it does not.

    Args:
        metric: Whose signature is that of the store.
        answers: On the split; those that no store holds are left out.
        scored: From `harness.stats.answers.score_answers`.
        split: Which.
    """
    name = score_name(split, metric.name)
    for cell, answered in {**answers.cells, **answers.references}.items():
        for stored, statistics in zip(answered.stored, scored[cell], strict=False):
            now = metric.reduce(statistics)
            if name in stored.metrics and not is_same_score(stored.metrics[name], now):
                return in_words(metric, stored.run, split, stored.metrics[name], now)
    return ""


def is_same_score(then: float, now: float) -> bool:
    """Return whether two scores are one but for rounding; what is no number equals itself."""
    return math.isclose(then, now, rel_tol=ROUNDING, abs_tol=1e-9) or (math.isnan(then) and math.isnan(now))


def in_words(metric: Metric, run: str, split: Split, then: float, now: float) -> str:
    """Return the sentence, without its end."""
    return (
        f"{metric.name} of {run} on {split} is {then:.6g} in the store, and what is stored of it scores {now:.6g} now, "
        f"both under the signature {metric.signature()}: a metric whose results change needs another signature; give "
        "it one and run the study again, or restore its code"
    )
