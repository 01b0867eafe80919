"""Two sets of predictions for the same examples: is their difference more than chance? As sacreBLEU asks it.

Both tests take the models as they are; `harness.stats.contrasts` also counts what other seeds would have done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from harness.stats.resampling import RESAMPLES, Floats, Reduce, draw, rescorer

__all__ = ["Paired", "approximate_randomization", "paired_bootstrap"]


class Paired(NamedTuple):
    """What a paired test of two systems says."""

    difference: float
    """Score of the second minus score of the first."""
    p: float
    """The share of chance differences at least as large; never 0."""
    resamples: int


def paired_bootstrap(
    first: Sequence[Any],
    second: Sequence[Any],
    reduce: Reduce,
    *,
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Paired:
    """Test a difference by resampling examples, both systems on the same ones (Koehn 2004, section 4).

    The p-value is sacreBLEU's, so that published numbers can be compared: the share of resamples whose absolute
    difference exceeds the mean of these by the observed one. It asks about one side and so is about half of a two-sided
    p-value; verdicts are not built on it. Ties count as at least as large, unlike there, so that two equal systems have
    p = 1 and not the smallest p possible.

    Raises:
        ValueError: The systems answer different numbers of examples, or none.
    """
    _check(first, second)
    one, other = rescorer(first, reduce), rescorer(second, reduce)
    moved = [np.abs(other(counts) - one(counts)) for counts in draw(len(first), resamples, generator)]
    sizes = np.concatenate(moved)
    difference = float(reduce(second)) - float(reduce(first))
    return Paired(difference, _p(sizes - sizes.mean(), abs(difference)), resamples)


def approximate_randomization(
    first: Sequence[Any],
    second: Sequence[Any],
    reduce: Reduce,
    *,
    generator: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Paired:
    """Test a difference, on two sides, by swapping the systems' outputs at random (Riezler & Maxwell 2005, section 4).

    Were the systems alike, it would not matter which of them said what. The p-value is sacreBLEU's but for ties, which
    count as at least as large (see `paired_bootstrap`).

    Raises:
        ValueError: The systems answer different numbers of examples, or none.
    """
    _check(first, second)
    rescore = rescorer([*first, *second], reduce)
    step = max(1, 2**21 // len(first))
    sizes: list[Floats] = []
    for start in range(0, resamples, step):
        swapped = generator.integers(2, size=(min(step, resamples - start), len(first))).astype(np.float64)
        one, other = np.hstack([1 - swapped, swapped]), np.hstack([swapped, 1 - swapped])
        sizes.append(np.abs(rescore(other) - rescore(one)))
    difference = float(reduce(second)) - float(reduce(first))
    return Paired(difference, _p(np.concatenate(sizes), abs(difference)), resamples)


def _p(chance: Floats, observed: float) -> float:
    """Return the share at least as large, the observed one among them; nan where a score is undefined."""
    if not (np.isfinite(chance).all() and np.isfinite(observed)):
        return float("nan")
    slack = 1e-9 * max(observed, float(np.abs(chance).max()))  # sums in another order differ in their last digits
    return (int(np.sum(chance >= observed - slack)) + 1) / (len(chance) + 1)


def _check(first: Sequence[Any], second: Sequence[Any]) -> None:
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} examples cannot be paired; give both the same, in one order")
