"""Many comparisons and one promise: the chance of any false claim among them stays at 5% (or the level asked for).

One question, one family: which cells differ from the baseline; which from the best; what the axes do. Each family is
adjusted by itself (`harness.stats.step_down`), and each comparison's interval is at the level of its adjusted test, so
that it holds 0 just where the test is undecided.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations, islice, product
from types import MappingProxyType
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from scipy.special import ndtri

from harness.stats.contrasts import Estimate, Target, Weighed, seeds_of
from harness.stats.effect_shares import effect_shares
from harness.stats.factorial_weights import cell_weights, crossed_levels, level_moves
from harness.stats.resampling import Floats
from harness.stats.step_down import LEAST, step_down
from harness.stats.trained_cells import Trained

__all__ = [
    "Comparison",
    "Effects",
    "Verdict",
    "all_pairs",
    "covariance",
    "effects",
    "not_distinguishable",
    "selection_luck",
    "some_pairs",
    "to_baseline",
    "with_best",
]

Verdict: TypeAlias = Literal["better", "worse", "undecided"]

_OPPOSITE: Mapping[Verdict, Verdict] = {"better": "worse", "worse": "better", "undecided": "undecided"}


class Comparison(NamedTuple):
    """One claim of a family: what ``a`` has over ``b``."""

    a: str
    b: str
    difference: Estimate
    """Of ``a`` minus ``b``; its interval is at the level of the adjusted test, its p-value that of this comparison
    alone. No p-value is told below `LEAST`."""
    p_adjusted: float
    """For the family; nan where a score is undefined or does not resample."""
    verdict: Verdict
    """Of ``a``, by the adjusted p-value and the metric's direction."""
    reason: str = ""
    """Why it was not tested; empty where it was."""

    @property
    def p(self) -> float:
        """The p-value of this comparison alone; nan where it was not tested."""
        return self.difference.p

    def __repr__(self) -> str:
        gain = self.difference
        ends = "no interval" if math.isnan(gain.low) else f"{gain.low:+.4g} to {gain.high:+.4g}"
        told = f"{gain.value:+.4g}, {ends}, p_adjusted {self.p_adjusted:.3g}"
        return f"Comparison({self.a!r} against {self.b!r}: {self.reason or self.verdict}; {told})"

    @property
    def turned(self) -> Comparison:
        """The same claim told of ``b``: what it has over ``a``."""
        gain = self.difference
        swapped = gain._replace(value=-gain.value, low=-gain.high, high=-gain.low)
        return self._replace(a=self.b, b=self.a, difference=swapped, verdict=_OPPOSITE[self.verdict])


class Effects(NamedTuple):
    """What each factor does, and whether it depends on another; all of it is one family."""

    main: Mapping[str, tuple[Comparison, ...]]
    """By axis: its levels against the reference level, averaged over all other axes."""
    interactions: Mapping[tuple[str, str], tuple[Comparison, ...]]
    """By pair of axes: two levels, as ``one/other``, against the reference levels, averaged over all further axes: what
    the one gains at the other beyond what it gains at the other's reference level. A verdict says whether the two
    together are better than their sum."""
    shares: Mapping[tuple[str, ...], float] = MappingProxyType({})
    """By axis, as ``(axis,)``, and by pair: the share of the differences between cells, see `effect_shares`."""


class _Contrast(NamedTuple):
    a: str
    b: str
    weights: Mapping[str, float]


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
    return some_pairs(cells, combinations(cells, 2), higher_is_better=higher_is_better, level=level, of=of)


def some_pairs(
    cells: Mapping[str, Trained],
    pairs: Iterable[tuple[str, str]],
    *,
    higher_is_better: bool,
    level: float = 0.95,
    of: Target = "procedure",
) -> tuple[Comparison, ...]:
    """Compare the first of each pair with the second; p-values adjusted over all of them. See `to_baseline`."""
    contrasts = [_Contrast(a, b, {a: 1.0, b: -1.0}) for a, b in pairs]
    return _family(contrasts, cells, higher_is_better=higher_is_better, level=level, of=of)


def with_best(
    cells: Mapping[str, Trained], best: str, *, higher_is_better: bool, level: float = 0.95, of: Target = "procedure"
) -> tuple[Comparison, ...]:
    """Compare every other cell with the one that validation likes best; p-values adjusted over all of them.

    The question of Hsu (1984, "Constrained Simultaneous Confidence Intervals for Multiple Comparisons with the Best"),
    asked about a cell that the same runs chose: seeds that were lucky on validation are lucky here. Were seeds all that
    moves scores, the best of equal cells would lead by the range of all, so variance over seeds is counted as often as
    it takes for the bound of these comparisons to become that of all pairs. See `to_baseline`.
    """
    others = [name for name in cells if name != best]
    pairs = len(cells) * (len(cells) - 1) // 2
    luck = _ratio((1 - level) / 2, len(others), pairs)
    contrasts = [_Contrast(name, best, {name: 1.0, best: -1.0}) for name in others]
    return _family(contrasts, cells, higher_is_better=higher_is_better, level=level, of=of, luck=luck)


def selection_luck(cells: int, *, higher_is_better: bool, level: float = 0.95) -> tuple[float, float]:
    """Return how often the seeds' variance counts below and above the score of the best of so many cells.

    The luckiest of so many is as far up as a bound for all of them; what luck adds is one-sided.
    """
    ratio = _ratio((1 - level) / 2, 1, cells)
    return (ratio, 1.0) if higher_is_better else (1.0, ratio)


def _ratio(tail: float, few: int, many: int) -> float:
    """Return the ratio of variances at which Bonferroni's bound for few normal deviates is that for many."""
    return float((ndtri(tail / many) / ndtri(tail / few)) ** 2) if few and many > few else 1.0


def not_distinguishable(best: str, comparisons: Iterable[Comparison]) -> tuple[str, ...]:
    """Return the best cell, then those that were tested and not told apart from it: what may still be the best.

    Args:
        best: Whichever way it was chosen.
        comparisons: From `with_best`.
    """
    tied = (one.a for one in comparisons if one.verdict == "undecided" and not one.reason)
    return (best, *tied)


def effects(
    cells: Mapping[str, Trained],
    factors: Mapping[str, Mapping[str, str]],
    *,
    reference: str,
    higher_is_better: bool,
    level: float = 0.95,
    of: Target = "procedure",
    unmoved: Mapping[str, Collection[str]] = MappingProxyType({}),
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
        unmoved: By axis, the cells that are the same at each of its levels, of which it moves none. Its effect, and
            those of its pairs, are of the others; so are all shares.
    """
    start = factors[reference]

    def moved(axes: Iterable[str]) -> tuple[dict[tuple[str, ...], str], dict[str, list[str]]]:
        """Return the cells that all of some axes move, by their levels, and the levels of each axis."""
        out = {cell for axis in axes for cell in unmoved.get(axis, ())}
        grid = {tuple(levels.values()): cell for cell, levels in factors.items() if cell not in out}
        return grid, dict(zip(start, crossed_levels(list(grid)), strict=False))

    def contrasts(*axes: str) -> list[_Contrast]:
        grid, block = moved(axes)
        shares = {axis: dict.fromkeys(levels, 1 / len(levels)) for axis, levels in block.items()}
        moves = {axis: level_moves(block, start, axis) for axis in start}
        found = []
        for levels in product(*(moves[axis] for axis in axes)):
            sides = shares | {axis: moves[axis][level] for axis, level in zip(axes, levels, strict=True)}
            names = "/".join(levels), "/".join(start[axis] for axis in axes)
            found.append(_Contrast(*names, cell_weights(grid, list(sides.values()))))
        return found

    asked = {axes: contrasts(*axes) for axes in [*((axis,) for axis in start), *combinations(start, 2)]}
    every = [contrast for part in asked.values() for contrast in part]
    answers = iter(_family(every, cells, higher_is_better=higher_is_better, level=level, of=of))
    told = {axes: tuple(islice(answers, len(part))) for axes, part in asked.items()}
    grid, block = moved(start)
    scores = {levels: cells[cell].value for levels, cell in grid.items()}
    squares = effect_shares(block, scores) if block.keys() == start.keys() else {}
    squares = {axes: share for axes, share in squares.items() if all(len(block[axis]) > 1 for axis in axes)}
    main, pairs = {axis: told[axis,] for axis in start}, {pair: told[pair] for pair in combinations(start, 2)}
    return Effects(main, pairs, squares)


def _family(
    contrasts: Sequence[_Contrast],
    cells: Mapping[str, Trained],
    *,
    higher_is_better: bool,
    level: float,
    of: Target,
    luck: float = 1.0,
) -> tuple[Comparison, ...]:
    weighed = [Weighed.of(contrast.weights, cells, of=of, luck=(luck, luck)) for contrast in contrasts]
    p_values = [one.p for one in weighed]
    names = sorted({name for contrast in contrasts for name in contrast.weights})  # chance is the same in any order
    places = {name: place for place, name in enumerate(names)}
    weights = np.zeros((len(contrasts), len(names)))
    for row, contrast in zip(weights, contrasts, strict=True):
        row[[places[name] for name in contrast.weights]] = list(contrast.weights.values())
    adjusted = step_down(p_values, weights, covariance([cells[name] for name in names], of, luck), level=level)
    return tuple(
        Comparison(c.a, c.b, difference, p, _verdict(difference.value, p, 1 - level, higher_is_better))
        for c, one, p, own in zip(contrasts, weighed, adjusted.p_values.tolist(), adjusted.levels.tolist(), strict=True)
        for difference in [_told(one.at(own), decided=p <= 1 - level)]
    )


def covariance(cells: Sequence[Trained], of: Target, luck: float = 1.0) -> Floats:
    """Return the covariance of the cells' scores, shape (cells, cells); 0 where a score is undefined."""
    if not cells:
        return np.zeros((0, 0))
    with np.errstate(invalid="ignore"):
        found: Floats = np.atleast_2d(np.cov([cell.draws for cell in cells]))
    least = [cell.least_variance for cell in cells]
    np.fill_diagonal(found, np.maximum(np.diag(found), least))
    if of == "procedure":
        found = found + luck * _by_seeds(cells)
    defined: Floats = np.nan_to_num(found, posinf=0.0, neginf=0.0)
    return defined


def _by_seeds(cells: Sequence[Trained]) -> Floats:
    """Return the part of the covariance that is seeds: of cells with the same weights, such that differences agree."""
    seeds = np.diag([sum(part.variance for part in seeds_of({"": 1.0}, {"": cell})) for cell in cells])
    for (row, one), (column, other) in combinations(enumerate(cells), 2):
        if one.shared is None or one.shared is not other.shared:
            continue
        apart = sum(part.variance for part in seeds_of({"a": 1.0, "b": -1.0}, {"a": one, "b": other}))
        most = math.sqrt(seeds[row, row] * seeds[column, column])
        seeds[row, column] = seeds[column, row] = np.clip(
            (seeds[row, row] + seeds[column, column] - apart) / 2, -most, most
        )
    return seeds


def _told(difference: Estimate, *, decided: bool) -> Estimate:
    """Return a difference as it is told; of few examples an interval may be surer than the test: it reaches 0 then."""
    if math.isnan(difference.p):
        return difference
    low, high = (difference.low, difference.high) if decided else (min(difference.low, 0.0), max(difference.high, 0.0))
    return difference._replace(p=max(difference.p, LEAST), low=low, high=high)


def _verdict(difference: float, p: float, alpha: float, higher_is_better: bool) -> Verdict:
    if math.isnan(p) or p > alpha or not difference:
        return "undecided"
    return "better" if (difference > 0) == higher_is_better else "worse"
