"""What the page's tables draw: the axis of a column of intervals, and the shades of the heat map."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

from harness.report.text.findings import Findings
from harness.results.collect import Results
from harness.results.row_order import score_grid
from harness.stats import Estimate

__all__ = ["BarAxis", "Shade", "bar_axis", "heat_map"]


class BarAxis(NamedTuple):
    """The numbers at the ends of a column of intervals, each drawn 180 units wide."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return how far from the left a value lies."""
        return round(4 + 172 * (value - self.low) / (self.high - self.low), 1)


def bar_axis(estimates: Iterable[Estimate | None], *also: float) -> BarAxis:
    """Return an axis that holds all intervals that are defined, and some values more, and is nowhere empty."""
    ends = [end for estimate in estimates if estimate for end in (estimate.low, estimate.value, estimate.high)]
    known = [end for end in (*ends, *also) if math.isfinite(end)] or [0.0, 1.0]
    low, high = min(known), max(known)
    return BarAxis(low, high if high > low else low + max(0.05 * abs(low), 1e-3))


class Shade(NamedTuple):
    """A cell of the heat map."""

    score: float
    depth: float
    """0 the worst score, 1 the best."""
    in_group: bool


def heat_map(results: Results, findings: Findings) -> dict[str, list[Shade | None]]:
    """Return the scores by prompt, shallow tunings first; ``None`` where there is no score."""
    grid = score_grid(results)
    known = [value for row in grid.values() for _, value in row if not math.isnan(value)] or [0.0]
    worst, best = (min(known), max(known)) if results.maximize else (max(known), min(known))

    def shade(cell: str, value: float) -> Shade | None:
        depth = (value - worst) / (best - worst) if best != worst else 0.5
        return None if math.isnan(value) else Shade(value, round(depth, 3), cell in findings.group)

    return {name: [shade(cell, value) for cell, value in row] for name, row in grid.items()}
