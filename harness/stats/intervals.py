"""How far a score would move had other examples been drawn: bootstrap intervals of one set of predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.special import ndtr, ndtri

from harness.stats.resampling import RESAMPLES, Floats, Reduce, Rescore, draw, rescorer

__all__ = ["Interval", "bootstrap", "least_variance", "percentiles", "wilson"]


class Interval(NamedTuple):
    """A score and the range that its true value is taken to lie in."""

    value: float
    """The score of all examples."""
    low: float
    high: float


def bootstrap(
    statistics: Sequence[Any],
    reduce: Reduce,
    *,
    generator: np.random.Generator,
    method: Literal["bca", "percentile"] = "bca",
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Interval:
    """Return a bootstrap interval for the score of one set of predictions, with its model taken as it is.

    ``percentile`` reads the quantiles of resampled scores (Efron 1979); ``bca`` moves them by how far the resampled
    scores are off center and by how much a score's error grows with the score (Efron 1987, "Better Bootstrap
    Confidence Intervals", section 2; the acceleration by the jackknife, his equation 7.3). Neither suits a score that
    falls as a set grows, such as distinct-n: its resamples all lie on one side.

    Args:
        statistics: One for each example.
        reduce: The metric's reduction.
        generator: Where chance comes from.
        method: Which interval.
        level: The share of such intervals that should hold the truth.
        resamples: How many sets of examples to draw.

    Raises:
        ValueError: There are no examples.
    """
    rescore = rescorer(statistics, reduce)
    examples = len(statistics)
    draws = np.concatenate([rescore(counts) for counts in draw(examples, resamples, generator)])
    value = float(reduce(statistics))
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        tails = _shifted(tails, draws, value, _acceleration(rescore, examples))
    low, high = percentiles(draws, tails)
    return Interval(value, low, high)


def percentiles(draws: Floats, tails: Floats) -> tuple[float, float]:
    """Return the lower and upper quantile, nan if a draw is nan."""
    low, high = np.quantile(draws, tails) if np.isfinite(draws).all() else (np.nan, np.nan)
    return float(low), float(high)


def wilson(share: float, examples: float, quantile: float, *, upper: bool = False) -> float:
    """Return one end of Wilson's interval of a share (1927, "Probable Inference"); never below 0 or above 1.

    Args:
        share: Of examples that are right, 0 to 1.
        examples: How many there are, or are worth.
        quantile: Of the normal or Student's distribution; positive.
        upper: Which end.
    """
    pull = quantile**2 / examples
    half = quantile * math.sqrt(share * (1 - share) / examples + pull / (4 * examples))
    end = (share + pull / 2 + (half if upper else -half)) / (1 + pull)
    return min(max(end, share), 1.0) if upper else max(min(end, share), 0.0)  # by rounding, 0 could lie outside


def least_variance(examples: float) -> float:
    """Return the least variance over examples that a share of right ones is taken to have.

    Resamples of examples that are all right are all right, and where one is wrong they know next to nothing of how many
    would be among others. So a share varies at least as one of examples that are all alike, with one right and one
    wrong example added (Agresti & Coull 1998, "Approximate is Better than 'Exact' for Interval Estimation of Binomial
    Proportions", at the level of 68%; Bonett & Price 2012 add as many to each cell of a paired difference).
    """
    return (examples + 1) / (examples + 2) ** 3


def _shifted(tails: Floats, draws: Floats, value: float, acceleration: float) -> Floats:
    """Return the tail probabilities that BCa reads instead (Efron 1987, equation 2.3)."""
    slack = 1e-12 * float(np.abs(draws).max())  # equal scores whose sums were taken in another order
    below = (np.mean(draws < value - slack) + np.mean(draws <= value + slack)) / 2
    least = 0.5 / len(draws)  # keeps the shift finite where all draws lie on one side
    off_center = ndtri(np.clip(below, least, 1 - least))
    moved = off_center + ndtri(tails)
    shifted: Floats = ndtr(off_center + moved / (1 - acceleration * moved))
    return shifted


def _acceleration(rescore: Rescore, examples: int) -> float:
    """Return a sixth of the skewness of the jackknife's influences; 0 where no example moves the score."""
    if examples < 2:
        return 0.0
    step = max(1, 2**22 // examples)
    places = np.arange(examples)
    left_out = [rescore(1.0 - (places[start : start + step, None] == places)) for start in range(0, examples, step)]
    scores = np.concatenate(left_out)
    influences = scores.mean() - scores
    scale = np.sum(influences**2) ** 1.5
    return float(np.sum(influences**3) / (6 * scale)) if scale > 0 else 0.0
