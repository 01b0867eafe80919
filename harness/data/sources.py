"""Data sources: a file, a folder of splits or a data set on the Hub, to examples.

Splits are the source's own; one that it lacks is carved out of ``train`` with the study's seed. Nothing is read
before it is asked for, so that a search never opens the test split's file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from harness.core.closest_match import closest
from harness.core.errors import DataError
from harness.core.example import Example, Split, as_text
from harness.core.named_path import named_path
from harness.core.user_code import user_code
from harness.data.chat_rows import answered, answered_column, without_reserved
from harness.data.column_kinds import ColumnKinds
from harness.data.data_keys import CARVED_SHARE, Data
from harness.data.hub_data import hub_splits
from harness.data.readers import Row, read_table
from harness.data.row_groups import group_of, in_whole_groups
from harness.data.split_files import SplitFiles, split_files

__all__ = ["Source", "SourceRow", "example_of", "examples_of", "open_source", "read_split", "split_rows"]

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
    """Whether chats are taken apart into prompt and target; a task whose own function does so is left to it."""

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
        return replace(self, readers={split: cache(reader) for split, reader in self.readers.items()})

    def holder(self, split: Split) -> Split:
        """Return the split whose rows a split is of: itself, or the one that it is carved out of."""
        return split if split in self.readers else "train"


def open_source(data: Data, default: Path, folder: Path = Path()) -> Source:
    """Find the study's data without reading it.

    Args:
        data: The study's section.
        default: The task's own data, where the study names none.
        folder: Where paths of ``splits`` start if no folder is named.

    Raises:
        DataError: There is nothing there, or no ``train``.
    """
    if data.hub:
        found = hub_splits(data)
        return Source(found.origin, found.readers, _unread(found.origin, "splits", found.unread))
    if data.splits:
        base = named_path(data.path) if data.path else folder
        files = {split: (base / named_path(name),) for split, name in data.splits.items()}
        return _files(str(base), SplitFiles(files, ()), data)
    path = named_path(data.path) if data.path else default
    if path.is_file():
        return _files(str(path), SplitFiles({"train": (path,)}, ()), data)
    if not path.is_dir():
        places = "paths start from the study file's folder, then from the current folder"
        raise DataError(f"data.path {str(path)!r} is neither a file nor a folder; {places}")
    return _files(str(path), split_files(path), data)


def _files(origin: str, found: SplitFiles, data: Data) -> Source:
    """Return the source that some files are."""
    notes = _unread(origin, "files", found.unread)
    kinds = ColumnKinds()

    def rows(files: Sequence[Path]) -> list[Row]:
        tables = [read_table(file, encoding=data.encoding, delimiter=data.delimiter) for file in files]
        for file, table in zip(files, tables, strict=True):
            told = [*table.notes, *kinds.differing(file.name, table.rows)]
            notes.extend(note for note in told if note not in notes)
        return [row for table in tables for row in table.rows]

    readers = {split: partial(rows, files) for split, files in found.files.items()}
    return Source(origin, readers, notes, files=found.files)


def _unread(origin: str, what: str, names: Sequence[str]) -> list[str]:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return [f"in {origin} these {what} are not read: {', '.join(names[:LISTED])}{more}."] if names else []


class SourceRow(NamedTuple):
    """One row of a split as the source has it."""

    place: str
    """Of the row, for messages."""
    id: str
    """What its example is called where it has no id of its own."""
    columns: Row
    group: str | None = None
    """What it has in common with other rows, whatever ``data.group`` says: the chat that they are of."""


def read_split(
    source: Source, split: Split, data: Data, example: Callable[[Mapping[str, Any], str], Example]
) -> list[Example]:
    """Return one split's examples: carved out where the source lacks it, cut to the study's size.

    Args:
        source: From `open_source`.
        split: Which.
        data: Sizes, seed, column names and groups.
        example: The task's way from a row and a fallback id to an example.

    Raises:
        DataError: The split is empty or too small, a column is missing, or two rows share an id.
    """
    return examples_of(split_rows(source, split, data), data, example)


def split_rows(source: Source, split: Split, data: Data) -> list[SourceRow]:
    """Return one split's rows, as `read_split` takes them.

    A row without the target that others have has none; its example is refused as one whose target is empty.

    Raises:
        DataError: The split is empty or too small, or no row has the column of groups, or one that a name is mapped to.
    """
    table, place, holder = source.rows(split), source.place(split), source.holder(split)
    _refuse_missing(table, data, place)
    target = data.columns.get("target", "target")
    column = answered_column(table, data, place, reads_chats=source.reads_chats)
    if column is None:
        rows, labels = table, [str(number) for number in range(1, len(table) + 1)]
        groups = [group_of(row, data.group) for row in rows]
        if len({target in row for row in rows}) > 1:
            rows = [row if target in row else {**row, target: None} for row in rows]
    else:
        every = data.turns == "all"
        id = data.columns.get("id", "id")
        found = answered(table, column, every=every, id=id, place=source.place(holder))
        rows, labels = found.rows, found.labels
        source.notes.extend(note for note in found.notes if note not in source.notes)
        own = [f"{holder} row {number}" if every else None for number in found.chats]
        groups = [group_of(row, data.group) or chat for row, chat in zip(rows, own, strict=True)]
    numbers = _chosen(source, split, data, groups)
    return [SourceRow(f"{place} row {labels[n]}", f"row-{labels[n]}", rows[n], groups[n]) for n in numbers]


def _refuse_missing(rows: Sequence[Row], data: Data, place: str) -> None:
    """Refuse names of columns that no row has."""
    wanted = {f"data.columns maps {name!r} to": column for name, column in data.columns.items()}
    if data.group is not None:
        wanted["data.group names"] = data.group
    for says, column in wanted.items():
        if rows and not any(column in row for row in rows):
            hint = closest(column, sorted({column for row in rows for column in row}))
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
        made = _example(_mapped(row.columns, data.columns), row.id, example)
        made = replace(made, fields=without_reserved(made.fields, data.columns))
    except DataError as error:
        raise DataError(f"{row.place}: {error}") from None
    group = row.group if row.group is not None else group_of(row.columns, data.group)
    return made if group is None else replace(made, group=group)


def _chosen(source: Source, split: Split, data: Data, rows: Sequence[str | None]) -> list[int]:
    """Return the row numbers of a split, in the file's order; a smaller size takes a subset of a larger one's.

    Args:
        source: For messages, and what it lacks.
        split: Which.
        data: Sizes and seed.
        rows: The group of each.
    """
    shuffled = [int(number) for number in np.random.default_rng(data.seed).permutation(len(rows))]
    units: Sequence[list[int]] = in_whole_groups(shuffled, rows)
    wanted: int | None = getattr(data, split)
    missing: list[Split] = [name for name in ("test", "validation") if name not in source.readers]
    if split in missing or (split == "train" and missing):
        sizes = {name: getattr(data, name) or max(1, round(len(rows) * CARVED_SHARE)) for name in missing}
        units = _carved(source, split, units, sizes)
    order = [number for unit in units for number in unit]
    if not order:
        raise DataError(f"{source.place(split)}: split {split!r} is empty; it needs at least one row")
    if wanted is not None and wanted > len(order):
        raise DataError(f"{source.place(split)}: data.{split} is {wanted}, but there are {len(order)} rows; lower it")
    return sorted(order[:wanted])


def _carved(
    source: Source, split: Split, units: Sequence[list[int]], sizes: Mapping[Split, int]
) -> Sequence[list[int]]:
    """Return a split's share of groups: those that are missing take whole ones until they have their rows."""
    start, rows = 0, sum(map(len, units))
    for name, size in sizes.items():
        end, taken = start, 0
        while taken < size and end < len(units):
            taken += len(units[end])
            end += 1
        if taken < size or end == len(units):
            groups = f" in {len(units)} groups" if len(units) < rows else ""
            raise DataError(
                f"{source.place('train')}: its {rows} rows{groups} cannot give {dict(sizes)} and leave rows to train on"
            )
        if name == split:
            none = "no rows were given" if source.from_memory else f"there is no file for it in {source.origin}"
            rule = f"data.{name} sets how many, {CARVED_SHARE:.0%} where it is left out"
            source.notes.append(f"{name} is {taken} of the {rows} rows of train: {none}; {rule}.")
            return units[start:end]
        start = end
    return units[start:]


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
    return {**row, **{name: row[column] for name, column in columns.items() if column in row}}
