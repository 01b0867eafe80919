"""Step-down adjustment of p-values that knows how the comparisons hang together.

Comparisons with one baseline share the baseline, all pairs share their cells, and all cells share the examples; Holm's
correction supposes nothing of that and pays for it. Here the smallest p-value is held against the smallest that chance
gives to comparisons as correlated as these: normal deviates with the comparisons' own correlations stand for their
statistics, each compared by its p-value (Westfall & Young 1993, "Resampling-Based Multiple Testing", section 2.6;
Hothorn, Bretz & Westfall 2008, "Simultaneous Inference in General Parametric Models", section 3). Never beyond Holm.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from harness.stats.resampling import Floats

__all__ = ["LEAST", "StepDown", "holm", "step_down"]

LEAST = 1e-4
"""The least p-value that is told: how Student's distribution fits further out is known of no metric."""

_DRAWS = 20_000
"""Of normal deviates; an adjusted p-value of 5% then wanders by 0.15%."""

_HELD = 2**25
"""Deviates held at once, 256 MiB: fewer draws where comparisons are thousands."""

_STEPS, _ROWS = 1000, 64
"""Comparisons whose quantiles are taken at once, and draws that are worked on at once, since both take copies."""


class StepDown(NamedTuple):
    """A family of comparisons, adjusted."""

    p_values: Floats
    """Adjusted, shape (comparisons,); nan where the p-value is."""
    levels: Floats
    """Of the interval that says what the adjusted test says, shape (comparisons,): its step's, or that of the step at
    which claims end."""


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


def step_down(p_values: Sequence[float], weights: Floats, covariance: Floats, *, level: float) -> StepDown:
    """Adjust the p-values of a family of weighted sums of cells.

    Args:
        p_values: Two-sided, of each comparison by itself.
        weights: Shape (comparisons, cells).
        covariance: Of the cells' scores, shape (cells, cells).
        level: Claims end at one minus it.
    """
    values = np.asarray(p_values, dtype=np.float64)
    adjusted, levels = np.full(len(values), np.nan), np.full(len(values), level)
    tested = np.flatnonzero(np.isfinite(values))
    order = tested[np.argsort(values[tested], kind="stable")]
    if not len(order):
        return StepDown(adjusted, levels)
    smallest = _smallest(weights[order], covariance)  # (draws, comparisons)
    by_chance = (np.sum(smallest <= values[order], axis=0) + 1) / (len(smallest) + 1)
    capped = np.clip(by_chance, values[order], holm(values[order].tolist()))
    adjusted[order] = np.maximum.accumulate(capped)
    claims = int(np.sum(adjusted[order] <= 1 - level))
    alphas = _alphas(smallest, 1 - level)
    levels[order] = 1 - np.minimum(1 - level, alphas[np.minimum(np.arange(len(order)), min(claims, len(order) - 1))])
    return StepDown(np.maximum(adjusted, LEAST), levels)


def _smallest(weights: Floats, covariance: Floats) -> Floats:
    """Return, for each draw and comparison, the smallest p-value of that comparison and all after it.

    Done in place, and some draws at a time: with tens of thousands of comparisons each array has hundreds of MiB.
    """
    values, vectors = np.linalg.eigh(covariance)
    sums = weights @ (vectors * np.sqrt(np.maximum(values, 0.0)))  # (comparisons, deviates)
    del weights  # this very copy of them is large
    deviations = np.linalg.norm(sums, axis=1, keepdims=True)
    varies = deviations > 0
    np.divide(sums, deviations, out=sums, where=varies)
    sums[~varies[:, 0]] = 0.0
    draws = min(_DRAWS, _HELD // len(sums))
    smallest: Floats = np.random.default_rng(0).standard_normal((draws, len(covariance))) @ sums.T
    for start in range(0, draws, _ROWS):
        some = smallest[start : start + _ROWS]
        some[:] = 2 * ndtr(-np.maximum.accumulate(np.abs(some)[:, ::-1], axis=1)[:, ::-1])
    return smallest


def _alphas(smallest: Floats, alpha: float) -> Floats:
    """Return for each step the p-value that a comparison by itself must not exceed; never below Bonferroni's."""
    steps = smallest.shape[1]
    parts = [np.quantile(smallest[:, start : start + _STEPS], alpha, axis=0) for start in range(0, steps, _STEPS)]
    return np.maximum(np.concatenate(parts), alpha / np.arange(steps, 0, -1))
