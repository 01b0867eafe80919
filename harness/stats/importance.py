"""How much of the differences between trials goes with each hyperparameter, and whether that could be chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.stats.step_down import holm

__all__ = ["Importance", "importances"]

Floats = NDArray[np.float64]

PERMUTATIONS = 999
CHUNK = 2**22
"""Numbers of permuted residuals that are held at once."""

FENCE = 1.5
"""Ranges between the quartiles, beyond a quartile, from which on a value is an outlier."""

FREE = 4
"""The fewest degrees of freedom that the residuals must keep."""


class Importance(NamedTuple):
    """What one hyperparameter has to do with the values of trials."""

    share: float
    """Of the variance within blocks, what is explained beyond all other hyperparameters; 0 to 1."""
    p: float
    """The chance of as large a share where it does nothing; corrected for all hyperparameters."""


def importances(
    values: Sequence[float], blocks: Sequence[Any], terms: Mapping[str, Floats], *, seed: int = 0
) -> dict[str, Importance]:
    """Return the importance of each hyperparameter by an analysis of variance, with a permutation null.

    Values are brought to one scale within blocks, so that no difference between blocks counts, and what lies beyond
    Tukey's fences is drawn to them, so that no exploded run says it all; a linear model of all terms explains them. A
    hyperparameter's statistic is the F ratio of its terms beside the others; its null is made by permuting, within
    blocks, the residuals of the model without it (Freedman & Lane 1983, "A Nonstochastic Interpretation of Reported
    Significance Levels"). P-values are Holm's.

    Args:
        values: One for each trial, lower is better; infinite for one that failed.
        blocks: What each trial is of: only trials of one block are compared.
        terms: By hyperparameter, shape (trials, terms): what its values are in a linear model.
        seed: Of the permutations.

    Returns:
        Empty where there are too few trials for so many terms.
    """
    places = [np.flatnonzero(np.array([block == own for block in blocks])) for own in dict.fromkeys(blocks)]
    scaled = np.empty(len(values))
    for place in places:
        scaled[place] = _scaled(np.asarray(values, dtype=np.float64)[place])
    columns = {name: _centered(np.asarray(own, dtype=np.float64), places) for name, own in terms.items()}
    whole = _basis(np.hstack(list(columns.values()))) if columns else np.empty((len(scaled), 0))
    free, total = len(scaled) - len(places) - whole.shape[1], float(scaled @ scaled)
    if free < FREE or not total:
        return {}
    generator = np.random.default_rng(seed)
    found = {}
    for name in columns:
        others = [own for other, own in columns.items() if other != name]
        reduced = _basis(np.hstack(others)) if others else np.empty((len(scaled), 0))
        found[name] = _tested(scaled, whole, reduced, places, generator)
    adjusted = holm([p for _, p in found.values()])
    return {
        name: Importance(gain / total, float(p)) for (name, (gain, _)), p in zip(found.items(), adjusted, strict=True)
    }


def _tested(
    scaled: Floats, whole: Floats, reduced: Floats, places: Sequence[NDArray[np.intp]], generator: np.random.Generator
) -> tuple[float, float]:
    """Return the sum of squares that a model gains over a reduced one, and its p-value."""
    added = whole.shape[1] - reduced.shape[1]
    if added < 1:  # the others say all that it does
        return 0.0, 1.0
    residuals = scaled - reduced @ (reduced.T @ scaled)
    observed, gain = _ratio(residuals[:, None], whole, reduced)
    as_large, done, size = 0, 0, max(1, CHUNK // len(scaled))
    while done < PERMUTATIONS:
        count = min(size, PERMUTATIONS - done)
        permuted = np.repeat(residuals[:, None], count, axis=1)
        for place in places:
            permuted[place] = generator.permuted(permuted[place], axis=0)
        as_large += int(np.sum(_ratio(permuted, whole, reduced)[0] >= observed[0] * (1 - 1e-9)))
        done += count
    return float(gain[0]), (1 + as_large) / (1 + PERMUTATIONS)


def _ratio(residuals: Floats, whole: Floats, reduced: Floats) -> tuple[Floats, Floats]:
    """Return, for each column, what the whole model gains over what it leaves, and the gain."""
    total = np.sum(residuals**2, axis=0)
    left_reduced = total - np.sum((reduced.T @ residuals) ** 2, axis=0)
    left_whole = total - np.sum((whole.T @ residuals) ** 2, axis=0)
    gain = np.maximum(left_reduced - left_whole, 0.0)
    return gain / np.maximum(left_whole, 1e-12), gain


def _scaled(values: Floats) -> Floats:
    """Return values of mean 0 and deviation 1, but 0 where all are alike; outliers lie at the fences (Tukey 1977)."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.zeros(len(values))
    fenced = np.where(np.isinf(values), finite.max(), values)  # a run that failed is one of the worst
    low, high = np.quantile(fenced, [0.25, 0.75])
    if reach := FENCE * (high - low):
        fenced = np.clip(fenced, low - reach, high + reach)
    deviation = fenced.std()
    return np.asarray((fenced - fenced.mean()) / deviation if deviation else np.zeros(len(values)))


def _centered(columns: Floats, places: Sequence[NDArray[np.intp]]) -> Floats:
    """Return terms less their mean within each block: differences between blocks are no matter."""
    centered = np.array(columns)
    for place in places:
        centered[place] -= centered[place].mean(axis=0)
    return centered


def _basis(columns: Floats) -> Floats:
    """Return an orthonormal basis of what some columns span."""
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, sizes > 1e-9 * max(1.0, float(sizes.max(initial=0.0)))])
