"""Slices of splits, as `datasets` writes them: ``train[-500:]``, ``train[:80%]``, ``train[:10%]+train[-10%:]``.

A name is that of a split, or of a file where it has an ending of one or a folder in it: ``rows.csv[:90%]``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

from harness.core.named_path import MayBePath
from harness.data.readers import format_of

__all__ = ["Piece", "SplitName", "names_file", "pieces_of", "with_names"]

END = r"-?\d{1,12}(_\d{3}){0,3}%?"

SLICE = re.compile(rf"(?P<name>.+?)\[(?P<start>{END})?:(?P<stop>{END})?\](\((?P<rounding>\w+)\))?", re.DOTALL)

ROUNDINGS = ("closest", "pct1_dropremainder")
"""How a percentage becomes a count: to the nearest, or so that all percents have as many rows."""

FORMS = "write train[-500:], train[:80%] or train[:10%]+train[-10%:]"


class Piece(NamedTuple):
    """Some rows of what has a name."""

    name: str
    """Of a split or a file."""
    slice: str = ""
    """What is written behind it; nothing where it is meant as a whole."""

    def __str__(self) -> str:
        """Return it as it is written."""
        return f"{self.name}{self.slice}"

    def rows(self, count: int) -> range:
        """Return the numbers of its rows, of so many; what lies beyond them is nothing, as in `datasets`."""
        found = SLICE.fullmatch(f"-{self.slice}")
        if found is None:
            return range(count)
        start, stop = (_number(found[end], count, found["rounding"]) for end in ("start", "stop"))
        return range(count)[start:stop]


def _number(end: str | None, count: int, rounding: str | None) -> int | None:
    if end is None or not end.endswith("%"):
        return None if end is None else int(end)
    percent = int(end.removesuffix("%"))
    return percent * (count // 100) if rounding == ROUNDINGS[1] else round(percent * count / 100)


def pieces_of(text: str) -> tuple[Piece, ...]:
    """Return what a split is put together of.

    Raises:
        ValueError: It is no such text.

    >>> [str(piece) for piece in pieces_of("train[:10%] + dev")], list(pieces_of("train[-2:]")[0].rows(5))
    (['train[:10%]', 'dev'], [3, 4])
    """
    return tuple(map(_piece, _parts(text)))


def _parts(text: str) -> Sequence[str]:
    """Return the parts between plus signs, of which names of files may have some."""
    parts = re.split(r"\s*\+\s*", text)
    return parts if "[" in text or not any(map(names_file, parts)) else [text]


def _piece(text: str) -> Piece:
    found = SLICE.fullmatch(text)
    if found is None:
        if not text or (re.search(r"\[[^]]*\](\([^)]*\))?$", text) and not names_file(text)):
            raise ValueError(f"{text!r} is no slice of a split; {FORMS}")
        return Piece(text)
    percents = [end.endswith("%") for end in (found["start"], found["stop"]) if end]
    if len(set(percents)) > 1:
        raise ValueError(f"{text!r} counts rows at one end and percents at the other; write both alike")
    if any(abs(int(end.removesuffix("%"))) > 100 for end in (found["start"], found["stop"]) if end and percents[0]):
        raise ValueError(f"{text!r} goes beyond 100%; {FORMS}")
    if found["rounding"] and (found["rounding"] not in ROUNDINGS or not all(percents) or not percents):
        raise ValueError(f"{text!r} rounds by {found['rounding']}; of percents, write {' or '.join(ROUNDINGS)}")
    return Piece(found["name"], text.removeprefix(found["name"]))


def names_file(name: str) -> bool:
    """Return whether a name is that of a file, or of a folder.

    >>> names_file("a.csv"), names_file("./saved"), names_file("dev")
    (True, True, False)
    """
    return "/" in name or format_of(Path(name)) is not None


def with_names(text: str, change: Callable[[str], str]) -> str:
    """Return a text of pieces with other names, of one that is none the text."""
    try:
        pieces = pieces_of(text)
    except ValueError:
        return text
    return "+".join(f"{change(piece.name)}{piece.slice}" for piece in pieces)


SplitName = Annotated[str, MayBePath(names_file)]
"""A key's text that names a split, a file, or slices of such."""
