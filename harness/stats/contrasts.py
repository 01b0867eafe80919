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

where ``s2 - r`` is the larger of the cell's own and of the mean over the trained cells (`harness.stats.seed_variance`),
with Satterthwaite's degrees of freedom (1946), each part by its mean square: ``v`` has n - 1, a cell's own ``s2 / S``
and in differences what it has beyond the mean has S - 1. Intervals keep the shape of the bootstrap: each side's
distance from the center over the normal quantile is that side's standard deviation, to which ``t`` is added (as Zou &
Donner 2008 join confidence limits) before Student's quantile multiplies it. A p-value is Student's for the standard
error, or for the deviation on the side of 0 where that is the larger; on that side a difference's interval goes by the
same, so that it holds 0 just where the test is undecided. Scores that are 0 or 1 have Wilson's interval (1927) at the
number of examples that their standard error amounts to (Korn & Graubard 1998), since a resample of a hundred zeros is a
hundred zeros. For the same reason ``v`` is at least `harness.stats.intervals.least_variance` for each share that a
difference is made of: where one seed missed one example, that miss would be all that is known, of seeds and of examples
alike, with the one degree of freedom that two seeds have.

Cells whose runs have the same weights, and answer by other settings with them, are crossed with the seeds: their part
of a weighted sum enters as one, by the variance over seeds of each seed's own sum (`harness.stats.shared_seeds`), or
what the means over the trained cells make of it where that is larger. A difference of two of them is a paired one.

A cell chosen by the same runs' validation scores owes them some luck, which its test score shares: ``luck`` counts the
seeds' variance several times on the side of luck.

How well: `benchmarks/bench_calibration.py`, and its table in `reports/LOG.md`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from harness.stats.intervals import wilson
from harness.stats.resampling import Floats
from harness.stats.seed_variance import SeedVariance, standard_error
from harness.stats.trained_cells import Trained

__all__ = ["Estimate", "Target", "Weighed", "estimate", "seeds_of"]

Target: TypeAlias = Literal["procedure", "models"]
"""What an estimate is about; see the head of this file."""

ROUNDING = 1e-12
"""Weights whose sum is less cancel out."""

_QUANTILE = float(ndtri(0.975))
"""Of resamples, in normal deviations, by which the shape of a score's distribution is read on either side."""


class Estimate(NamedTuple):
    """A score or a difference, its interval, and the test that it is not 0."""

    value: float
    low: float
    """nan where no spread was seen, or where scores are undefined or do not resample."""
    high: float
    error: float
    """Standard error."""
    degrees: float
    """Degrees of freedom, which few seeds make few."""
    p: float
    """Two-sided, of a true value of 0; nan where a score is undefined or does not resample. At least 2 / 2**n, the
    least that swapping the signs of n examples could give; below one minus the level only if the interval leaves 0
    out."""
    covers_seeds: bool
    """Whether the interval speaks of other seeds too: asked to, and every cell with seeds has two runs or more."""


def seeds_of(weights: Mapping[str, float], cells: Mapping[str, Trained]) -> list[SeedVariance]:
    """Return independent estimates that make up the variance of a weighted sum over seeds.

    Of a difference the mean over the trained cells, once for all cells that share it, and what each cell has beyond it:
    the mean keeps its many degrees of freedom also where a cell's few runs lie somewhat further apart than that. Cells
    of two studies have two such means. One cell alone goes by the mean or by its own runs: nothing else makes up for
    the few degrees that those have. Cells of the same weights enter together, as one.
    """
    parts, borrowed = list[SeedVariance](), dict[SeedVariance, float]()
    for own, means, factor in _seeds_by_weights(weights, cells):
        least = math.fsum(times * mean.variance for mean, times in means)
        larger = own.variance >= least * (1 - 1e-9)
        if larger and len(weights) == 1:
            return [own.scaled(factor)]
        for mean, times in means:
            borrowed[mean] = borrowed.get(mean, 0.0) + times * factor
        if larger:
            parts.append(own.beyond(least).scaled(factor))
    return [*parts, *(mean.scaled(factor) for mean, factor in borrowed.items())]


class _Seeds(NamedTuple):
    """What seeds do to the part of a weighted sum that is of the same weights: one cell, or several that share them."""

    own: SeedVariance
    """Of one seed."""
    means: list[tuple[SeedVariance, float]]
    """What it is at least, and how many times each."""
    factor: float
    """By which both become variances of the part."""


def _seeds_by_weights(weights: Mapping[str, float], cells: Mapping[str, Trained]) -> Iterator[_Seeds]:
    alike = dict[object, list[str]]()
    for name, weight in weights.items():
        if weight:
            alike.setdefault(cells[name].shared or name, []).append(name)
    for name, *others in alike.values():
        cell, weight = cells[name], weights[name]
        if cell.own_seeds is None or cell.mean_seeds is None:
            continue
        if others:
            yield _crossed({other: weights[other] for other in (name, *others)}, cells)
        else:
            yield _Seeds(cell.own_seeds, [(cell.mean_seeds, 1.0)], weight**2 / len(cell.scores))


def _crossed(weights: Mapping[str, float], cells: Mapping[str, Trained]) -> _Seeds:
    """Return what seeds do to a weighted sum of cells that share them.

    With the variance of a cell as of all trained cells, s2, and that of the interaction in it, i2, the sum's is
    W**2 (s2 - i2) + Q i2, where W is the sum of the weights and Q that of their squares. Of an average, whose Q is less
    than W**2, the interaction is left in: means of it know little.
    """
    first = cells[next(iter(weights))]
    assert first.shared is not None
    row = np.zeros(len(first.shared.scores))
    row[[cells[name].place for name in weights]] = list(weights.values())
    common = math.fsum(weights.values()) ** 2
    beyond = math.fsum(weight**2 for weight in weights.values()) - common
    times = [(first.mean_seeds, common), (first.mean_interaction, beyond)]
    means = [(mean, factor) for mean, factor in times if mean and factor > ROUNDING]
    return _Seeds(first.shared.weighed(row), means, 1 / len(first.scores))


def estimate(
    weights: Mapping[str, float],
    cells: Mapping[str, Trained],
    *,
    level: float = 0.95,
    of: Target = "procedure",
    luck: tuple[float, float] = (1.0, 1.0),
) -> Estimate:
    """Return a weighted sum of cells: ``{"a": 1}`` is a score, ``{"a": 1, "b": -1}`` a paired difference.

    Examples are paired. Seeds are where the weights are the same, as `harness.stats.runs` was told; elsewhere they are
    not, even where two cells share their numbers: a seed has no effect of its own to share then, and taking cells as
    independent is what keeps the degrees of freedom.

    Args:
        weights: By cell name.
        cells: From `resample`.
        level: The share of such intervals that should hold the truth.
        of: What the estimate is about; see the head of this file.
        luck: How many times the seeds' variance counts below the value and above it.
    """
    return Weighed.of(weights, cells, of=of, luck=luck).at(level)


class _Side(NamedTuple):
    """How far the truth may lie from an estimate on one side of it."""

    sign: int
    """-1 below the estimate, 1 above it."""
    error: float
    """Standard error."""
    degrees: float
    deviation: float
    """The standard deviation on this side, by the quantile."""
    observed: float
    """The standard error that resamples show, which of shares may be less."""

    @classmethod
    def of(cls, draws: Floats, least: float, units: int, seeds: Sequence[SeedVariance], sign: int) -> _Side:
        """Return a side of an estimate, by its resamples and the least variance that they are taken to have."""
        quantile, normal = float(np.quantile(draws, ndtr(sign * _QUANTILE))), sign * _QUANTILE
        by_examples, variance = max(0.0, (quantile - float(draws.mean())) / normal), float(draws.var(ddof=1))
        deviation = math.sqrt(max(by_examples**2, least) + math.fsum(part.variance for part in seeds))
        error, degrees = standard_error(max(variance, least), units, seeds)
        return cls(sign, error, degrees, deviation, standard_error(variance, units, seeds)[0])

    @property
    def largest(self) -> float:
        """The standard error, or the deviation on this side where that is the larger: what tests go by."""
        return max(self.error, self.deviation)

    def student(self, level: float) -> float:
        """Return how many deviations an interval of a level reaches."""
        return float(stdtrit(self.degrees, (1 + level) / 2))

    def reach(self, level: float, *, tested: bool) -> float:
        """Return how far an interval reaches, as far as a test of this side goes or by its shape alone."""
        return self.student(level) * (self.largest if tested else self.deviation)

    def p(self, value: float) -> float:
        if not self.largest:
            return 0.0 if value else 1.0
        return float(2 * stdtr(self.degrees, -abs(value) / self.largest))

    def worth(self, value: float, cell: Trained, level: float) -> tuple[float, float]:
        """Return how many examples a share of right ones is worth, and Student's quantile."""
        if not self.observed or value in (0.0, 1.0):
            return float(cell.units), self.student(level)
        return min(value * (1 - value) / self.observed**2, float(cell.units * len(cell.scores))), self.student(level)


class Weighed(NamedTuple):
    """A weighted sum of cells, from which estimates at any level follow; its resamples are not kept."""

    value: float
    covers_seeds: bool
    error: float
    degrees: float
    p: float
    """nan where there is no test; the sides are ``None`` then."""
    sides: tuple[_Side, _Side] | None
    """Below the value and above it."""
    share: Trained | None
    """The cell that the sum consists of, if its scores are shares of right examples."""
    is_difference: bool

    @classmethod
    def of(
        cls, weights: Mapping[str, float], cells: Mapping[str, Trained], *, of: Target, luck: tuple[float, float]
    ) -> Weighed:
        """Return what `estimate` stands on; takes the same."""
        parts = {name: weight for name, weight in weights.items() if weight}
        value = sum(weight * cells[name].value for name, weight in parts.items())
        with np.errstate(invalid="ignore"):  # two infinite perplexities
            draws = np.sum([weight * cells[name].draws for name, weight in parts.items()], axis=0)
        covers = of == "procedure" and all(cells[name].covers_seeds for name in parts)
        defined = math.isfinite(value) and bool(np.isfinite(draws).all())
        if not defined or any(cells[name].biased for name in parts):
            return cls(value, covers, math.nan, math.nan, math.nan, None, None, is_difference=len(parts) > 1)
        seeds = seeds_of(parts, cells) if of == "procedure" else []
        units, least = cells[next(iter(parts))].units, _least_variance(parts, cells)
        below, above = (
            _Side.of(draws, least, units, [part.scaled(times) for part in seeds], sign)
            for times, sign in zip(luck, (-1, +1), strict=True)
        )
        p = max((below if value > 0 else above).p(value), 2.0 ** (1 - units))
        error, degrees = standard_error(max(float(draws.var(ddof=1)), least), units, seeds)
        return cls(value, covers, error, degrees, p, (below, above), _share(parts, cells), len(parts) > 1)

    def at(self, level: float) -> Estimate:
        """Return the estimate with an interval at a level."""
        low = high = math.nan  # unless a spread was seen
        if self.sides:
            below, above = self.sides
            tested = below if self.value > 0 else above
            if self.share:
                low = wilson(self.value, *below.worth(self.value, self.share, level))
                high = wilson(self.value, *above.worth(self.value, self.share, level), upper=True)
            elif self.error:  # the interval of a difference says of 0 what its test says
                low, high = (
                    self.value + side.sign * side.reach(level, tested=self.is_difference and side is tested)
                    for side in self.sides
                )
        return Estimate(self.value, low, high, self.error, self.degrees, self.p, self.covers_seeds)


def _least_variance(weights: Mapping[str, float], cells: Mapping[str, Trained]) -> float:
    """Return the variance over examples that a weighted sum of cells has at least."""
    return math.fsum(weight**2 * cells[name].least_variance for name, weight in weights.items())


def _share(weights: Mapping[str, float], cells: Mapping[str, Trained]) -> Trained | None:
    """Return the cell that the sum consists of, if its scores are shares of right examples."""
    ((name, weight), *rest) = weights.items()
    return cells[name] if not rest and weight == 1.0 and cells[name].binary else None
