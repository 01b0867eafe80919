"""How many examples it would take to see a difference."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import stdtrit

from harness.stats.contrasts import seeds_of
from harness.stats.intervals import least_variance
from harness.stats.seed_variance import standard_error
from harness.stats.trained_cells import Runs, Trained, rescored

__all__ = ["FEWEST", "MOST", "examples_needed", "power"]

FEWEST, MOST = 10, 100_000
"""The range that `examples_needed` looks through."""


def power(
    pair: tuple[Runs, Runs],
    trained: tuple[Trained, Trained],
    difference: float,
    *,
    examples: int,
    generator: np.random.Generator,
    level: float = 0.95,
    resamples: int = 1000,
) -> float:
    """Return the chance that a study with so many examples, and as many seeds, would see a difference.

    By resampling (Efron & Tibshirani 1993, "An Introduction to the Bootstrap", section 25.4): sets of that size are
    drawn from the examples at hand, the two cells' difference on each is moved to the size asked about, and the test of
    `harness.stats.contrasts.estimate` is applied to it.

    Args:
        pair: Two cells.
        trained: The same, resampled with all others of their study.
        difference: The true difference to be seen, in the metric's units; its sign does not matter.
        examples: How many the study would have.
        generator: Where chance comes from.
        level: One minus the level of the test: of one among many comparisons, the level that is left to each.
        resamples: How many studies to draw.

    Raises:
        ValueError: Fewer than two examples at hand, or cells with different numbers of them.
    """
    one, other = rescored(pair, generator=generator, resamples=resamples, size=examples)
    draws = one.mean(axis=0) - other.mean(axis=0)
    seeds = seeds_of({"first": 1.0, "second": -1.0}, {"first": trained[0], "second": trained[1]})
    least = least_variance(examples) * sum(cell.binary for cell in trained)
    error, degrees = standard_error(max(float(draws.var(ddof=1)), least), examples, seeds)
    seeds_moved = math.sqrt(sum(part.variance for part in seeds)) * generator.standard_normal(resamples)
    seen = np.abs(draws - draws.mean() + abs(difference) + seeds_moved)
    return float(np.mean(seen > stdtrit(degrees, (1 + level) / 2) * error))


def examples_needed(
    pair: tuple[Runs, Runs],
    trained: tuple[Trained, Trained],
    difference: float,
    *,
    generator: np.random.Generator,
    chance: float = 0.8,
    level: float = 0.95,
    resamples: int = 1000,
) -> int | None:
    """Return how many examples a study with as many seeds needs to see a difference with that chance.

    Rounded up to two digits, for more would promise too much; at least `FEWEST`. None where `MOST` do not do: what
    hides the difference is then likely the spread over seeds, and more seeds are needed.

    Args:
        pair: Two cells.
        trained: The same, resampled with all others of their study.
        difference: The true difference to be seen, in the metric's units.
        generator: Where chance comes from.
        chance: The power wanted.
        level: One minus the level of the test.
        resamples: How many studies to draw at each size that is tried.

    Raises:
        ValueError: Fewer than two examples at hand, or cells with different numbers of them.
    """
    seed = int(generator.integers(2**63))

    def enough(examples: int) -> bool:
        again = np.random.default_rng(seed)  # the same chance at every size, so that power hardly ever falls with it
        seen = power(pair, trained, difference, examples=examples, generator=again, level=level, resamples=resamples)
        return seen >= chance

    if not enough(MOST):
        return None
    low, high = FEWEST - 1, MOST
    while high - low > max(1, high // 100):
        middle = round(math.sqrt(low * high))
        low, high = (low, middle) if enough(middle) else (middle, high)
    unit = int(10 ** max(0, len(str(high)) - 2))
    return -(-high // unit) * unit
