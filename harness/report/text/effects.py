"""Main effects and interactions as a report calls them."""

from __future__ import annotations

from typing import NamedTuple

from harness.stats import Comparison
from harness.stats.verdicts import Verdicts

__all__ = ["Family", "effect_families", "effects_by_name"]

WORDS = {"prompt": ("prompt", "prompts"), "tuning": ("what trains", "what trains")}
"""What axes are called that are not called by their name: one level, all levels."""


class Family(NamedTuple):
    """Comparisons that are corrected together."""

    title: str
    """What is compared with what."""
    head: str
    """What a row is."""
    rows: tuple[Comparison, ...]


def effects_by_name(verdicts: Verdicts) -> dict[str, tuple[Comparison, ...]]:
    """Return the effects for programs: by axis, then by pair of axes, ``interaction`` for prompt and tuning.

    Other pairs are called by both names, such as ``prompt:model``.
    """
    if verdicts.effects is None:
        return {}
    main, pairs = verdicts.effects
    first = ("prompt", "tuning")
    return {**main, **{"interaction" if pair == first else ":".join(pair): rows for pair, rows in pairs.items()}}


def effect_families(verdicts: Verdicts | None) -> list[Family]:
    """Return the effects for people; an axis with one level has none."""
    if verdicts is None or verdicts.effects is None:
        return []
    main, pairs = verdicts.effects
    families = [_main(axis, rows, list(main)) for axis, rows in main.items() if rows]
    return families + [_interaction(pair, rows, list(main)) for pair, rows in pairs.items() if rows]


def _main(axis: str, rows: tuple[Comparison, ...], axes: list[str]) -> Family:
    others = " and ".join(_words(other)[1] for other in axes if other != axis)
    one, every = _words(axis)
    return Family(f"{every[0].upper()}{every[1:]}, each against {rows[0].b}, averaged over {others}", one, rows)


def _interaction(pair: tuple[str, str], rows: tuple[Comparison, ...], axes: list[str]) -> Family:
    if len(axes) == 2:
        return Family("Both together: what a cell gains beyond its prompt's and its tuning's own gain", "cell", rows)
    names = [_words(axis)[0] for axis in pair]
    others = " and ".join(_words(other)[1] for other in axes if other not in pair)
    title = f"{' and '.join(names)} together: what both gain beyond the gain of each, averaged over {others}"
    return Family(f"{title[0].upper()}{title[1:]}", "/".join(names), rows)


def _words(axis: str) -> tuple[str, str]:
    return WORDS.get(axis, (axis, axis))
