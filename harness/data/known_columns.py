"""Columns that data sets are known for: instructions with their outputs, and texts in two languages.

Rows of an instruction need no mapping where they have no target: the output is it, the instruction and, below it, what
it is about are the source. Which of two languages is the target nobody can know; what would say so is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from harness.core.example import as_text
from harness.data.nested_names import names_in, value_at

__all__ = [
    "Instructed",
    "Instructions",
    "instructed",
    "instruction_columns",
    "instruction_source",
    "made_into_others",
    "mapping_hint",
    "source_of_instructions",
]


class Instructions(NamedTuple):
    """What rows call an instruction, what it is about, and its output."""

    instruction: str
    about: str | None
    """``None``: the instruction says it all."""
    output: str


SPELLINGS = (
    *(
        Instructions("instruction", about, output)
        for about in ("input", "context", None)
        for output in ("output", "response")
    ),
    Instructions("prompt", None, "completion"),
)
"""As Alpaca, Dolly and others have them; the first of which a data set has all columns."""


class Instructed(NamedTuple):
    """Rows of instructions, with the columns that a task expects."""

    rows: list[dict[str, Any]]
    note: str


def instruction_columns(rows: Sequence[Mapping[str, Any]]) -> Instructions | None:
    """Return which columns of some rows hold instructions and outputs, ``None`` where there are none."""
    there = {column for row in rows for column in row}
    for names in SPELLINGS:
        if there.issuperset(filter(None, names)) and all(_is_plain(row, names) for row in rows):
            return names
    return None


def _is_plain(row: Mapping[str, Any], names: Instructions) -> bool:
    """Return whether a row's instruction and output are no lists or mappings, as those of chats are."""
    return not any(isinstance(row.get(name), list | Mapping) for name in (names.instruction, names.output))


def instruction_source(row: Mapping[str, Any], names: Instructions) -> str:
    """Return an instruction with what it is about on the lines below; where that is empty, the instruction alone.

    >>> instruction_source({"instruction": "Sum up.", "input": ""}, SPELLINGS[0])
    'Sum up.'
    """
    about = as_text(row.get(names.about)) if names.about else ""
    instruction = as_text(row.get(names.instruction))
    return f"{instruction}\n{about}" if about.strip() else instruction


def source_of_instructions(rows: Sequence[Mapping[str, Any]]) -> Instructions | None:
    """Return the columns that the field ``source`` of all rows is made of, as it is here; ``None``: of no such ones."""
    for names in SPELLINGS:
        if rows and all(
            names.instruction in row and row.get("source") == instruction_source(row, names) for row in rows
        ):
            return names
    return None


def instructed(rows: Sequence[Mapping[str, Any]], names: Instructions, *, has_source: bool) -> Instructed:
    """Return rows whose output is the column ``target``, and whose source is made of the instruction.

    Args:
        rows: Of a split.
        names: Of their columns.
        has_source: Whether they have one of their own.
    """
    made = []
    for row in rows:
        rest = {name: value for name, value in row.items() if name != names.output}
        source = {} if has_source else {"source": instruction_source(row, names)}
        made.append({**source, **rest, "target": row.get(names.output)})
    below = f", with {names.about!r} below it where it says something," if names.about else ""
    told = "" if has_source else f", the field source {names.instruction!r}{below}"
    note = f"rows are instructions: the target is {names.output!r}{told}; data.columns takes others."
    return Instructed(made, note.replace(",;", ";"))


def made_into_others(mappings: Iterable[Mapping[str, str]], fields: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Return the columns that prompts may show under another name.

    Args:
        mappings: ``data.columns``, of each source.
        fields: Of examples.
    """
    mapped = {column for columns in mappings for column in columns.values()}
    names = source_of_instructions(fields)
    return frozenset({*mapped, *(column.partition(".")[0] for column in mapped), *filter(None, (names or ())[:2])})


def mapping_hint(row: Mapping[str, Any]) -> str:
    """Return what ``data.columns`` may be for rows without a target: of two texts in one column, one is the source.

    >>> mapping_hint({"id": 1, "translation": {"en": "a", "fr": "b"}})
    '{source: translation.en, target: translation.fr}'
    """
    texts = [name for name in names_in([row]) if isinstance(value_at(row, name), str) and "." in name]
    pairs = [texts] if len(row) == 1 or "translation" in row else []
    if len(row) == 2 and all(isinstance(value, str) for value in row.values()):
        pairs.append(list(row))
    if found := next((pair for pair in pairs if len(pair) == 2), None):
        return f"{{source: {found[0]}, target: {found[1]}}}"
    return "{target: <its name>}"
