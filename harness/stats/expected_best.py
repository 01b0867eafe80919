"""What a search of so many trials could be expected to find: the part of a score that is owed to the budget."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["expected_best"]


def expected_best(values: Sequence[float], *, maximize: bool) -> list[float]:
    """Return the expected best of 1, 2, ..., n trials that are drawn from these n without replacement.

    The curve of Dodge et al. 2019 ("Show Your Work: Improved Reporting of Experimental Results"). They draw with
    replacement, which is biased low; without replacement it is the mean over all subsets of a size, a U-statistic and
    without bias (Tang et al. 2020, "Showing Your Work Doesn't Always Work")::

        E(k) = sum over i of value(i) * C(i - 1, k - 1) / C(n, k)        value(1) worst, ..., value(n) best

    It holds for trials that are exchangeable: independent draws, or points of a grid in any order. A sampler that
    learns from earlier trials (``gp``, ``tpe``) tends to draw better ones later: for it E(k) says what k of its trials
    are worth, whichever they are, and not what a search that ended after k would have found.

    Args:
        values: One for each trial; nan for one that diverged, which counts as the worst of the others: whatever loss it
            had, it would never have been chosen before them.
        maximize: Whether a higher value is better.

    Returns:
        As many numbers as there are values, none worse than the one before it; nan where every trial diverged.
    """
    finite = [value for value in values if not math.isnan(value)]
    if not finite:
        return [math.nan] * len(values)
    sign = 1.0 if maximize else -1.0
    merits = sorted(sign * value for value in finite)
    merits = [merits[0]] * (len(values) - len(finite)) + merits
    return [sign * _best_of(size, merits) for size in range(1, len(merits) + 1)]


def _best_of(size: int, merits: Sequence[float]) -> float:
    """Return the mean of the largest over all subsets of a size; merits ascend."""
    subsets = math.comb(len(merits), size)
    chances = (math.comb(place, size - 1) / subsets for place in range(len(merits)))
    return math.fsum(merit * chance for merit, chance in zip(merits, chances, strict=True) if chance)
