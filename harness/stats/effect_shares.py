"""How much of the differences between cells each axis and each pair of axes accounts for: an analysis of variance.

On a whole grid the sums of squares of all effects add up to that of the cells' scores around their mean (Fisher's
decomposition; on such a grid all types of sums of squares agree). They describe the scores that were seen, chance
included; what may be claimed is for the tests of `harness.stats.multiple_comparisons`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np

from harness.stats.resampling import Floats

__all__ = ["effect_shares"]

ROUNDING = 1e-12
"""Of the largest score: means that differ by less differ by how they were added up."""


def effect_shares(
    block: Mapping[str, Sequence[str]], grid: Mapping[tuple[str, ...], float]
) -> dict[tuple[str, ...], float]:
    """Return the share of each axis and of each pair beyond both; what is left to 1 is of three and more axes at once.

    Args:
        block: Levels by axis, all of them combined with one another.
        grid: Scores by their levels, in the order of the axes; empty shares where one is undefined, or all are equal.
    """
    axes = list(block)
    values: Floats = np.array([grid[levels] for levels in product(*block.values())], dtype=np.float64)
    values = values.reshape([len(levels) for levels in block.values()])
    total = _squares(values - values.mean(), values) if np.isfinite(values).all() else 0.0
    if not total:
        return {}
    places = range(len(axes))
    alone = {place: _mean(values, (place,)) - values.mean() for place in places}
    shares: dict[tuple[str, ...], float] = {
        (axes[place],): _squares(one, values) / total for place, one in alone.items()
    }
    for one, other in combinations(places, 2):
        both = _mean(values, (one, other)) - values.mean() - alone[one] - alone[other]
        shares[axes[one], axes[other]] = _squares(both, values) / total
    return shares


def _mean(values: Floats, kept: Sequence[int]) -> Floats:
    """Return the means over all axes but some, in a shape that goes with the values."""
    found: Floats = values.mean(axis=tuple(place for place in range(values.ndim) if place not in kept), keepdims=True)
    return found


def _squares(effect: Floats, values: Floats) -> float:
    """Return an effect's sum of squares; 0 where it is but rounding."""
    if np.abs(effect).max() <= ROUNDING * np.abs(values).max():
        return 0.0
    return float((np.broadcast_to(effect, values.shape) ** 2).sum())
