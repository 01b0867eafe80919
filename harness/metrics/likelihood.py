"""Perplexity of the targets: how far a model is surprised by what it should have said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from harness.core.example import Example, Prediction
from harness.metrics.base import Metric, Vector, signature, total

__all__ = ["LOSS", "PERPLEXITY"]


def _likelihood(prediction: Prediction, example: Example) -> Vector:
    """Return negative log-likelihood (nats) and tokens of the target, shape (2,)."""
    return np.array([prediction.nll, prediction.tokens], dtype=np.float64)


def _perplexity(statistics: Sequence[Vector]) -> float:
    if not len(statistics):
        return math.nan
    nll, tokens = total(statistics)
    with np.errstate(over="ignore"):  # a model that diverged has an infinite perplexity
        return float(np.exp(nll / tokens)) if tokens else math.nan


def _loss(statistics: Sequence[Vector]) -> float:
    if not len(statistics):
        return math.nan
    nll, tokens = total(statistics)
    return float(nll / tokens) if tokens else math.nan


PERPLEXITY = Metric(
    name="perplexity",
    higher_is_better=False,
    statistics=_likelihood,
    reduce=_perplexity,
    signature=partial(signature, "perplexity", text="target+end", per="token"),
    range=(1.0, math.inf),
)
"""exp(summed nats / summed tokens), from 1 up; nan without tokens. Comparable between models of one tokenizer alone."""

LOSS = Metric(
    name="loss",
    higher_is_better=False,
    statistics=_likelihood,
    reduce=_loss,
    signature=partial(signature, "loss", text="target+end", per="token"),
    range=(0.0, math.inf),
)
"""Nats per token, the logarithm of `PERPLEXITY`; every study has it, so no task names it."""
