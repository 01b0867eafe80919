"""Where an axis has its numbers, and how they read."""

from __future__ import annotations

import math
from collections.abc import Iterable

from matplotlib.ticker import MaxNLocator

__all__ = ["limits", "linear_ticks", "log_ticks"]


def limits(values: Iterable[float]) -> tuple[float, float]:
    """Return the ends of an axis that holds all values that are numbers, with a little room at both."""
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    room = 0.05 * (high - low) or max(0.05 * abs(low), 1e-3)
    return low - room, high + room


def linear_ticks(low: float, high: float, *, most: int, whole: bool = False) -> dict[float, str]:
    """Return round values with their labels; all have the decimals that the finest needs."""
    values = [float(value) for value in MaxNLocator(most, integer=whole).tick_values(low, high) if low <= value <= high]
    places = next((n for n in range(7) if all(math.isclose(round(v, n), v, abs_tol=1e-9) for v in values)), 7)
    return {value: f"{value:.{places}f}" if abs(value) < 1e5 else f"{value:.3g}" for value in values}


def log_ticks(low: float, high: float) -> dict[float, str]:
    """Return powers of ten with their labels, and more where the range is short."""
    ends = math.log10(low), math.log10(high)
    far = ends[1] - ends[0]
    factors = (1, 2, 5) if far < 1.5 else (1, 3) if far < 3 else (1,)
    step = max(1, math.ceil(far / 6))
    powers = [power for power in range(math.floor(ends[0]), math.ceil(ends[1]) + 1) if power % step == 0]
    marks = [(factor, power) for power in powers for factor in factors if low <= factor * 10.0**power <= high]
    plain = all(-2 <= power <= 3 for _, power in marks)
    return {
        factor * 10.0**power: f"{factor * 10.0**power:g}" if plain else f"{factor}e{power}" for factor, power in marks
    }
