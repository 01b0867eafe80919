"""distinct-n: how much of what a model says, over all its predictions, it has not said before."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from harness.core.example import Example, Prediction
from harness.metrics.base import Metric, Vector, signature
from harness.metrics.tokens import TOKENIZER, words

__all__ = ["distinct"]


def _hash(ngram: Sequence[str]) -> int:
    """Return 48 bits that are the same in every process, and exact as a float64."""
    return int.from_bytes(hashlib.blake2b(" ".join(ngram).encode(), digest_size=6).digest())


def _ngrams(order: int, prediction: Prediction, example: Example) -> Vector:
    """Return the hashed n-grams of the prediction, repeats kept; the shape is their number."""
    tokens = words(prediction.text)
    starts = range(len(tokens) - order + 1)
    return np.array([_hash(tokens[start : start + order]) for start in starts], dtype=np.float64)


def _share(statistics: Sequence[Vector]) -> float:
    """Return distinct over all n-grams; 0 when nothing was said, nan when nobody was asked."""
    if not len(statistics):
        return math.nan
    ngrams = np.concatenate(statistics)
    return len(np.unique(ngrams)) / len(ngrams) if len(ngrams) else 0.0


def distinct(order: int) -> Metric:
    """Return distinct-n, 0 to 1 (Li et al. 2016): distinct over all n-grams of all predictions together.

    The denominator counts n-grams, so that 1 can be reached; the paper counts tokens whatever n is. The share falls
    as a set grows: compare sets of equal size alone.
    """
    name = f"distinct{order}"
    return Metric(
        name=name,
        higher_is_better=True,
        statistics=partial(_ngrams, order),
        reduce=_share,
        signature=partial(signature, name, tok=TOKENIZER, case="lc", per="ngrams"),
        range=(0.0, 1.0),
    )
