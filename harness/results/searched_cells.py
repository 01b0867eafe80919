"""Whose search found a cell's winner: where settings of generation are compared, the cell's of the first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.study.further_axes import GENERATION

__all__ = ["is_searched", "searched_as"]


def searched_as(levels: Mapping[str, str], study: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the levels of the cell whose search found a cell's winner; of most its own.

    >>> searched_as({"tuning": "full", "generation": "beams"}, {"generation": [{"name": "greedy"}, {"name": "beams"}]})
    {'tuning': 'full', 'generation': 'greedy'}

    Args:
        levels: The names of the cell's levels, by axis.
        study: The whole study, as it was stored.
    """
    settings = study.get(GENERATION)
    if not isinstance(settings, list) or GENERATION not in levels:
        return levels
    return {**levels, GENERATION: settings[0]["name"]}


def is_searched(levels: Mapping[str, str], study: Mapping[str, Any]) -> bool:
    """Return whether a cell has trials of its own, if it trains; takes what `searched_as` does."""
    return searched_as(levels, study) == levels
