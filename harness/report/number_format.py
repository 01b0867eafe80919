"""How numbers are written on the page: a real minus sign, a dash for what is not defined."""

from __future__ import annotations

import math

from harness.results.collect import Results
from harness.stats import Estimate

__all__ = ["between", "decimals", "digits", "probability", "score", "shown", "shown_interval", "signed"]


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


def digits(value: float) -> int:
    """Return how many decimals a score of this size is shown with: scores up to 1 get four, scores up to 100 two."""
    return 4 if abs(value) < 1.5 else 2


def shown_interval(found: Estimate, places: int, sign: str = "") -> str:
    """Return an interval as tables show it."""
    return "-" if math.isnan(found.low) else f"{found.low:{sign}.{places}f} to {found.high:{sign}.{places}f}"


def probability(value: float) -> str:
    """Return a p-value as tables show it."""
    return "-" if math.isnan(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def decimals(results: Results) -> int:
    """Return the decimals that all scores of a study are shown with, by the largest of them."""
    names = [f"{split}/{results.lead}" for split in ("validation", "test")]
    scores = [abs(cell.score(name)) for cell in results.cells for name in names]
    return digits(max((score for score in scores if not math.isnan(score)), default=0.0))


def shown(value: float, results: Results) -> str:
    """Return a score as texts show it."""
    return "nothing" if math.isnan(value) else f"{value:.{decimals(results)}f}"
