"""Weights of the cells of a grid in the contrasts of its axes; a grid may have holes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product

__all__ = ["cell_weights", "crossed_levels", "level_moves"]


def crossed_levels(grid: Sequence[tuple[str, ...]]) -> list[list[str]]:
    """Return the levels of each axis that are all combined with one another; fewer axes where there are none left."""
    if not any(grid):
        return []
    firsts, there = dict.fromkeys(first for first, *_ in grid), set(grid)
    rests = dict.fromkeys(tuple(rest) for _, *rest in grid)
    shared = [rest for rest in rests if all((first, *rest) in there for first in firsts)]
    return [list(firsts), *crossed_levels(shared)]


def level_moves(block: Mapping[str, Sequence[str]], start: Mapping[str, str], axis: str) -> dict[str, dict[str, float]]:
    """Return, by level of an axis, the weights of what it has over the reference; none where that is missing."""
    if block.keys() != start.keys() or start[axis] not in block[axis]:
        return {}
    return {level: {level: 1.0, start[axis]: -1.0} for level in block[axis] if level != start[axis]}


def cell_weights(grid: Mapping[tuple[str, ...], str], sides: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the weight of each cell: the product of its levels' weights, one side for each axis."""
    return {
        grid[levels]: math.prod(side[level] for side, level in zip(sides, levels, strict=True))
        for levels in product(*sides)
    }
