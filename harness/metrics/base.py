"""What a metric is: numbers for one example, a way to reduce many of them, and a signature."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from harness.core.example import Example, Prediction

__all__ = ["VERSION", "Metric", "Statistic", "Vector", "mean", "metric_name", "signature", "total"]

VERSION = "harness-1"
"""The definition of the metrics that this package computes itself; raised when one of their numbers changes."""

Vector: TypeAlias = NDArray[np.float64]
"""One dimension of float64."""

Statistic: TypeAlias = Any
"""What one example contributes: a `Vector`, of one length for all examples (distinct-n: ragged; Hub metrics: texts)."""


@dataclass(frozen=True)
class Metric:
    """A score for a set of predictions that can be taken apart by example.

    The text is read once, by ``statistics``. Intervals and paired tests resample the list of statistics and call
    ``reduce`` (Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation").

    >>> same = Metric(
    ...     name="same_length",
    ...     higher_is_better=True,
    ...     statistics=lambda prediction, example: (float(len(prediction.text) == len(example.target)),),
    ...     reduce=lambda rows: sum(row[0] for row in rows) / len(rows) if len(rows) else math.nan,
    ...     signature=lambda: "characters",
    ...     range=(0.0, 1.0),
    ... )
    >>> same.reduce([(1.0,), (0.0,)])
    0.5
    """

    name: str
    """What a task and a study file call it, and the key of its score."""

    higher_is_better: bool
    """The direction of the ranking."""

    statistics: Callable[[Prediction, Example], Statistic]
    """What one prediction contributes."""

    reduce: Callable[[Sequence[Statistic]], float]
    """The score of any multiset of statistics; nan when it is empty. A stacked array, a row an example, will do too."""

    signature: Callable[[], str]
    """What makes the number quotable: version, tokenizer, case, smoothing. A call, since it may import the library."""

    range: tuple[float, float] = (-math.inf, math.inf)
    """The least and the largest score; intervals end there, and the smallest difference of interest goes by it."""

    def contribution(self, prediction: Prediction, example: Example) -> Statistic:
        """Return what one prediction contributes, as the store has it where the text was kept off it."""
        stored = prediction.statistics or {}
        if self.name in stored:
            return np.array(stored[self.name], dtype=np.float64)
        return self.statistics(prediction, example)

    @property
    def smallest_difference(self) -> float | None:
        """The smallest difference of interest unless a study names one: a fiftieth of the range.

        0.02 of a metric from 0 to 1, 2 of one from 0 to 100; None for a metric without a range.
        """
        low, high = self.range
        return (high - low) / 50 if math.isfinite(high - low) else None


def total(statistics: Sequence[Vector]) -> Vector:
    """Return the elementwise sum, shape (k,), of at least one statistic of shape (k,)."""
    summed: Vector = np.sum(np.asarray(statistics, dtype=np.float64), axis=0)
    return summed


def mean(statistics: Sequence[Vector]) -> float:
    """Reduce statistics of shape (1,) to their mean; nan when there are none."""
    return float(np.mean(np.asarray(statistics, dtype=np.float64))) if len(statistics) else math.nan


def signature(name: str, *, version: str = VERSION, **facts: str) -> str:
    """Return a signature in sacreBLEU's form (Post 2018, "A Call for Clarity in Reporting BLEU Scores").

    >>> signature("exact_match", case="mixed", refs="max")
    'exact_match|case:mixed|refs:max|version:harness-1'
    """
    return "|".join([name, *(f"{key}:{value}" for key, value in facts.items()), f"version:{version}"])


def metric_name(metric: Metric | str) -> str:
    """Return the name that tables and logs use."""
    return metric if isinstance(metric, str) else metric.name
