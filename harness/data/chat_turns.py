"""Turns of chats, in either of the two spellings that data sets have, and as text.

``{role, content}`` with ``user``, ``assistant``, ``system`` and ``tool``, or ``{from, value}`` with ``human``, ``gpt``,
``system`` and ``tool``; a list of them, its JSON text in a cell of a table, or a table's own structs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.core.bounded_files import parse_json
from harness.core.closest_match import closest
from harness.core.errors import DataError

__all__ = ["CALLS", "COLUMNS", "MESSAGES", "Turn", "chat_column", "is_chat", "read_turns", "source_text", "to_answer"]

Turn = dict[str, Any]

MESSAGES = "messages"
"""The field of turns, and the name of the column that they are looked for in first."""

COLUMNS = (MESSAGES, "conversations")
"""The columns that chats are looked for in, where the study names none."""

SPELLINGS = (("role", "from"), ("content", "value"))

ROLES = {
    **dict.fromkeys(("user", "human"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "function_call"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "observation", "function_response", "tool_response", "ipython"), "tool"),
}
"""What each role is called here, by the names that data sets have for it."""

FURTHER = ("tool_calls", "tool_call_id", "name")
"""What of a turn is kept beside role and content, where it says something."""

CALLS = "tool_calls"

REMEDY = "correct the row or leave it out"


def chat_column(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the column of that name that holds chats, ``None`` where there is none.

    Of a column the first value that says something is looked at: an empty chat is a fault of its row.
    """
    for column in COLUMNS:
        there = [row[column] for row in rows if row.get(column) is not None]
        value = next(filter(_says_something, there), there[0] if there else None)
        if is_chat(value) or (column == MESSAGES and isinstance(value, list)):
            return column
    return None


def _says_something(value: Any) -> bool:
    try:
        return _listed(value) not in (None, "", [], {})
    except ValueError:
        return True


def is_chat(value: Any) -> bool:
    """Return whether a value is meant as a list of turns, or as the JSON text of one."""
    try:
        turns = _listed(value)
    except ValueError:
        return True
    return isinstance(turns, list) and any(isinstance(turn, Mapping) for turn in turns)


def _listed(value: Any) -> Any:
    """Return a value as a list, if it is one in whatever way tables hold it.

    Raises:
        ValueError: It looks like the JSON text of a list of turns, or a list for each key of them, and is none.
    """
    if isinstance(value, str) and re.match(r"\s*\[\s*\{", value):
        return parse_json(value)
    if isinstance(value, Mapping) and value and all(isinstance(part, list) for part in value.values()):
        if len({len(part) for part in value.values()}) > 1:
            raise ValueError(f"its lists have {', '.join(f'{len(part)} {key}' for key, part in value.items())}")
        return [dict(zip(value, turn, strict=True)) for turn in zip(*value.values(), strict=True)]
    if hasattr(value, "tolist"):  # an array of numpy
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value


def read_turns(value: Any, column: str) -> list[Turn]:
    """Return the turns of a chat: ``role`` and ``content``, and what a tool's turns have beside them.

    Args:
        value: A list of turns, its JSON text, or a list for each key of a turn.
        column: What the column is called, for messages.

    Raises:
        DataError: It is no list of turns; names the turn.
    """
    try:
        turns = _listed(value)
    except ValueError as error:
        what = "valid JSON" if isinstance(value, str) else "chat"
        raise DataError(f"column {column!r} is no {what}: {error}; write its turns as a JSON list") from None
    if not isinstance(turns, list) or not turns:
        shown = "nothing" if turns in (None, "", []) else str(turns)[:40]
        raise DataError(f"column {column!r} holds {shown}; a chat is a list of turns, each {{role, content}}; {REMEDY}")
    return [_turn(turn, f"turn {number} of {column!r}") for number, turn in enumerate(turns, start=1)]


def _turn(turn: Any, place: str) -> Turn:
    if not isinstance(turn, Mapping):
        raise DataError(f"{place} is {str(turn)[:40]!r}; a turn is {{role, content}} or {{from, value}}; {REMEDY}")
    said, content = (_of_key(turn, names, place) for names in SPELLINGS)
    role = ROLES.get(said.strip().lower()) if isinstance(said, str) else None
    if role is None:
        raise DataError(f"{place} has the role {said!r}; {closest(str(said), list(ROLES))}")
    further = {key: turn[key] for key in FURTHER if turn.get(key) not in (None, [], "")}
    return {"role": role, "content": _content(content, place), **further}


def _of_key(turn: Mapping[str, Any], names: tuple[str, str], place: str) -> Any:
    """Return what a turn has under one of two names; a table's turns may have both, one of them empty."""
    there = [turn[name] for name in names if name in turn]
    if not there and not turn.get(CALLS):
        hint = f"it has {', '.join(map(str, turn)) or 'nothing'}"
        raise DataError(f"{place} has neither {names[0]!r} nor {names[1]!r}: {hint}; {REMEDY}")
    return next((value for value in there if value is not None), None)


def _content(value: Any, place: str) -> str:
    """Return a turn's text; of a list of parts those of text, joined."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple):
        return "".join(_part(part, f"{place}, part {number},") for number, part in enumerate(value, start=1))
    raise DataError(f"{place} says {str(value)[:40]!r}; it must be a text, or a list of parts of text; {REMEDY}")


def _part(part: Any, place: str) -> str:
    if isinstance(part, str):
        return part
    kind = (
        part.get("type") or ("text" if "text" in part else None) if isinstance(part, Mapping) else type(part).__name__
    )
    text = part.get("text") if isinstance(part, Mapping) and kind == "text" else None
    if not isinstance(text, str):
        raise DataError(f"{place} is of the kind {kind!r}; only text is read: leave such rows out")
    return text


def source_text(turns: Sequence[Turn]) -> str:
    """Return turns as text: a single user turn as it is, several as ``role: text`` lines; no system turn.

    >>> source_text([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}])
    'Hello?'
    """
    spoken = [turn for turn in turns if turn["role"] != "system"]
    if [turn["role"] for turn in spoken] == ["user"]:
        text: str = spoken[0]["content"]
        return text
    return "\n".join(f"{turn['role']}: {turn['content']}" for turn in spoken)


def to_answer(turns: Sequence[Turn]) -> list[Turn]:
    """Return the turns that a model is to answer: all, but for an answer at the end, which is what it is asked for."""
    return list(turns[:-1] if turns[-1]["role"] == "assistant" else turns)
