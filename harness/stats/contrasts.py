"""Final runs on two levels, seeds and examples: intervals and tests for cells and for any difference between them.

What is estimated. A cell's score is the mean over its final runs. By default the truth it stands for is that of the
*training procedure*: the mean over all seeds and all examples of the kind, at the learning rate that was found (the
search is not repeated). ``of="models"`` asks about *these trained models* on all examples, and leaves seeds out of the
error.

How. All cells are scored on the same resamples of the examples, each run by itself, and averaged over its runs: a
bootstrap on the level of examples, which keeps the pairing. Two to five seeds are too few to be resampled as well:
their deviations shrink by sqrt((S - 1) / S), their quantiles are not those of a large sample, and what a seed does to
single examples is counted twice, so that intervals are too narrow or too wide as the case may be. Seeds enter as a
variance component instead, the runs being readers and the examples cases (Obuchowski & Rockette 1995, "Hypothesis
testing of diagnostic accuracy for multiple readers and multiple tests"; for a metric that is an average it is the
variance of a two-way layout, Searle, Casella & McCulloch 1992, "Variance Components", chapter 4)::

    variance = v + t        v: of the mean over runs, over resamples of examples (times n / (n - 1))
                            t: max(0, s2 - r) / S
    s2: variance of the S runs' scores         r: the part of it that is examples moving runs apart, from the resamples

with Satterthwaite's degrees of freedom (1946), each part by its mean square: ``v`` has n - 1, ``s2 / S`` has S - 1.
Intervals keep the shape of the bootstrap: each side's distance from the center over the normal quantile is that side's
standard deviation, to which ``t`` is added (as Zou & Donner 2008 join confidence limits) before Student's quantile
multiplies it. A p-value is Student's for the standard error, or for the deviation on the side of 0 where that is the
larger: what is significant by itself never has an interval that holds 0.

How well. In `benchmarks/bench_calibration.py` (200 examples, 3 seeds that deviate by 0 to 1 standard errors over
examples) 95% intervals of differences cover in 94.7 to 96.7%, with seeds resampled by replacement in 92 to 98%. With
2 seeds that deviate by 1 they cover in 93 to 94%, and among 12 equal cells Holm's 5% of studies with a false claim
become 8 to 10%: take three seeds or more.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from harness.stats.intervals import percentiles
from harness.stats.resampling import RESAMPLES, Floats, Reduce, Rescore, draw, rescorer

__all__ = ["Estimate", "Runs", "Target", "Trained", "estimate", "resample", "rescored", "runs", "standard_error"]

Target: TypeAlias = Literal["procedure", "models"]
"""What an estimate is about; see the head of this file."""


class Runs(NamedTuple):
    """The final runs of one cell, ready to be scored on any resample of the test examples."""

    scorers: tuple[Rescore, ...]
    """One for each run; all over the same examples in the same order."""
    examples: int
    seeded: bool
    """Whether another seed would give another run; not so for a cell that trains nothing and for reference rows."""


def runs(statistics: Sequence[Sequence[Any]], reduce: Reduce, *, seeded: bool = True) -> Runs:
    """Return a cell's runs from their per-example statistics.

    Args:
        statistics: For each final run, one statistic for each example; examples in one order in all cells.
        reduce: The metric's reduction.
        seeded: Whether another seed would give another run.

    Raises:
        ValueError: There are no runs, no examples, or runs with different numbers of examples.
    """
    lengths = {len(run) for run in statistics}
    if len(lengths) != 1:
        raise ValueError(f"runs must answer the same examples; these have {sorted(lengths) or 'no runs'}")
    return Runs(tuple(rescorer(run, reduce) for run in statistics), lengths.pop(), seeded)


@dataclass(frozen=True)
class Trained:
    """One cell: its runs' scores, and what resampled examples and other seeds do to their mean."""

    scores: tuple[float, ...]
    """Of each run, on all examples."""
    draws: Floats
    """Mean over runs on each resample, shape (resamples,); the same resamples for all cells."""
    seed_variance: float
    """Of the mean over runs, due to seeds alone; 0 where it cannot be known from one run."""
    seed_square: float
    """The runs' variance over their number, examples' part included: what has ``runs - 1`` degrees of freedom."""
    examples: int
    covers_seeds: bool
    """Whether the variance over seeds is known: two runs or more, or a cell without seeds."""

    @property
    def value(self) -> float:
        """The mean over runs."""
        return math.fsum(self.scores) / len(self.scores)

    def scaled(self, weight: float) -> Trained:
        """Return the cell in another unit, as it enters a weighted sum."""
        return replace(
            self,
            scores=tuple(weight * score for score in self.scores),
            draws=weight * self.draws,
            seed_variance=weight**2 * self.seed_variance,
            seed_square=weight**2 * self.seed_square,
        )


class Estimate(NamedTuple):
    """A score or a difference, its interval, and the test that it is not 0."""

    value: float
    low: float
    high: float
    error: float
    """Standard error."""
    degrees: float
    """Degrees of freedom, which few seeds make few."""
    p: float
    """Two-sided, of a true value of 0; nan where a score is undefined. At least 2 / 2**n, the least that swapping the
    signs of n examples could give; below one minus the level only if the interval leaves 0 out."""
    covers_seeds: bool
    """Whether the interval speaks of other seeds too: asked to, and every cell with seeds has two runs or more."""


def resample(
    cells: Mapping[str, Runs], *, generator: np.random.Generator, resamples: int = RESAMPLES
) -> dict[str, Trained]:
    """Score all cells on the same resamples of the examples.

    Args:
        cells: Runs by cell name, all over the same examples in the same order.
        generator: Where chance comes from.
        resamples: How many; they serve variances and quantiles, not the tails of a p-value.

    Raises:
        ValueError: Fewer than two examples, or cells with different numbers of them.
    """
    drawn = rescored(list(cells.values()), generator=generator, resamples=resamples)
    return {name: _trained(cell, scores) for (name, cell), scores in zip(cells.items(), drawn, strict=True)}


def rescored(
    cells: Sequence[Runs], *, generator: np.random.Generator, resamples: int, size: int | None = None
) -> list[Floats]:
    """Return every run's score on the same resamples, for each cell shape (runs, resamples).

    Deviations from their mean are stretched by sqrt(n / (n - 1)), so that their variance is without bias.

    Raises:
        ValueError: Fewer than two examples, or cells with different numbers of them.
    """
    sizes = {cell.examples for cell in cells}
    if len(sizes) != 1 or min(sizes) < 2:
        raise ValueError(f"cells must answer the same examples, two or more; these answer {sorted(sizes)}")
    examples = sizes.pop()
    chunks: list[list[Floats]] = [[] for _ in cells]
    for counts in draw(examples, resamples, generator, size=size):
        for chunk, cell in zip(chunks, cells, strict=True):
            chunk.append(np.stack([scorer(counts) for scorer in cell.scorers]))
    return [_stretched(np.concatenate(chunk, axis=1), math.sqrt(examples / (examples - 1))) for chunk in chunks]


def _stretched(scores: Floats, factor: float) -> Floats:
    with np.errstate(invalid="ignore"):  # an infinite perplexity has no deviation
        center = scores.mean(axis=1, keepdims=True)
        stretched: Floats = center + factor * (scores - center)
    return stretched


def _trained(cell: Runs, drawn: Floats) -> Trained:
    number = len(cell.scorers)
    everything = np.ones((1, cell.examples))
    scores = [float(scorer(everything)[0]) for scorer in cell.scorers]
    square = excess = 0.0
    if cell.seeded and number > 1:
        with np.errstate(invalid="ignore"):
            apart = (drawn - drawn.mean(axis=0)).var(axis=1, ddof=1).sum() / (number - 1)
            square = float(np.var(scores, ddof=1)) / number
        excess = max(0.0, square - float(apart) / number)
    return Trained(
        scores=tuple(scores),
        draws=drawn.mean(axis=0),
        seed_variance=excess,
        seed_square=square,
        examples=cell.examples,
        covers_seeds=number > 1 or not cell.seeded,
    )


def estimate(
    weights: Mapping[str, float],
    cells: Mapping[str, Trained],
    *,
    level: float = 0.95,
    of: Target = "procedure",
) -> Estimate:
    """Return a weighted sum of cells: ``{"a": 1}`` is a score, ``{"a": 1, "b": -1}`` a paired difference.

    Examples are paired. Seeds are not, even where two cells share their numbers: a seed has no effect of its own to
    share, and taking cells as independent here is what keeps the degrees of freedom.

    Args:
        weights: By cell name.
        cells: From `resample`.
        level: The share of such intervals that should hold the truth.
        of: What the estimate is about; see the head of this file.
    """
    parts = [cells[name].scaled(weight) for name, weight in weights.items() if weight]
    value = sum(cell.value for cell in parts)
    with np.errstate(invalid="ignore"):  # two infinite perplexities
        draws = np.sum([cell.draws for cell in parts], axis=0)
    covers = of == "procedure" and all(cell.covers_seeds for cell in parts)
    if not (math.isfinite(value) and np.isfinite(draws).all()):
        nan = math.nan
        return Estimate(value, low=nan, high=nan, error=nan, degrees=nan, p=nan, covers_seeds=covers)
    seeded = parts if of == "procedure" else []
    by_seeds = math.fsum(cell.seed_variance for cell in seeded)
    examples = parts[0].examples
    error, degrees = standard_error(float(draws.var(ddof=1)), examples, by_seeds=by_seeds, cells=seeded)
    below, above = _sides(draws, by_seeds, level)
    student = float(stdtrit(degrees, (1 + level) / 2))
    facing = max(error, below if value > 0 else above)
    p = max(_two_sided(value, facing, degrees), 2.0 ** (1 - examples))
    return Estimate(value, value - student * below, value + student * above, error, degrees, p, covers)


def standard_error(
    by_examples: float, examples: int, *, by_seeds: float, cells: Iterable[Trained]
) -> tuple[float, float]:
    """Return the standard error of a sum of cells and its degrees of freedom (Satterthwaite 1946).

    Args:
        by_examples: Variance of the sum over examples.
        examples: Their number.
        by_seeds: Variance over seeds.
        cells: Whose seeds those are; none for `models`.
    """
    squares = [(by_examples, examples - 1), *((cell.seed_square, len(cell.scores) - 1) for cell in cells)]
    known = [(square, degrees) for square, degrees in squares if square]
    variance = by_examples + by_seeds
    if not known:
        return math.sqrt(variance), examples - 1.0
    degrees = variance**2 / sum(square**2 / degrees for square, degrees in known)
    return math.sqrt(variance), max(degrees, min(degrees for _, degrees in known))  # of a sum never fewer


def _sides(draws: Floats, by_seeds: float, level: float) -> tuple[float, float]:
    """Return the standard deviation on either side of the value, by the quantiles that an interval reaches for."""
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    center, normal = float(draws.mean()), float(ndtri(tails[1]))
    low, high = percentiles(draws, tails)
    deviations = [max(0.0, center - low) / normal, max(0.0, high - center) / normal]
    below, above = (math.sqrt(deviation**2 + by_seeds) for deviation in deviations)
    return below, above


def _two_sided(value: float, error: float, degrees: float) -> float:
    if not error:
        return 0.0 if value else 1.0
    return float(2 * stdtr(degrees, -abs(value) / error))
