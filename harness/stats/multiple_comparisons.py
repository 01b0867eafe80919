"""Many comparisons and one promise: the chance of any false claim among them stays at 5% (or the level asked for)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations, product
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from harness.stats.contrasts import Estimate, Target, Trained, estimate
from harness.stats.resampling import Floats

__all__ = [
    "Comparison",
    "Effects",
    "Verdict",
    "all_pairs",
    "effects",
    "holm",
    "not_distinguishable",
    "to_baseline",
]

Verdict: TypeAlias = Literal["better", "worse", "undecided"]


class Comparison(NamedTuple):
    """One claim of a family: what ``a`` has over ``b``."""

    a: str
    b: str
    difference: Estimate
    """Of ``a`` minus ``b``; its interval and p-value are those of this comparison alone."""
    p_adjusted: float
    """For the family (Holm 1979); nan where a score is undefined."""
    verdict: Verdict
    """Of ``a``, by the adjusted p-value and the metric's direction."""


class Effects(NamedTuple):
    """What each factor does, and whether it depends on another; Holm's correction within each family."""

    main: Mapping[str, tuple[Comparison, ...]]
    """By axis: its levels against the reference level, averaged over all other axes."""
    interactions: Mapping[tuple[str, str], tuple[Comparison, ...]]
    """By pair of axes: two levels, as ``one/other``, against the reference levels, averaged over all further axes: what
    the one gains at the other beyond what it gains at the other's reference level. A verdict says whether the two
    together are better than their sum."""


class _Contrast(NamedTuple):
    a: str
    b: str
    weights: Mapping[str, float]


def holm(p_values: Sequence[float]) -> Floats:
    """Adjust p-values so that the chance of any false rejection is kept, whatever their dependence.

    Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure", section 2. A nan stays nan, and counts.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(values)  # nan last
    scaled = values[order] * (len(values) - np.arange(len(values)))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted


def to_baseline(
    cells: Mapping[str, Trained],
    baseline: str,
    *,
    higher_is_better: bool,
    level: float = 0.95,
    of: Target = "procedure",
) -> tuple[Comparison, ...]:
    """Compare every other cell with the baseline, in the order given; p-values adjusted over all of them.

    Args:
        cells: From `resample`.
        baseline: A name among them.
        higher_is_better: The metric's direction.
        level: Of the intervals; verdicts are at one minus it.
        of: What the claims are about; see `harness.stats.contrasts`.
    """
    contrasts = [_Contrast(name, baseline, {name: 1.0, baseline: -1.0}) for name in cells if name != baseline]
    return _family(contrasts, cells, higher_is_better=higher_is_better, level=level, of=of)


def all_pairs(
    cells: Mapping[str, Trained], *, higher_is_better: bool, level: float = 0.95, of: Target = "procedure"
) -> tuple[Comparison, ...]:
    """Compare each cell with each that comes after it; p-values adjusted over all pairs. See `to_baseline`."""
    contrasts = [_Contrast(a, b, {a: 1.0, b: -1.0}) for a, b in combinations(cells, 2)]
    return _family(contrasts, cells, higher_is_better=higher_is_better, level=level, of=of)


def not_distinguishable(best: str, pairs: Iterable[Comparison]) -> tuple[str, ...]:
    """Return the best cell, then those about which its pairs are undecided: what may still be the best.

    Args:
        best: Whichever way it was chosen.
        pairs: From `all_pairs`.
    """
    undecided = [pair for pair in pairs if best in (pair.a, pair.b) and pair.verdict == "undecided"]
    return (best, *(pair.b if pair.a == best else pair.a for pair in undecided))


def effects(
    cells: Mapping[str, Trained],
    factors: Mapping[str, Mapping[str, str]],
    *,
    reference: str,
    higher_is_better: bool,
    level: float = 0.95,
    of: Target = "procedure",
) -> Effects:
    """Return the main effect of each axis and the interaction of each pair, paired over the other axes.

    Where the grid has holes, all levels of the first axis are kept, and of the others those that all have.

    Args:
        cells: From `resample`.
        factors: Names of cells to their levels, by axis; the axes in one order, two or more.
        reference: The cell whose levels the others are held against: the baseline.
        higher_is_better: The metric's direction.
        level: Of the intervals; verdicts are at one minus it.
        of: What the claims are about; see `harness.stats.contrasts`.
    """
    start = factors[reference]
    grid = {tuple(levels.values()): cell for cell, levels in factors.items()}
    block = dict(zip(start, _crossed(list(grid)), strict=False))
    shares = {axis: dict.fromkeys(levels, 1 / len(levels)) for axis, levels in block.items()}
    moves = {axis: _moves(block, start, axis) for axis in start}

    def family(*axes: str) -> tuple[Comparison, ...]:
        contrasts = []
        for levels in product(*(moves[axis] for axis in axes)):
            sides = shares | {axis: moves[axis][level] for axis, level in zip(axes, levels, strict=True)}
            names = "/".join(levels), "/".join(start[axis] for axis in axes)
            contrasts.append(_Contrast(*names, _weights(grid, list(sides.values()))))
        return _family(contrasts, cells, higher_is_better=higher_is_better, level=level, of=of)

    return Effects({axis: family(axis) for axis in start}, {pair: family(*pair) for pair in combinations(start, 2)})


def _crossed(grid: Sequence[tuple[str, ...]]) -> list[list[str]]:
    """Return the levels of each axis that are all combined with one another; fewer axes where there are none left."""
    if not any(grid):
        return []
    firsts, there = dict.fromkeys(first for first, *_ in grid), set(grid)
    rests = dict.fromkeys(tuple(rest) for _, *rest in grid)
    shared = [rest for rest in rests if all((first, *rest) in there for first in firsts)]
    return [list(firsts), *_crossed(shared)]


def _moves(block: Mapping[str, Sequence[str]], start: Mapping[str, str], axis: str) -> dict[str, dict[str, float]]:
    """Return, by level of an axis, the weights of what it has over the reference; none where that is missing."""
    if block.keys() != start.keys() or start[axis] not in block[axis]:
        return {}
    return {level: {level: 1.0, start[axis]: -1.0} for level in block[axis] if level != start[axis]}


def _weights(grid: Mapping[tuple[str, ...], str], sides: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the weight of each cell: the product of its levels' weights, one side for each axis."""
    return {
        grid[levels]: math.prod(side[level] for side, level in zip(sides, levels, strict=True))
        for levels in product(*sides)
    }


def _family(
    contrasts: Sequence[_Contrast], cells: Mapping[str, Trained], *, higher_is_better: bool, level: float, of: Target
) -> tuple[Comparison, ...]:
    differences = [estimate(contrast.weights, cells, level=level, of=of) for contrast in contrasts]
    adjusted = holm([difference.p for difference in differences])
    return tuple(
        Comparison(c.a, c.b, difference, float(p), _verdict(difference.value, p, 1 - level, higher_is_better))
        for c, difference, p in zip(contrasts, differences, adjusted, strict=True)
    )


def _verdict(difference: float, p: float, alpha: float, higher_is_better: bool) -> Verdict:
    if math.isnan(p) or p > alpha or not difference:
        return "undecided"
    return "better" if (difference > 0) == higher_is_better else "worse"
