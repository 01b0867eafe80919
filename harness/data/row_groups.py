"""Groups: rows that belong together (turns of one dialogue, sentences of one document) and stay in one split.

``data.group`` names the column that says which; a row without a value there is a group of its own. What splits share
is found before anything trains, and where no column is named, columns that look like one are asked about.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

from harness.core.errors import DataError
from harness.core.example import SPLITS, Example, Split
from harness.data.nested_names import value_at

__all__ = [
    "FEW_TESTED",
    "Likely",
    "few_groups",
    "few_tested",
    "group_of",
    "in_whole_groups",
    "likely_groups",
    "separated",
    "shared_groups",
]

ROWS_PER_GROUP = 1.5
"""On average, from which on values of a column are said to repeat."""

FEWEST = 10
"""Groups of a split, below which it is told."""

FEW_TESTED = 50
"""Examples of test, or groups of them, below which intervals are rough, and it is told."""

SHOWN = 3
"""Groups that a message names."""

_NAMES = re.compile(r"dialog|conv|doc|thread|session|article|page|title|url|author|user|speaker|patient", re.I)
"""In names of columns of groups, however few and large these are."""

_BEGINNING = re.compile(r"(.*[^\W_])[\W_]+[^\W\d_]*\d+")
"""What rows of one group share in ids such as ``d1-t2`` or ``talk7.json_12``."""


class Likely(NamedTuple):
    """A column that looks as if it said which rows belong together."""

    column: str | None
    """``None``: the beginnings of ids."""
    values: int
    """How many different ones there are."""
    rows: int
    """How many rows have one."""
    shared: int
    """How many values stand in more than one split."""

    def line(self) -> str:
        """Ask about it."""
        rows, them, remedy = f"with the same {self.column!r}", "Its", f"set data.group: {self.column}"
        if self.column is None:
            rows, them = "whose ids begin alike", "These"
            remedy = "give them a column of their own, and set data.group"
        return (
            f"Do rows {rows} belong together? {them} {self.values} values repeat over {self.rows} rows, and "
            f"{self.shared} of them stand in more than one split; if so, {remedy}; if not, data.group: null says so"
        )


def group_of(row: Mapping[str, Any], column: str | None) -> str | None:
    """Return what a row's group is called, ``None`` where it has none.

    Args:
        row: Column names to values.
        column: ``data.group``.
    """
    return _name(value_at(row, column)) if column is not None else None


def _name(value: Any) -> str | None:
    """Return a value as a group is called: 3, 3.0 and ``3 `` are one: some tables turn numbers into floats."""
    if value is None or value != value:
        return None
    return str(int(value) if isinstance(value, float) and value.is_integer() else value).strip() or None


def in_whole_groups(order: Sequence[int], groups: Sequence[str | None]) -> list[list[int]]:
    """Return row numbers group by group: groups in the order of their first row, rows of each in their own.

    Args:
        order: Row numbers, shuffled.
        groups: Of all rows, by number.
    """
    together: dict[tuple[str, str | int], list[int]] = {}
    for number in order:
        group = groups[number]
        together.setdefault(("row", number) if group is None else ("group", group), []).append(number)
    return list(together.values())


def shared_groups(examples: Mapping[Split, Sequence[Example]]) -> dict[str, tuple[Split, ...]]:
    """Return the groups that stand in more than one split, and those splits."""
    places: dict[str, set[Split]] = {}
    for split, rows in examples.items():
        for example in rows:
            if example.group is not None:
                places.setdefault(example.group, set()).add(split)
    shared = {group: splits for group, splits in places.items() if len(splits) > 1}
    return {group: tuple(split for split in SPLITS if split in splits) for group, splits in shared.items()}


def separated(
    examples: Mapping[Split, Sequence[Example]], on_overlap: Literal["warn", "drop", "error"]
) -> dict[Split, list[Example]]:
    """Return the splits without rows whose group stands in a later split as well.

    Args:
        examples: The splits; ``test``, the last of them, always stays whole.
        on_overlap: ``data.on_overlap``.

    Raises:
        DataError: Groups stand in two splits, and nothing says to drop them; or a split has no other rows.
    """
    shared = shared_groups(examples)
    if not shared:
        return {split: list(rows) for split, rows in examples.items()}
    if on_overlap != "drop":
        names = ", ".join(f"{group!r} in {' and '.join(splits)}" for group, splits in list(shared.items())[:SHOWN])
        more = ", ..." if len(shared) > SHOWN else ""
        raise DataError(
            f"{len(shared)} groups stand in more than one split: {names}{more}; a group must stay in one, so correct "
            "the files, give one file that is split here, or set data.on_overlap: drop (from train, else validation)"
        )
    rest: dict[Split, list[Example]] = {}
    for split, rows in examples.items():
        rest[split] = [e for e in rows if e.group is None or shared.get(e.group, (split,))[-1] == split]
        if not rest[split]:
            raise DataError(f"every group of {split} stands in a later split as well; correct the data")
    return rest


def few_groups(examples: Mapping[Split, Sequence[Example]], column: str | None) -> list[str]:
    """Return a caution for each split that is scored whose rows are of few groups, which count as wholes.

    Args:
        examples: The splits.
        column: ``data.group``; ``None``: a group is a chat, all of whose answers are targets.
    """
    unit, remedy = ("group", ", or a column of smaller groups") if column else ("chat", " of further chats")
    counts = {split: (_units(rows), len(rows)) for split, rows in examples.items()}
    return [
        f"{split} has {groups} {unit}{'s' * (groups != 1)} in {rows} rows (data.{'group' if column else 'turns'}), "
        f"which count as wholes: below {FEWEST} little can be claimed, of one nothing; take more rows{remedy}"
        for split, (groups, rows) in counts.items()
        if split != "train" and groups < min(FEWEST, rows)
    ]


def few_tested(examples: Mapping[Split, Sequence[Example]]) -> list[str]:
    """Return a line where what is resampled of test, rows or groups, is little; nothing where test is not read."""
    rows = examples.get("test", [])
    count = _units(rows)
    if not rows or count >= FEW_TESTED:
        return []
    unit = "row" if all(row.group is None for row in rows) else "group"
    several = "s" * (count != 1)
    return [f"test has {count} {unit}{several}: below {FEW_TESTED} one moves scores much, and intervals are rough."]


def _units(rows: Sequence[Example]) -> int:
    """Return how many groups there are; a row without one is a group of its own."""
    return len({(row.group, row.id if row.group is None else "") for row in rows})


def likely_groups(
    rows: Mapping[Split, Sequence[Mapping[str, Any]]], ruled_out: frozenset[str], id: str
) -> list[Likely]:
    """Return the columns whose values repeat across splits as those of groups do, and so for the beginnings of ids.

    A column of groups has many values (more than the square root of its rows; a topic or a language has few) or is
    called like one; most of them stand in several rows, and some of them in several splits.

    Args:
        rows: The splits, columns as the source calls them.
        ruled_out: Columns that are no group: what prompts and targets are made of, and ids.
        id: The column of ids.
    """
    columns = dict.fromkeys(column for split in rows.values() for row in split for column in row)
    looked_at = [
        *(_likely(name, rows, partial(_value, name)) for name in columns if name not in ruled_out),
        _likely(None, rows, lambda row: _beginning(row.get(id))),
    ]
    return [likely for likely in looked_at if likely is not None]


def _value(column: str, row: Mapping[str, Any]) -> Any:
    return row.get(column)


def _beginning(id: Any) -> str | None:
    match = _BEGINNING.fullmatch(str(id))
    return match and match[1]


def _likely(
    column: str | None, rows: Mapping[Split, Sequence[Mapping[str, Any]]], value_of: Callable[[Mapping[str, Any]], Any]
) -> Likely | None:
    counts: Counter[str] = Counter()
    places: dict[str, Split] = {}
    shared_names: set[str] = set()
    for split, part in rows.items():
        for row in part:
            value = value_of(row)
            if isinstance(value, bool | list | dict) or (isinstance(value, float) and value == value and value % 1):
                return None
            if (name := _name(value)) is not None:
                counts[name] += 1
                if places.setdefault(name, split) != split:
                    shared_names.add(name)
    shared = len(shared_names)
    repeated = sum(count for count in counts.values() if count > 1)
    is_called_so = column is not None and _NAMES.search(column)
    many = len(counts) > 2 and (is_called_so or len(counts) >= math.sqrt(counts.total()))
    if not (shared and many and counts.total() >= ROWS_PER_GROUP * len(counts) and repeated * 2 > counts.total()):
        return None
    return Likely(column, len(counts), counts.total(), shared)
