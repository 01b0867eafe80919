"""Variance over seeds: a cell's own, from its few runs, and the one that all trained cells of a study share.

Two to five runs say little about their own variance: now and then three agree by chance, and a test that believes them
is right once in twenty, and wrong far more often in the tail where a correction for many comparisons looks. So no
cell is taken to be steadier than the trained cells are on average: its variance is the larger of its own and of their
mean. Plain pooling would undo a cell that is less steady than the others, and so would shrinking towards the mean.

The degrees of freedom of the mean are Satterthwaite's (1946, "An Approximate Distribution of Estimates of Variance
Components"), which makes them few where the cells' variances differ. In `benchmarks/bench_calibration.py` the share of
studies with a false claim was the lowest of all remedies tried with it, at two seeds above all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["SeedVariance", "mean_seed_variance", "own_seed_variance", "standard_error"]


class SeedVariance(NamedTuple):
    """Variance of a score over seeds, and what it was read from."""

    variance: float
    """Due to seeds alone."""
    square: float
    """The runs' variance, the part by which examples move runs apart included: the mean square."""
    degrees: float
    """Degrees of freedom of the mean square."""

    def scaled(self, factor: float) -> SeedVariance:
        """Return the variance of a score in another unit, or of a mean of runs."""
        return SeedVariance(factor * self.variance, factor * self.square, self.degrees)

    def beyond(self, least: float) -> SeedVariance:
        """Return what this variance has beyond a smaller one, as a part of its own."""
        excess = max(0.0, self.variance - least)
        return SeedVariance(excess, excess, self.degrees)


def own_seed_variance(scores: Sequence[float], by_examples: float) -> SeedVariance:
    """Return the variance of one run's score over seeds, from the runs of one cell.

    Args:
        scores: Of two runs or more.
        by_examples: The part of their variance that is examples moving runs apart.
    """
    with np.errstate(invalid="ignore"):  # an infinite perplexity has no variance
        square = float(np.var(scores, ddof=1))
    return SeedVariance(max(0.0, square - by_examples), square, len(scores) - 1.0)


def mean_seed_variance(cells: Iterable[tuple[SeedVariance, float]]) -> SeedVariance | None:
    """Return the mean over trained cells; None if there is none whose scores are finite.

    Args:
        cells: Each cell's own variance, and the part of its mean square that is examples moving runs apart.
    """
    finite = [(own, by_examples) for own, by_examples in cells if math.isfinite(own.square)]
    if not finite:
        return None
    squares = [own.square for own, _ in finite]
    excess = math.fsum(own.square - by_examples for own, by_examples in finite)
    spread = math.fsum(own.square**2 / own.degrees for own, _ in finite)
    degrees = math.fsum(squares) ** 2 / spread if spread else math.fsum(own.degrees for own, _ in finite)
    return SeedVariance(max(0.0, excess / len(finite)), math.fsum(squares) / len(finite), degrees)


def standard_error(by_examples: float, units: int, seeds: Iterable[SeedVariance]) -> tuple[float, float]:
    """Return the standard error of a sum of cells and its degrees of freedom (Satterthwaite 1946).

    Args:
        by_examples: Variance of the sum over examples.
        units: How many there are to resample: examples, or groups of them.
        seeds: Independent estimates that make up the variance of the sum over seeds; none for `models`.
    """
    parts = list(seeds)
    variance = by_examples + math.fsum(part.variance for part in parts)
    squares = [(by_examples, units - 1.0), *((part.square, part.degrees) for part in parts)]
    known = [(square, degrees) for square, degrees in squares if square]
    if not known:
        return math.sqrt(variance), units - 1.0
    degrees = variance**2 / math.fsum(square**2 / degrees for square, degrees in known)
    return math.sqrt(variance), max(degrees, min(degrees for _, degrees in known))  # of a sum never fewer
