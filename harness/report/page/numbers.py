"""How numbers are written on the page: a real minus sign, a dash for what is not defined."""

from __future__ import annotations

import math

from harness.stats import Estimate

__all__ = ["between", "score", "signed"]


def score(value: float, decimals: int) -> str:
    """Return a score."""
    return "–" if math.isnan(value) else f"{value:.{decimals}f}"


def signed(value: float, decimals: int) -> str:
    """Return a difference, always with its sign."""
    return "–" if math.isnan(value) else f"{value:+.{decimals}f}".replace("-", "−")


def between(found: Estimate, decimals: int, *, sign: bool) -> str:
    """Return the ends of an interval."""
    if math.isnan(found.low):
        return "–"
    ends = [
        signed(end, decimals) if sign else f"{end:.{decimals}f}".replace("-", "−") for end in (found.low, found.high)
    ]
    return " to ".join(ends)


def _plain(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}".replace("-", "−")
