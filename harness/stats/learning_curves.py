"""Learning curves: scores over numbers of training examples, what twice the data would bring, what a choice is worth.

A curve is fitted through the cells that differ in their number of examples alone (`harness.stats.power_law`). Its error
is what this package knows of the cells: the same resamples of the test examples for all of them, so that curves are
paired, and seeds as a variance component, by Student's distribution where seeds are few. The rows that were trained on
are these very ones: how far others of the same number would move a score is in no interval, unless by the misfit.

What a choice is worth in examples is the horizontal distance between its curve and the reference's: how many more the
reference needs for the same score, averaged over the scores that both have within their sizes (Le Scao & Rush 2021,
"How Many Data Points is a Prompt Worth?", section 3, their average data advantage; here of fitted curves).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from harness.stats.contrasts import estimate, seeds_of
from harness.stats.intervals import Interval
from harness.stats.multiple_comparisons import covariance
from harness.stats.power_law import FEWEST, Curves, fit
from harness.stats.resampling import Floats
from harness.stats.trained_cells import Trained

__all__ = ["FORECAST_LEVEL", "LEVEL", "LearningCurve", "LearningCurves", "Worth", "learning_curves"]

FORECAST_LEVEL = 0.8
"""Of intervals of what was not measured: four of five should hold it (`benchmarks/bench_forecasts.py`)."""

LEVEL = 0.95
"""Of all others."""

DRAWS = 2000
"""Curves that are drawn of each; an end of an interval then wanders by about 6% of a standard error."""

STEPS = 24
"""Places at which a curve is told, from its first size to twice its last."""

SCORES = 25
"""Scores over which a distance is averaged."""

APART = 0.05
"""Share of draws in which two curves may have no score in common, and still be compared."""

Levels = Mapping[str, str]


@dataclass(frozen=True)
class LearningCurve:
    """Scores of one choice of everything but the number of training examples."""

    name: str
    """Its levels on the other axes, as ids have them."""
    levels: Levels
    """The same by axis."""
    cells: Mapping[int, str]
    """The ids of its cells by their sizes, rising."""
    reason: str = ""
    """Why there is no fit; empty where there is one."""
    limit: Interval | None = None
    """Where the curve would end with endless data, at 95%; ``None`` without a fit, as all that follows."""
    exponent: Interval | None = None
    """How fast it gets there, likewise."""
    fitted: tuple[tuple[float, Interval], ...] = ()
    """The curve at some sizes, up to twice the last: at 95% where it was measured, beyond it forecasts at 80%."""
    forecast: Interval | None = None
    """The score at twice the last size, at 80%."""
    gain: Interval | None = None
    """What that is beyond the score at the last size, at 80%."""

    @property
    def last(self) -> int:
        """The largest number of examples."""
        return max(self.cells)


@dataclass(frozen=True)
class Worth:
    """How many examples a choice is worth: what the reference needs more of them for the same score."""

    axis: str
    """What the two curves differ by."""
    curve: str
    reference: str
    reason: str = ""
    """Why it cannot be said; empty where it can."""
    scores: tuple[float, float] = (math.nan, math.nan)
    """The scores that both have, over which it is averaged: the first as of fewer examples."""
    examples: Interval | None = None
    """At 95%; negative where the choice needs more."""
    factor: Interval | None = None
    """How many times as many the reference needs, the geometric mean, at 95%."""


@dataclass(frozen=True)
class LearningCurves:
    """All curves of a study, and what its choices are worth."""

    curves: tuple[LearningCurve, ...]
    worths: tuple[Worth, ...]

    def of(self, cell: str) -> LearningCurve | None:
        """Return the curve that a cell is on."""
        return next((curve for curve in self.curves if cell in curve.cells.values()), None)


def learning_curves(
    cells: Mapping[str, Trained],
    factors: Mapping[str, Levels],
    *,
    along: str,
    reference: str,
    ends: tuple[float, float],
    seed: int,
    sizes: Mapping[str, int] = MappingProxyType({}),
) -> LearningCurves | None:
    """Return the curves along an axis whose levels are numbers of examples; ``None`` without such an axis.

    Cells in which nothing trains have none: they are the same at every size.

    Args:
        cells: From `harness.stats.trained_cells.resample`.
        factors: Names of cells to their levels, by axis.
        along: The axis.
        reference: The cell whose levels the worth of others is held against.
        ends: Of the metric.
        seed: Of the draws.
        sizes: By cell, its number of examples, where that is not what its level says.
    """
    if not any(along in levels for levels in factors.values()):
        return None
    grouped: dict[tuple[str, ...], dict[int, str]] = {}
    axes = [axis for axis in next(iter(factors.values()), {}) if axis != along]
    for name, levels in factors.items():
        if levels.get(along, "").isdecimal() and name in cells and not _seedless(cells[name]):
            size = sizes.get(name, int(levels[along]))
            grouped.setdefault(tuple(levels[axis] for axis in axes), {})[size] = name
    if not grouped:
        return None
    fits = {key: _fit(dict(sorted(own.items())), cells, ends, seed) for key, own in grouped.items()}
    names = {key: "/".join(key) for key in grouped}
    curves = [
        _told(names[key], dict(zip(axes, key, strict=True)), dict(sorted(grouped[key].items())), fits[key])
        for key in grouped
    ]
    return LearningCurves(tuple(curves), tuple(_worths(fits, axes, factors.get(reference, {}))))


def _seedless(cell: Trained) -> bool:
    return cell.covers_seeds and cell.own_seeds is None


def _fit(sizes: Mapping[int, str], cells: Mapping[str, Trained], ends: tuple[float, float], seed: int) -> Curves | str:
    """Return the curves that the cells at some sizes allow, or why there are none."""
    if len(sizes) < FEWEST:
        return f"a curve needs {FEWEST} numbers of examples, and there are {len(sizes)} with scores"
    own = [cells[name] for name in sizes.values()]
    scores = np.array([cell.value for cell in own])
    draws = np.stack([cell.draws for cell in own], axis=1)[:DRAWS]
    if not (np.isfinite(scores).all() and np.isfinite(draws).all()):
        return "a score is undefined"
    generator = np.random.default_rng(seed)
    spread = np.sqrt([sum(part.variance for part in seeds_of({"": 1.0}, {"": cell})) for cell in own])
    degrees = estimate({sizes[min(sizes)]: -1.0, sizes[max(sizes)]: 1.0}, cells).degrees
    deviations = draws - draws.mean(axis=0) + spread * generator.standard_normal(draws.shape)
    if math.isfinite(degrees):
        deviations *= np.sqrt(degrees / generator.chisquare(degrees, size=(len(draws), 1)))
    error = covariance(own, "procedure")
    return fit(list(sizes), scores, error, deviations, beyond=_places(sizes), ends=ends, generator=generator)


def _places(sizes: Mapping[int, str]) -> list[float]:
    """Return the places at which a curve is told, from its first size to twice its last."""
    last = max(sizes)
    return [*np.geomspace(min(sizes), last, STEPS), *np.geomspace(last, 2 * last, STEPS // 4)]


def _told(name: str, levels: Levels, sizes: Mapping[int, str], fitted: Curves | str) -> LearningCurve:
    if isinstance(fitted, str):
        return LearningCurve(name, levels, sizes, reason=fitted)
    last, beyond = max(sizes), fitted.at(2 * max(sizes))
    told = []
    for place, center, draws in zip(fitted.places, fitted.center, fitted.values.T, strict=True):
        ends = _interval(draws, LEVEL if place <= last else FORECAST_LEVEL)
        told.append((float(place), ends._replace(value=float(center))))
    return LearningCurve(
        name,
        levels,
        sizes,
        limit=_interval(fitted.limits, LEVEL),
        exponent=_interval(fitted.exponents, LEVEL),
        fitted=tuple(told),
        forecast=told[-1][1],
        gain=_interval(beyond - fitted.at(last), FORECAST_LEVEL),
    )


def _interval(draws: Floats, level: float) -> Interval:
    ends = [(1 - level) / 2, 0.5, (1 + level) / 2]
    low, value, high = np.quantile(draws, ends, method="inverted_cdf")  # limits may be infinite: nothing in between
    return Interval(float(value), float(low), float(high))


def _worths(fits: Mapping[tuple[str, ...], Curves | str], axes: Sequence[str], start: Levels) -> list[Worth]:
    """Return what each level of each axis is worth against the reference's, all else equal."""
    found = []
    for place, axis in enumerate(axes):
        for key, one in fits.items():
            other = (*key[:place], start.get(axis, key[place]), *key[place + 1 :])
            if other != key and other in fits:
                said = partial(Worth, axis, "/".join(key), "/".join(other))
                found.append(_worth(said, one, fits[other]))
    return found


def _worth(said: partial[Worth], one: Curves | str, other: Curves | str) -> Worth:
    if isinstance(one, str) or isinstance(other, str):
        return said(reason=one if isinstance(one, str) else str(other))
    (low, high), is_there = _shared(one, other)
    if is_there.mean() < 1 - APART:
        return said(reason=_apart(one, other))
    weights = np.linspace(0.0, 1.0, SCORES)
    scores = (low + weights[:, None] * (high - low)).T[is_there]  # (draws, scores)
    own, others = (_sizes_at(curves, is_there, scores) for curves in (one, other))
    window = float(np.median(low[is_there])), float(np.median(high[is_there]))
    examples, factor = (others - own).mean(axis=1), np.exp(np.log(others / own).mean(axis=1))
    return said(scores=window, examples=_interval(examples, LEVEL), factor=_interval(factor, LEVEL))


def _sizes_at(curves: Curves, draws: NDArray[np.bool_], scores: Floats) -> Floats:
    """Return at which size some draws of a curve have each score, shape (draws, scores)."""
    places, values = _measured(curves)
    sign = 1.0 if np.median(values[:, -1] - values[:, 0]) > 0 else -1.0
    rising = np.maximum.accumulate(sign * values[draws], axis=1)  # a step back does not count twice
    logs = np.log(places)
    found = [np.interp(sign * wanted, known, logs) for wanted, known in zip(scores, rising, strict=True)]
    sizes: Floats = np.exp(np.array(found))
    return sizes


def _measured(curves: Curves) -> tuple[Floats, Floats]:
    """Return the places of a curve up to its last size, and the draws there."""
    within = curves.places <= curves.places[-1] / 2 * (1 + 1e-9)
    return curves.places[within], curves.values[:, within]


def _shared(one: Curves, other: Curves) -> tuple[tuple[Floats, Floats], NDArray[np.bool_]]:
    """Return the scores that both curves of each draw have within their sizes, and in which draws there are any.

    From the one of fewer examples to the one of more; curves that go in different directions share none.
    """
    (_, own), (_, others) = _measured(one), _measured(other)
    rises = own[:, -1] > own[:, 0]
    sign = np.where(rises, 1.0, -1.0)
    low = np.maximum(sign * own[:, 0], sign * others[:, 0])
    high = np.minimum(sign * own[:, -1], sign * others[:, -1])
    is_there = (rises == (others[:, -1] > others[:, 0])) & (low < high)
    return (sign * low, sign * high), is_there


def _apart(one: Curves, other: Curves) -> str:
    """Return why two curves cannot be compared at one score."""
    rise = [float(np.mean(values[:, -1] > values[:, 0])) for _, values in map(_measured, (one, other))]
    if any(0.025 < share < 0.975 for share in rise):
        return "a curve does not rise or fall for sure, so that one score belongs to no number of examples"
    return "the curves do not surely overlap: too few scores are reached by both within their numbers of examples"
