"""Main effects and interactions as a report calls them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from harness.report.text.axis_words import axis_words
from harness.stats import Comparison, Effects
from harness.stats.verdicts import Verdicts

__all__ = ["Family", "effect_families", "effects_at_a_glance", "effects_by_name", "feature_families"]

WORDS = {"prompt": ("prompt", "prompts"), "tuning": ("what trains", "what trains")}
"""What axes are called, one level and all levels; others as `axis_words` has them."""

TOGETHER = {"better": "more than the sum", "worse": "less than the sum"}
"""A cell may gain more than its parts promise, and still be a bad one."""

TWO_AXES: dict[tuple[str, ...], str] = {
    ("prompt", "tuning"): "prompt and depth together: does a prompt do more at one depth than at another?",
}
"""What a pair of axes asks, where there are no others."""

PAIRED = (
    "Each row: by how much the pair differs from {0}, less what each of the two does alone; about 0 where neither "
    "changes what the other does. Pairs that share a level with {0} are what others are held against and have no row."
)


class Family(NamedTuple):
    """Comparisons that are corrected together."""

    title: str
    """What is compared with what."""
    head: str
    """What a row is."""
    rows: tuple[Comparison, ...]
    words: Mapping[str, str]
    """What a row's verdict says, where that is not the verdict itself."""
    note: str = ""
    """How to read a row, where its title does not say it."""


def effects_by_name(verdicts: Verdicts) -> dict[str, tuple[Comparison, ...]]:
    """Return the effects for programs: by axis, then by pair of axes, ``interaction`` for prompt and tuning.

    Other pairs are called by both names, such as ``prompt:model``; effects of a prompt's features are called by the
    prompt, such as ``greeting.role`` and ``greeting.role:cue``.
    """
    found = {} if verdicts.effects is None else _named(verdicts.effects, "")
    for prompt, effects in verdicts.features.items():
        found |= _named(effects, f"{prompt}.")
    return found


def _named(effects: Effects, prefix: str) -> dict[str, tuple[Comparison, ...]]:
    first = ("prompt", "tuning")
    pairs = {"interaction" if pair == first else ":".join(pair): rows for pair, rows in effects.interactions.items()}
    return {f"{prefix}{name}": rows for name, rows in {**effects.main, **pairs}.items()}


def effect_families(verdicts: Verdicts | None) -> list[Family]:
    """Return the effects of axes for people; an axis with one level has none."""
    return [] if verdicts is None or verdicts.effects is None else _families(verdicts.effects)


def feature_families(verdicts: Verdicts | None) -> dict[str, list[Family]]:
    """Return the effects of prompts' features for people, by the prompt that has them."""
    if verdicts is None:
        return {}
    return {prompt: families for prompt, one in verdicts.features.items() if (families := _families(one))}


def effects_at_a_glance(verdicts: Verdicts | None) -> list[tuple[str, float, Comparison]]:
    """Return each axis and each pair with its share of the differences between cells and the comparison surest of it.

    Empty where prompt and tuning are all that varies: three tables are no more than a glance. Over all axes and pairs
    the adjusted p-value of the surest comparison is that of its axis or pair having any effect.
    """
    effects = verdicts.effects if verdicts else None
    if effects is None or sum(bool(rows) for rows in effects.main.values()) < 3:
        return []
    words = {axis: WORDS.get(axis, axis_words(axis)[:2])[0] for axis in effects.main}
    found: dict[tuple[str, ...], tuple[Comparison, ...]] = {(axis,): rows for axis, rows in effects.main.items()}
    found |= {tuple(pair): rows for pair, rows in effects.interactions.items()}
    return [
        (" and ".join(words[axis] for axis in axes), effects.shares.get(axes, math.nan), _surest(rows))
        for axes, rows in found.items()
        if rows
    ]


def _surest(rows: tuple[Comparison, ...]) -> Comparison:
    return min(rows, key=lambda row: (not row.p_adjusted <= 1, row.p_adjusted, -abs(row.difference.value)))


def _families(effects: Effects) -> list[Family]:
    main, pairs = effects.main, effects.interactions
    words, families = {axis: WORDS.get(axis, axis_words(axis)[:2]) for axis in main}, []
    single = [((axis,), rows) for axis, rows in main.items()]
    for axes, rows in [*single, *pairs.items()]:
        names, others = [words[axis][0] for axis in axes], [words[axis][1] for axis in main if axis not in axes]
        title, head = f"{' and '.join(names)} together: what both gain beyond the gain of each", "/".join(names)
        if len(axes) == 1 and rows:
            title = f"{words[axes[0]][1]}, each against {rows[0].b}"
        elif not others:
            title, head = TWO_AXES.get(axes, title), "cell" if axes in TWO_AXES else head
        averaged = f", averaged over {' and '.join(others)}" if others else ""
        words_of, note = (TOGETHER, PAIRED.format(rows[0].b)) if len(axes) > 1 and rows else ({}, "")
        families.append(Family(f"{title[0].upper()}{title[1:]}{averaged}", head, rows, words_of, note))
    return [family for family in families if family.rows]
