"""A power law through scores at several sizes, as draws of curves: how far the truth may be from it, and go beyond it.

A curve is ``a + b * n**-c``, the form that errors and losses mostly follow (Viering & Loog 2022, "The Shape of Learning
Curves: a Review", section 4; for error and score alike, since a score is a constant less an error). Three numbers
from few sizes are next to undetermined, so no single fit is believed: for each exponent on a grid the other two
follow by generalized least squares, and curves are drawn as the sizes, the resampled examples and the seeds have them.

Which exponent a draw has goes by how well it explains the scores, the two others integrated out: a Bayesian model
average (Hoeting et al. 1999, "Bayesian Model Averaging: A Tutorial") with a normal prior on the exponent between
`LEAST` and `MOST`, and a uniform one on the curve's values at the first and the last size. The fit is made in these
two numbers: unlike ``a`` and ``b`` they mean the same at every exponent. Where the exponent is near 0 the curve is
linear in ``log(n)``, below 0 it is still getting steeper, as curves of few steps of training do. The limit ``a`` of a
curve that has one stays within the ends of the metric.

Real curves are not quite of that form. What each doubling brings is off by a random part (a random walk over
``log(n)``, as universal kriging has it: Cressie 1993, "Statistics for Spatial Data", section 3.4), so that curves go
on from the last score and are the less sure the further they go; its size is one more number on a grid (`MISFITS`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.stats.resampling import Floats

__all__ = ["FEWEST", "Curves", "fit"]

FEWEST = 3
"""Sizes that a fit needs: as many as the curve has numbers."""

LEAST, MOST, EXPONENTS = -1.0, 2.0, 60
"""Ends of the grid of exponents, and how many there are; none of them is 0."""

CENTER, WIDTH = 0.2, 0.6
"""Of the normal prior on the exponent: what is reported lies between 0.07 and 1 (Hestness et al. 2017; Rosenfeld et al.
2020), and fine-tuning for few steps begins below."""

MISFITS = (0.1, 0.25, 0.5, 1.0)
"""By how much a doubling is off its power law, as a standard deviation in shares of what one brings on average; what
forecasts hold rests on them (`benchmarks/bench_forecasts.py`)."""

_NEVER = 1e-12
"""The weight of a curve whose limit is beyond the metric's ends, against that of one that is within: a last resort."""


class Curves(NamedTuple):
    """Curves that the scores allow."""

    places: Floats
    """Sizes at which they are known, rising; shape (places,)."""
    center: Floats
    """Their middle there, without chance; shape (places,)."""
    values: Floats
    """Within the metric's ends; shape (draws, places)."""
    exponents: Floats
    """Shape (draws,)."""
    limits: Floats
    """Of their power laws with endless data, or an end of the metric; shape (draws,)."""

    def at(self, size: float) -> Floats:
        """Return the draws at one of the places."""
        drawn: Floats = self.values[:, int(np.argmin(np.abs(self.places - size)))]
        return drawn


class _Grid(NamedTuple):
    """All fits: one for each exponent and misfit; shapes (fits, ...)."""

    exponents: Floats
    misfits: Floats
    evidence: Floats
    """Logarithms of their weights."""
    ends: Floats
    """From scores to values at the first and the last size; shape (fits, 2, sizes)."""
    maps: Floats
    """From scores to the curve at each place, what the scores differ from the power law by included; (fits, places,
    sizes)."""

    @classmethod
    def of(cls, sizes: Floats, places: Floats, scores: Floats, covariance: Floats) -> _Grid:
        doublings, ahead = np.log2(sizes / sizes[0]), np.log2(places / sizes[0])
        span = float(np.ptp(scores))
        exponents = LEAST + (MOST - LEAST) * (np.arange(EXPONENTS) + 0.5) / EXPONENTS
        off = np.asarray(MISFITS) * span / doublings[-1]
        exponents, misfits = (one.ravel() for one in np.meshgrid(exponents, off, indexing="ij"))
        walk = misfits[:, None, None] ** 2
        near, far = np.minimum.outer(doublings, doublings), np.minimum.outer(ahead, doublings)
        least = 1e-10 * (span**2 or 1.0) * np.eye(len(sizes))  # cells that say the same have no variance
        variance = covariance + walk * near + least
        design = _design(sizes, sizes, exponents)
        weighed = np.linalg.solve(variance, design)  # (fits, sizes, 2)
        information = np.swapaxes(design, 1, 2) @ weighed
        ends = np.linalg.solve(information, np.swapaxes(weighed, 1, 2)).astype(np.float64)
        apart = np.eye(len(sizes)) - design @ ends
        residuals = np.linalg.solve(variance, apart)  # (fits, sizes, sizes)
        misfit = scores @ np.swapaxes(apart, 1, 2) * (residuals @ scores)
        prior = -0.5 * ((exponents - CENTER) / WIDTH) ** 2
        size = np.linalg.slogdet(variance)[1] + np.linalg.slogdet(information)[1]
        evidence: Floats = prior - 0.5 * (misfit.sum(axis=1) + size)
        maps = _design(places, sizes, exponents) @ ends + (walk * far) @ residuals
        return cls(exponents, misfits, evidence, ends, maps)


def _design(places: Floats, sizes: Floats, exponents: Floats) -> Floats:
    """Return what values at the first and last size are worth at each place, shape (fits, places, 2)."""
    way = _way(places[None, :], sizes, exponents[:, None])
    return np.stack([1 - way, way], axis=2)


def _way(places: Floats, sizes: Floats, exponents: Floats) -> Floats:
    """Return how far a place is on the way from the first to the last size: 0 there, 1 here."""
    low, high = (np.power(float(end), -exponents) for end in (sizes[0], sizes[-1]))
    way: Floats = (low - np.power(places, -exponents)) / (low - high)
    return way


def fit(
    sizes: Sequence[int],
    scores: Floats,
    covariance: Floats,
    deviations: Floats,
    *,
    beyond: Sequence[float],
    ends: tuple[float, float],
    generator: np.random.Generator,
) -> Curves:
    """Return the curves that scores at some sizes allow, at these sizes and some more.

    Args:
        sizes: `FEWEST` or more, rising.
        scores: Shape (sizes,).
        covariance: Of their errors, shape (sizes, sizes).
        deviations: Draws of these errors, shape (draws, sizes): curves of the same place are of the same resample.
        beyond: Further places, from the first size on.
        ends: Of the metric.
        generator: Where chance comes from.
    """
    known = np.asarray(sizes, dtype=np.float64)
    places = np.unique([*known, *beyond])
    grid = _Grid.of(known, places, scores, covariance)
    draws = len(deviations)
    steps = generator.standard_normal((draws, len(places))) * np.sqrt(np.diff(np.log2(places / places[0]), prepend=0.0))
    walks = np.cumsum(steps, axis=1)  # for a misfit of 1
    at_sizes = walks[:, np.searchsorted(places, known)]
    chosen, limits = _choose(grid, known, scores, deviations, at_sizes, ends, generator)
    off = grid.misfits[chosen, None]
    errors = deviations + off * at_sizes
    moved = np.einsum("dps,ds->dp", grid.maps[chosen], scores - errors) + off * walks
    weights = np.bincount(chosen, minlength=len(grid.exponents)) / draws
    center = np.einsum("f,fps,s->p", weights, grid.maps, scores)
    return Curves(places, np.clip(center, *ends), np.clip(moved, *ends), grid.exponents[chosen], limits)


def _choose(
    grid: _Grid,
    sizes: Floats,
    scores: Floats,
    deviations: Floats,
    walks: Floats,
    ends: tuple[float, float],
    generator: np.random.Generator,
) -> tuple[NDArray[np.int64], Floats]:
    """Return which fit each draw has, and its limit: one within the metric's ends wherever there is one."""
    moved = grid.ends @ (scores - deviations).T - grid.misfits[:, None, None] * (
        grid.ends @ walks.T
    )  # (fits, 2, draws)
    to_limit = _way(np.asarray(np.inf), sizes, grid.exponents)[:, None]
    limits = moved[:, 0] + (moved[:, 1] - moved[:, 0]) * to_limit
    allowed = (grid.exponents[:, None] < 0) | ((limits >= ends[0]) & (limits <= ends[1]))
    weights = np.exp(grid.evidence - grid.evidence.max())[:, None] * np.where(allowed, 1.0, _NEVER)
    heights = np.cumsum(weights, axis=0)
    chosen = (heights < generator.random(len(deviations)) * heights[-1]).sum(axis=0)
    return chosen, np.clip(limits[chosen, np.arange(len(chosen))], *ends)
