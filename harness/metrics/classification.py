"""Metrics of classification: how often a label is right, how evenly, and how far its probability can be trusted."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from harness.core.example import Example, Prediction
from harness.metrics.base import Metric, Vector, mean, signature, total

__all__ = ["ACCURACY", "BINS", "CALIBRATION_ERROR", "MACRO_F1", "reliability"]

BINS = 15
"""Of equal width, from 0 to 1, as Guo et al. 2017 have them."""


def _plain(text: str) -> str:
    return " ".join(text.split())


def _is_right(prediction: Prediction, example: Example) -> bool:
    return _plain(prediction.text) == _plain(example.target)


def _hit(prediction: Prediction, example: Example) -> Vector:
    """Return whether the label is the example's, shape (1,)."""
    return np.array([_is_right(prediction, example)], dtype=np.float64)


@cache
def _code(label: str) -> float:
    """Return a number that stands for a label wherever it is met: whole, below 2**53, so that float64 holds it."""
    return float(int(hashlib.sha256(label.encode()).hexdigest()[:13], 16))


def _labels(prediction: Prediction, example: Example) -> Vector:
    """Return what stands for the predicted label and the example's, shape (2,)."""
    return np.array([_code(_plain(prediction.text)), _code(_plain(example.target))])


def _macro_f1(statistics: Sequence[Vector]) -> float:
    if not len(statistics):
        return math.nan
    said, right = np.asarray(statistics, dtype=np.float64).T
    labels, counts = np.unique(right, return_counts=True)
    hits = _counts(said[said == right], labels)
    return float(np.mean(2 * hits / (counts + _counts(said, labels))))


def _counts(values: NDArray[np.float64], labels: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how often each of some sorted labels is among some values, shape (labels,)."""
    values = np.sort(values)
    return np.searchsorted(values, labels, side="right") - np.searchsorted(values, labels, side="left")


def _bin(prediction: Prediction, example: Example) -> Vector:
    """Return what a prediction adds to each bin of probabilities, shape (3 * `BINS`,); see `reliability`.

    Where weights have exploded the probability is no number; then the error is none either.
    """
    stated = 1.0 if prediction.probabilities is None else prediction.probabilities.get(prediction.text, math.nan)
    if math.isnan(stated):
        return np.full(3 * BINS, math.nan)
    added = np.zeros((3, BINS))
    # A bin holds its upper end, as Guo et al. have it; the first one holds 0 as well.
    added[:, max(0, math.ceil(stated * BINS) - 1)] = 1, stated, _is_right(prediction, example)
    return added.ravel()


def reliability(statistics: Sequence[Vector]) -> NDArray[np.float64]:
    """Return, for each of `BINS`, how many predictions lie in it, the sum of their probabilities, and the right ones.

    Args:
        statistics: Of `CALIBRATION_ERROR`, at least one.

    Returns:
        Shape (3, `BINS`).
    """
    return total(statistics).reshape(3, BINS)


def _calibration_error(statistics: Sequence[Vector]) -> float:
    if not len(statistics):
        return math.nan
    count, stated, right = reliability(statistics)
    return float(np.abs(stated - right).sum() / count.sum())


ACCURACY = Metric(
    name="accuracy",
    higher_is_better=True,
    statistics=_hit,
    reduce=mean,
    signature=partial(signature, "accuracy", space="normalized", case="mixed"),
    range=(0.0, 1.0),
)
"""Share of predictions that are the example's label, 0 to 1."""

MACRO_F1 = Metric(
    name="macro_f1",
    higher_is_better=True,
    statistics=_labels,
    reduce=_macro_f1,
    signature=partial(signature, "macro_f1", labels="references", empty="0"),
    range=(0.0, 1.0),
)
"""Mean over the labels that examples have of each one's F1, 0 to 1; one that is never predicted has 0."""

CALIBRATION_ERROR = Metric(
    name="calibration_error",
    higher_is_better=False,
    statistics=_bin,
    reduce=_calibration_error,
    signature=partial(
        signature, "calibration_error", bins=f"{BINS}-equal-width", of="predicted-label", texts="certain"
    ),
    range=(0.0, 1.0),
)
"""Expected calibration error (Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2), 0 to 1: over
bins of the predicted label's probability, how far its mean is from the share of right ones, weighted by their rows.
A text that was generated states no probability and counts as certain: its error is the share of wrong ones."""
