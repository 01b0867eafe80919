"""Many comparisons and one promise: the chance of any false claim among them stays at 5% (or the level asked for)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
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
    """What each factor does, and whether it depends on the other; Holm's correction within each of the three."""

    prompt: tuple[Comparison, ...]
    """Prompts against the reference prompt, averaged over tunings."""
    tuning: tuple[Comparison, ...]
    """Tunings against the reference tuning, averaged over prompts."""
    interaction: tuple[Comparison, ...]
    """``prompt/tuning`` against the reference cell: what the prompt gains there beyond what it gains at the reference
    tuning. Its verdict says whether the two together are better than their sum."""


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
    grid: Mapping[tuple[str, str], str],
    *,
    reference: tuple[str, str],
    higher_is_better: bool,
    level: float = 0.95,
    of: Target = "procedure",
) -> Effects:
    """Return main effects of prompt and tuning and their interaction, paired over the other factor.

    Where the grid has holes, the tunings that all its prompts have are used.

    Args:
        cells: From `resample`.
        grid: Names of cells by (prompt, tuning).
        reference: The prompt and tuning that the others are held against: the baseline's.
        higher_is_better: The metric's direction.
        level: Of the intervals; verdicts are at one minus it.
        of: What the claims are about; see `harness.stats.contrasts`.
    """
    base, start = reference
    prompts = list(dict.fromkeys(prompt for prompt, _ in grid))
    tunings = [t for t in dict.fromkeys(tuning for _, tuning in grid) if all((p, t) in grid for p in prompts)]
    gains = {p: {p: 1.0, base: -1.0} for p in prompts if p != base and base in prompts and tunings}
    moves = {t: {t: 1.0, start: -1.0} for t in tunings if t != start and start in tunings}
    everywhere, all_over = _shares(tunings), _shares(prompts)
    by_prompt = [_Contrast(p, base, _weights(grid, gain, everywhere)) for p, gain in gains.items()]
    by_tuning = [_Contrast(t, start, _weights(grid, all_over, move)) for t, move in moves.items()]
    together = [
        _Contrast(grid[p, t], grid[reference], _weights(grid, gains[p], moves[t])) for p in gains for t in moves
    ]
    families = (
        _family(contrasts, cells, higher_is_better=higher_is_better, level=level, of=of)
        for contrasts in (by_prompt, by_tuning, together)
    )
    return Effects(*families)


def _shares(names: Sequence[str]) -> dict[str, float]:
    return {name: 1 / len(names) for name in names}


def _weights(
    grid: Mapping[tuple[str, str], str], prompts: Mapping[str, float], tunings: Mapping[str, float]
) -> dict[str, float]:
    return {grid[p, t]: x * y for p, x in prompts.items() for t, y in tunings.items()}


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
