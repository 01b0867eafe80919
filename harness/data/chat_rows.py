"""Rows that are chats, to rows with a target: the last turn of an assistant, or each one with ``data.turns: all``.

The turns before a target are its prompt's: the field ``messages`` has them, the field ``source`` their text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from harness.core.errors import DataError
from harness.core.example import as_text
from harness.data.chat_turns import CALLS, COLUMNS, MESSAGES, Turn, chat_column, is_chat, read_turns, source_text
from harness.data.data_keys import Data
from harness.data.nested_names import exchanged_at, has, value_at

__all__ = ["Answered", "Part", "answered", "answered_column", "parts_of", "without_reserved"]

RESERVED = ("mask", "sentinel")
"""Names of fields that mean something else in prompts."""


class Part(NamedTuple):
    """What one target makes of a row."""

    answer: int
    """Which of the conversation's assistant turns is the target, counted from 1."""

    columns: dict[str, Any]
    """The row's other columns, with ``messages``, ``source`` and ``target``."""

    dropped: int
    """How many turns stand behind the target, and are left out."""


def parts_of(row: Mapping[str, Any], column: str, *, every: bool) -> list[Part]:
    """Return what a chat's targets make of its row, in their order: one, or each that has a prompt.

    Args:
        row: With the column.
        column: Of chats; it is no column any more, since it holds the target.
        every: ``data.turns: all``: each assistant turn is a target, else the last one.

    Raises:
        DataError: It is no chat, or has no target.
    """
    turns = read_turns(value_at(row, column), column)
    answers = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
    if not answers:
        raise DataError(f"column {column!r} has no turn of an assistant, which the target would be; leave the row out")
    # A data set with both columns has the same chat twice, and with it the target.
    others = {name: value for name, value in row.items() if name != column and not (name in COLUMNS and is_chat(value))}
    rest = others if column in row else exchanged_at(others, column, None)
    wanted = [place for place in answers if not _fault(turns, place)] if every else answers[-1:]
    if (not wanted or not every) and (fault := _fault(turns, answers[-1])):
        raise DataError(f"the last assistant turn of {column!r} {fault}; leave the row out")
    return [
        Part(
            answers.index(place) + 1,
            {**rest, MESSAGES: turns[:place], "source": source_text(turns[:place]), "target": turns[place]["content"]},
            0 if every else len(turns) - place - 1,
        )
        for place in wanted
    ]


def _fault(turns: Sequence[Turn], place: int) -> str:
    """Say why an assistant turn is no target, nothing where it is one."""
    if turns[place].get(CALLS):
        return "calls a tool, and a target is text"
    if not turns[place]["content"].strip():
        return "is empty"
    if not any(turn["role"] in ("user", "tool") for turn in turns[:place]):
        return "answers nothing: no turn of a user stands before it"
    return ""


def without_reserved(fields: Mapping[str, Any], columns: Mapping[str, str]) -> Mapping[str, Any]:
    """Return an example's fields with turns in one spelling, without reserved names that are mapped to others.

    Args:
        fields: Of an example.
        columns: ``data.columns``.

    Raises:
        DataError: A field has a reserved name, and is no chat.
    """
    taken = [name for name in (MESSAGES, *RESERVED) if name in fields]
    if not taken:
        return fields
    found = dict(fields)
    for name in taken:
        value = found.pop(name)
        if name in columns.values() and name not in columns:
            continue
        if name == MESSAGES and (value is None or is_chat(value)):
            is_empty = value is None or (isinstance(value, list) and not value)
            found |= {} if is_empty else {name: read_turns(value, name)}
            continue
        raise DataError(
            f"a field is called {name!r}, which means something else in prompts, and holds {str(value)[:40]!r}; rename "
            f"the column, or map it: data.columns: {{my_{name}: {name}}}"
        )
    return {name: found[name] for name in fields if name in found}


class Answered(NamedTuple):
    """The rows that the targets of a split's chats make."""

    rows: list[dict[str, Any]]
    labels: list[str]
    """What each is called by: the number of its chat, counted from 1, and with ``all`` of the answer: ``7.2``."""
    chats: list[int]
    """The number of each one's chat."""
    notes: list[str]


def answered(rows: Sequence[Mapping[str, Any]], column: str, *, every: bool, id: str, place: str) -> Answered:
    """Return what the targets of some rows make.

    Args:
        rows: Of a split.
        column: Of chats.
        every: ``data.turns: all``.
        id: What the source calls the column of ids; with ``all`` a number is put behind them.
        place: Of the split, for messages.

    Raises:
        DataError: A row is no chat, or has no target; names it.
    """
    found, faults, behind = Answered([], [], [], []), list[str](), 0
    for number, row in enumerate(rows, start=1):
        try:
            parts = parts_of(row, column, every=every)
        except DataError as error:
            faults.append(f"{place} row {number}: {error}")
            continue
        for part in parts:
            said = value_at(row, id)
            own = {id: f"{as_text(said)}.{part.answer}"} if every and said not in (None, "") else {}
            found.rows.append({**part.columns, **own})
            found.labels.append(f"{number}.{part.answer}" if every else str(number))
            found.chats.append(number)
        behind += any(part.dropped for part in parts)
    if faults:
        raise DataError(faults[0] + (f" ({len(faults)} rows are faulty)" if len(faults) > 1 else ""))
    if behind:
        found.notes.append(f"{behind} chats of {place} go on behind their last answer; what stands there is left out.")
    if any("source" in row for row in rows):
        found.notes.append(f"the field source is the text of the turns in {column!r}, not the column of that name.")
    return found


def _other_column(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the column that holds a chat in the first row, however it is called."""
    for column, value in (rows[0] if rows else {}).items():
        with suppress(DataError):
            if is_chat(value) and read_turns(value, column):
                return column
    return None


def answered_column(rows: Sequence[Mapping[str, Any]], data: Data, place: str, *, reads_chats: bool) -> str | None:
    """Return the column of chats that targets are taken of, ``None`` where rows have a target, or a task its own way.

    Args:
        rows: Of a split.
        data: The study's section.
        place: Where they are, for messages.
        reads_chats: Whether the study's task leaves chats to be taken apart here.

    Raises:
        DataError: The study says which turns are targets, and there are none; or chats are in a column of another name.
    """
    target = data.columns.get("target", "target")
    has_target = any(has(row, target) for row in rows)
    column = None if has_target or not reads_chats else data.columns.get(MESSAGES) or chat_column(rows)
    if column is None and not has_target and reads_chats and (other := _other_column(rows)):
        raise DataError(
            f"{place}: no column {target!r}, but {other!r} holds chats; map it with data.columns: {{messages: {other}}}"
        )
    if column is None and data.turns is not None and rows:
        found = f"there is a column {target!r}" if has_target else f"no column {' or '.join(COLUMNS)} holds chats"
        raise DataError(f"{place}: data.turns is {data.turns!r}, but {found}; leave data.turns out, or map the column")
    return column
