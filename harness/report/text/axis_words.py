"""What axes behind prompt and tuning are called in sentences and titles, and their levels."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import NamedTuple

__all__ = ["AxisWords", "axis_words", "facet", "level_words"]


class AxisWords(NamedTuple):
    """An axis in words."""

    one: str
    """What a level of it is."""
    every: str
    """What all levels are, and whose name a table's title begins with."""
    level: str
    """A level within a sentence, its name put in."""


KNOWN = {
    "train_size": AxisWords("number of training examples", "numbers of training examples", "{} training examples"),
    "per_label": AxisWords(
        "number of training examples of each label", "numbers of examples of each label", "{} training examples a label"
    ),
    "model": AxisWords("model", "models", "model {}"),
    "data_seed": AxisWords("draw of the data", "draws of the data", "data seed {}"),
    "generation": AxisWords("way of generating", "ways of generating", "generation {}"),
}


def axis_words(axis: str) -> AxisWords:
    """Return the words of an axis; one that has none is called by its name."""
    return KNOWN.get(axis, AxisWords(axis, axis, f"{axis} {{}}"))


def level_words(axis: str, level: str) -> str:
    """Return a level of an axis as sentences call it.

    >>> level_words("train_size", "800"), level_words("train_size", "1"), level_words("decay", "strong")
    ('800 training examples', '1 training example', 'decay strong')
    """
    words = axis_words(axis).level.format(level)
    return words.removesuffix("s") if (axis, level) == ("train_size", "1") else words


def facet(levels: Mapping[str, str], but: Container[str] = ("prompt", "tuning")) -> str:
    """Return what a panel shows: the levels of all axes but some; empty where there are no others.

    Levels of axes that have no words are called by their names alone.
    """
    shown = {axis: level for axis, level in levels.items() if axis not in but}
    return ", ".join(level_words(axis, level) if axis in KNOWN else level for axis, level in shown.items())
