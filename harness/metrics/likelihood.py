"""Perplexity of the targets: how far a model is surprised by what it should have said."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from harness.core.example import Example, Prediction
from harness.metrics.base import Metric, Vector, signature, total

__all__ = ["BITS_PER_BYTE", "LOSS", "OF_LIKELIHOODS", "PERPLEXITY", "PSEUDO_PERPLEXITY", "SCORED_BYTES"]

SCORED_BYTES = "scored_bytes"
"""The field of an example that says how many bytes of text were scored, where that is not its target's."""


def _likelihood(prediction: Prediction, example: Example) -> Vector:
    """Return negative log-likelihood (nats) and tokens of the target, shape (2,)."""
    return np.array([prediction.nll, prediction.tokens], dtype=np.float64)


def _bits(prediction: Prediction, example: Example) -> Vector:
    """Return the negative log-likelihood of the target in bits, and its bytes in UTF-8, shape (2,)."""
    size = example.fields.get(SCORED_BYTES, len(example.target.encode()))
    return np.array([prediction.nll / math.log(2), size], dtype=np.float64)


def _bits_per_byte(statistics: Sequence[Vector]) -> float:
    if not len(statistics):
        return math.nan
    bits, size = total(statistics)
    return float(bits / size) if size else math.nan


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

PSEUDO_PERPLEXITY = Metric(
    name="pseudo_perplexity",
    higher_is_better=False,
    statistics=_likelihood,
    reduce=_perplexity,
    signature=partial(signature, "pseudo_perplexity", text="block", per="token", masked="one"),
    range=(1.0, math.inf),
)
"""The same where each token is told from all others of its block (Salazar et al. 2020, section 2): of masked models."""

LOSS = Metric(
    name="loss",
    higher_is_better=False,
    statistics=_likelihood,
    reduce=_loss,
    signature=partial(signature, "loss", text="target+end", per="token"),
    range=(0.0, math.inf),
)
"""Nats per token, the logarithm of `PERPLEXITY`; every study has it, so no task names it."""

BITS_PER_BYTE = Metric(
    name="bits_per_byte",
    higher_is_better=False,
    statistics=_bits,
    reduce=_bits_per_byte,
    signature=partial(signature, "bits_per_byte", text="target+end", per="byte"),
    range=(0.0, math.inf),
)
"""Summed bits / summed bytes of text, from 0 up; nan without text. Comparable between models of any tokenizer."""

OF_LIKELIHOODS = (LOSS.name, PERPLEXITY.name, PSEUDO_PERPLEXITY.name, BITS_PER_BYTE.name)
"""The metrics that read no predicted text."""
