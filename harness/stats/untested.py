"""Comparisons with cells of which nothing may be claimed: told beside those that were tested, and never among them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from harness.stats.contrasts import Estimate, estimate
from harness.stats.multiple_comparisons import Comparison
from harness.stats.trained_cells import Trained

__all__ = ["held_against", "without_interval"]


def held_against(
    one: str,
    cells: Mapping[str, Trained],
    unclaimed: Mapping[str, str],
    compare: Callable[[Mapping[str, Trained], str], tuple[Comparison, ...]],
) -> tuple[Comparison, ...]:
    """Return every other cell against one, those of which nothing may be claimed without a test."""
    reasons = {name: unclaimed.get(name) or unclaimed.get(one, "") for name in cells if name != one}
    tested = {name: cell for name, cell in cells.items() if not reasons.get(name)}
    claims = {claim.a: claim for claim in compare(tested, one)}
    return tuple(claims.get(name) or _not_tested(name, one, cells, reason) for name, reason in reasons.items())


def _not_tested(a: str, b: str, cells: Mapping[str, Trained], reason: str) -> Comparison:
    difference = without_interval(estimate({a: 1.0, b: -1.0}, cells))
    return Comparison(a, b, difference, math.nan, "undecided", reason)


def without_interval(value: Estimate) -> Estimate:
    """Return a value alone."""
    return value._replace(low=math.nan, high=math.nan, error=math.nan, degrees=math.nan, p=math.nan)
