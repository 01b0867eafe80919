"""Data sources: the rows of splits, to examples; where they are is found in `harness.data.open_source`.

Splits are the source's own; one that it lacks is carved out of ``train`` with the study's seed. Nothing is read
before it is asked for, so that a search never opens the test split's file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from harness.core.closest_match import closest
from harness.core.errors import DataError
from harness.core.example import Example, Split, as_text
from harness.core.user_code import user_code
from harness.data.carved_splits import chosen_rows
from harness.data.chat_rows import answered, answered_column, without_reserved
from harness.data.data_keys import Data, Draw
from harness.data.known_columns import Instructions, instructed, instruction_columns
from harness.data.mixtures import id_in, mixed
from harness.data.nested_names import ABSENT, exchanged_at, has, names_in, value_at
from harness.data.readers import Row
from harness.data.row_groups import group_of

__all__ = [
    "LISTED",
    "Part",
    "Source",
    "SourceRow",
    "example_of",
    "examples_of",
    "read_split",
    "split_rows",
]

LISTED = 10
"""Files, or columns, that a line names."""


@dataclass(frozen=True)
class Source:
    """A place that rows come from."""

    origin: str
    """A path or Hub id, for messages and provenance."""

    readers: Mapping[Split, Callable[[], list[Row]]]
    """One per split that the source has."""

    notes: list[str] = field(default_factory=list)
    """What is told of it: files left unread and, once they are read, how files were and which splits are carved."""

    from_memory: bool = False
    """Whether its files hold what Python gave, which messages then name in their place."""

    files: Mapping[Split, Sequence[Path]] = field(default_factory=dict)
    """Those of each split, where it is of files."""

    reads_chats: bool = True
    """Whether chats and instructions are made source and target; a task whose own function does so is left to it."""

    parts: tuple[Part, ...] = ()
    """The sources that it mixes, if it does; then its own readers are none."""

    undrawn: list[SourceRow] = field(default_factory=list)
    """Of a mixture, once it is read: the rows of test that it leaves out."""

    @property
    def name(self) -> str:
        """What it is called where it is shown."""
        return "from memory" if self.from_memory else self.origin

    @property
    def prefix(self) -> str:
        """What stands before a split's name in messages."""
        return "" if self.from_memory else f"{self.origin}, "

    def place(self, split: Split) -> str:
        """Return where a split's rows are, for messages."""
        return f'data["{self.holder(split)}"]' if self.from_memory else f"{self.prefix}{split}"

    def rows(self, split: Split) -> list[Row]:
        """Read the rows that a split has, or is carved out of."""
        return self.readers[self.holder(split)]()

    def read_once(self) -> Source:
        """Return the same source, which keeps what it reads: splits that are carved out of one file share its rows."""
        parts = tuple(part._replace(source=part.source.read_once()) for part in self.parts)
        return replace(self, readers={split: cache(reader) for split, reader in self.readers.items()}, parts=parts)

    def holder(self, split: Split) -> Split:
        """Return the split whose rows a split is of: itself, or the one that it is carved out of."""
        return split if split in self.readers else "train"


class Part(NamedTuple):
    """One of the sources of a mixture."""

    name: str
    """What ids of its rows begin with, and params say of it; holds no colon."""
    weight: float
    source: Source
    data: Data
    """Its own section, with the sizes of what is carved out of it."""


class SourceRow(NamedTuple):
    """One row of a split as the source has it."""

    place: str
    """Of the row, for messages."""
    id: str
    """What its example is called where it has no id of its own."""
    columns: Row
    group: str | None = None
    """What it has in common with other rows, whatever ``data.group`` says: the chat that they are of."""
    part: str | None = None
    """The source of a mixture that it is of: then its columns are called as the task expects."""


def read_split(
    source: Source, split: Split, data: Data, example: Callable[[Mapping[str, Any], str], Example]
) -> list[Example]:
    """Return one split's examples: carved out where the source lacks it, cut to the study's size.

    Args:
        source: From `harness.data.open_source`.
        split: Which.
        data: Sizes, seed, column names and groups.
        example: The task's way from a row and a fallback id to an example.

    Raises:
        DataError: The split is empty or too small, a column is missing, or two rows share an id.
    """
    return examples_of(split_rows(source, split, data), data, example)


def split_rows(source: Source, split: Split, data: Data, draw: Draw | None = None) -> list[SourceRow]:
    """Return one split's rows, as `read_split` takes them; of train those of a draw, by default the study's first.

    A row without the target that others have has none; its example is refused as one whose target is empty.

    Raises:
        DataError: The split is empty or too small, or no row has the column of groups, or one that a name is mapped to.
    """
    draw = draw or data.draws[0]
    if source.parts:
        return _mixed_rows(source, split, data, draw)
    table, place, holder = source.rows(split), source.place(split), source.holder(split)
    _refuse_missing(table, data, place)
    target = data.columns.get("target", "target")
    column = answered_column(table, data, place, reads_chats=source.reads_chats)
    names = None if column or not source.reads_chats else _instructions(table, data)
    if names is not None:
        has_source = "source" in data.columns or any("source" in row for row in table)
        table, note = instructed(table, names, has_source=has_source)
        source.notes.extend([note] if note not in source.notes else [])
    if column is None:
        rows, labels = table, [str(number) for number in range(1, len(table) + 1)]
        groups = [group_of(row, data.group) for row in rows]
        without = [row for row in rows if target not in row and not has(row, target)]
        if 0 < len(without) < len(rows):
            rows = [row if target in row or has(row, target) else {**row, target: None} for row in rows]
    else:
        every = data.turns == "all"
        id = data.columns.get("id", "id")
        found = answered(table, column, every=every, id=id, place=source.place(holder))
        rows, labels = found.rows, found.labels
        source.notes.extend(note for note in found.notes if note not in source.notes)
        own = [f"{holder} row {number}" if every else None for number in found.chats]
        groups = [group_of(row, data.group) or chat for row, chat in zip(rows, own, strict=True)]
    numbers = chosen_rows(source, split, data, groups, draw)
    return [SourceRow(f"{place} row {labels[n]}", f"row-{labels[n]}", rows[n], groups[n]) for n in numbers]


def _mixed_rows(source: Source, split: Split, data: Data, draw: Draw) -> list[SourceRow]:
    """Return the rows of a mixture's split."""
    weights = {part.name: part.weight for part in source.parts}
    rows = {
        part.name: [
            _of_part(row, part)
            for row in split_rows(replace(part.source, reads_chats=source.reads_chats), split, part.data)
        ]
        for part in source.parts
    }
    groups = {name: [row.group for row in part] for name, part in rows.items()}
    size: int | None = draw.train if split == "train" else getattr(data, split)
    try:
        mixture = mixed(groups, weights, draw.seed if split == "train" else data.first_seed, size)
    except DataError as error:
        raise DataError(f"{source.place(split)}: data.{split}: {error}") from None
    note = mixture.line(split, weights, {name: len(part) for name, part in rows.items()})
    source.notes.extend([note] if note not in source.notes else [])
    if split == "test":
        drawn = set(mixture.rows)
        every = ((name, number) for name, part in rows.items() for number in range(len(part)))
        source.undrawn[:] = [rows[name][number] for name, number in every if (name, number) not in drawn]
    return [rows[name][number] for name, number in mixture.rows]


def _of_part(row: SourceRow, part: Part) -> SourceRow:
    """Return a row as one of a mixture: what targets are made of has no other name by which a prompt could show it."""
    columns, found = part.data.columns, _mapped(row.columns, part.data.columns)
    for column in (columns.get(name) for name in ("target", "references")):
        if column in row.columns and column not in columns:
            del found[column]
        elif column is not None and column not in row.columns and has(row.columns, column):
            found = exchanged_at(found, column, None)
    group = row.group if row.group is not None else group_of(row.columns, part.data.group)
    return row._replace(columns=found, group=group and f"{part.name}:{group}", part=part.name)


def _instructions(rows: Sequence[Row], data: Data) -> Instructions | None:
    """Return the columns of instructions where rows have no target, and the study maps none."""
    if "target" in data.columns or any("target" in row for row in rows):
        return None
    return instruction_columns(rows)


def _refuse_missing(rows: Sequence[Row], data: Data, place: str) -> None:
    """Refuse names of columns that no row has."""
    wanted = {f"data.columns maps {name!r} to": column for name, column in data.columns.items()}
    if data.group is not None:
        wanted["data.group names"] = data.group
    for says, column in wanted.items():
        if rows and not any(has(row, column) for row in rows):
            hint = closest(column, names_in(rows))
            raise DataError(f"{place}: {says} a column {column!r}, which no row has; {hint}")


def examples_of(
    rows: Sequence[SourceRow], data: Data, example: Callable[[Mapping[str, Any], str], Example]
) -> list[Example]:
    """Return the examples of a split's rows.

    Raises:
        DataError: A column is missing, or two rows share an id.
    """
    examples: dict[str, Example] = {}
    for row in rows:
        made = example_of(row, data, example)
        if made.id in examples:
            raise DataError(f"{row.place}: another row has the id {made.id!r} as well; ids must be distinct")
        examples[made.id] = made
    return list(examples.values())


def example_of(row: SourceRow, data: Data, example: Callable[[Mapping[str, Any], str], Example]) -> Example:
    """Return the example of one row.

    Raises:
        DataError: A column is missing, or the task's own function fails.
    """
    try:
        columns = row.columns if row.part else _mapped(row.columns, data.columns)
        made = _example(columns, row.id, example)
        made = replace(made, fields=without_reserved(made.fields, data.columns))
    except DataError as error:
        raise DataError(f"{row.place}: {error}") from None
    if row.part:
        return replace(made, id=id_in(row.part, made.id), group=row.group)
    group = row.group if row.group is not None else group_of(row.columns, data.group)
    return made if group is None else replace(made, group=group)


def _example(row: Row, id: str, make: Callable[[Mapping[str, Any], str], Example]) -> Example:
    given = ", ".join(map(str, list(row)[:LISTED])) + ", ..." * (len(row) > LISTED)
    with user_code(f"the task's example(), given a row with {given},", "correct the task file or the row", DataError):
        made = make(row, id)
    if not isinstance(made, Example):
        raise DataError(f"the task's example() returned {made!r}; it must return an Example")
    references = tuple(map(as_text, made.references))
    made = replace(made, id=as_text(made.id), target=as_text(made.target), references=references)
    try:
        for text in (made.id, made.target, *made.references, *map(as_text, made.fields.values())):
            text.encode()
    except UnicodeEncodeError as error:  # half of a surrogate pair
        raise DataError(f"the task's example() returned what is no text: {error}; correct the task file") from None
    return made


def _mapped(row: Row, columns: Mapping[str, str]) -> Row:
    made = dict(row)
    for name, column in columns.items():
        value = row[column] if column in row else value_at(row, column, ABSENT)
        if value is not ABSENT:
            made[name] = value
    return made
