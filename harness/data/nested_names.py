"""Nested names: ``translation.en`` reaches into a column's values, where no column has that very name.

A part of a name is a key of a mapping, or a place in a list, counted from 0; a cell of a table may hold either as the
text of JSON.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from harness.core.bounded_files import parse_json

__all__ = ["ABSENT", "exchanged_at", "has", "names_in", "value_at"]

ABSENT: Final = object()
"""What a name leads to where there is nothing; ``None`` is a value."""

LOOKED_AT = 100
"""Rows of which a message tells the names inside."""

DEEPEST = 3
"""Levels of them."""


def value_at(row: Mapping[str, Any], name: str, default: Any = None) -> Any:
    """Return what a row has under a name, a value within its values among it.

    >>> value_at({"answers": {"text": ["four", "4"]}}, "answers.text.0"), value_at({"a.b": 1, "a": {"b": 2}}, "a.b")
    ('four', 1)
    """
    found = row[name] if name in row else _inside(row, name)
    return default if found is ABSENT else found


def has(row: Mapping[str, Any], name: str) -> bool:
    """Return whether a name leads to something in a row, and be it ``None``."""
    return name in row or _inside(row, name) is not ABSENT


def _inside(value: Any, name: str) -> Any:
    if isinstance(value, Mapping) and name in value:
        return value[name]
    if isinstance(value, list | tuple) and name.isdecimal():
        return value[int(name)] if int(name) < len(value) else ABSENT
    for head, rest in _heads(name):
        opened = _opened(_next(value, head))
        if opened is not None and (found := _inside(opened, rest)) is not ABSENT:
            return found
    return ABSENT


def _heads(name: str) -> Iterator[tuple[str, str]]:
    """Yield the ways to take a name apart, the shortest beginning first."""
    parts = name.split(".")
    return ((".".join(parts[:end]), ".".join(parts[end:])) for end in range(1, len(parts)))


def _opened(value: Any) -> Any:
    """Return a value that has others inside, one that is written as JSON read; ``None`` for any other."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            value = parse_json(value)
        except ValueError:
            return None
    return value if isinstance(value, Mapping | list | tuple) else None


def exchanged_at(row: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Return a row with another value under a name, in copies of all that it lies in; a new column where it is none."""
    return _exchanged(row, name, value) if has(row, name) else {**row, name: value}


def _exchanged(outer: Any, name: str, value: Any) -> Any:
    if isinstance(outer, Mapping) and name in outer:
        return {**outer, name: value}
    if isinstance(outer, list | tuple) and name.isdecimal():
        return [*outer[: int(name)], value, *outer[int(name) + 1 :]]
    within = ((head, rest, _opened(_next(outer, head))) for head, rest in _heads(name))
    head, rest, inner = next(way for way in within if way[2] is not None and _inside(way[2], way[1]) is not ABSENT)
    return _exchanged(outer, head, _exchanged(inner, rest, value))


def _next(value: Any, head: str) -> Any:
    """Return what is right inside of a value under a key, or at a place."""
    return value.get(head, ABSENT) if isinstance(value, Mapping) else _inside(value, head)


def names_in(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the names that rows have, those inside of their values behind them, for messages.

    >>> names_in([{"id": 1, "translation": {"en": "a", "fr": "b"}}])
    ['id', 'translation', 'translation.en', 'translation.fr']
    """
    names: dict[str, None] = {}
    for row in islice(rows, LOOKED_AT):
        for name in _names(row, "", DEEPEST):
            names.setdefault(name)
    return sorted(names)


def _names(value: Any, above: str, deepest: int) -> Iterator[str]:
    pairs = value.items() if isinstance(value, Mapping) else [("0", value[0])]
    for key, inner in pairs:
        yield f"{above}{key}"
        if deepest > 1 and (opened := _opened(inner)):
            yield from _names(opened, f"{above}{key}.", deepest - 1)
