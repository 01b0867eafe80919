"""Which cells nothing beats in two respects at once: the Pareto front of quality and what it takes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

__all__ = ["Spot", "front"]


class Spot(NamedTuple):
    """Where a cell lies."""

    take: float
    """What is on the axis across: a cost, or what is kept."""
    quality: float


def front(spots: Mapping[str, Spot], *, more_is_better: bool, maximize: bool) -> list[str]:
    """Return the cells that no other cell beats in one respect without losing in the other.

    A cell is beaten by one that is at least as good in both respects and better in one (Pareto's order); of two cells
    at one spot neither beats the other. By the values as they are: that they are uncertain is for the reader to weigh.

    Args:
        spots: By cell; one with an undefined value is left out.
        more_is_better: Of `Spot.take`: false for a cost.
        maximize: Of `Spot.quality`: false for a loss.

    Returns:
        Names in the order of `Spot.take`, ties in the order given.
    """
    across, up = (1.0 if more_is_better else -1.0), (1.0 if maximize else -1.0)
    merits = {
        name: (across * spot.take, up * spot.quality)
        for name, spot in spots.items()
        if math.isfinite(spot.take) and math.isfinite(spot.quality)
    }
    best = [name for name, merit in merits.items() if not any(_beats(other, merit) for other in merits.values())]
    return sorted(best, key=lambda name: spots[name].take)


def _beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] >= other[0] and one[1] >= other[1]
