"""CSV and TSV files: the mark between columns found, and the types of columns read back from their cells."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from harness.core.bounded_files import ROW
from harness.core.errors import DataError
from harness.data.text_files import open_text

__all__ = ["DELIMITERS", "read_csv", "typed"]

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between columns where a study does not say it, and what that is called."""

SAMPLE = 200
"""Lines that are looked at for the mark between columns."""

SEPARATOR = re.compile(r"\"?sep=(.)\"?[;,\t]*\s*", re.IGNORECASE)
"""The line that tells a spreadsheet program what stands between columns; it is no row."""

LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n|$)")
"""A line with its end, that of old spreadsheets on a Mac too."""

NUMBER = re.compile(r"-?(0|[1-9]\d{0,300})(\.\d{1,300})?(e[+-]\d{1,3})?|true|false")
"""What JSON may write as a number or a truth value; longer ones stay texts."""


def read_csv(path: Path, encoding: str | None, delimiter: str | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a file's rows, and how it was read where the study does not say it.

    A column all of whose filled cells read back letter for letter as numbers or truth values has those; an empty cell
    is ``None``. What spreadsheets leave behind a table is no part of it: columns with neither name nor value, lines
    without a value, a first line ``sep=;``.

    Raises:
        DataError: It is no such file, or rows differ in the number of their columns; names the line.
    """
    csv.field_size_limit(ROW)
    text = open_text(path, encoding)
    lines = (part for _, line in text.lines for part in LINE.findall(line) if part)
    head = list(islice(lines, SAMPLE))
    said = SEPARATOR.fullmatch(head[0]) if head else None
    mark = delimiter or (said[1] if said else _delimiter(head))
    names, table = _table(path, chain(head, lines), mark, headed=bool(said))
    filled = [row for row in table if any(row)]
    columns = _named(path, names, filled)
    rows = [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]
    found = delimiter is None and not said and mark != ","
    note = f"{path.name} has {DELIMITERS.get(mark, repr(mark))} between its columns; if not, set data.delimiter."
    empty = f"{path.name}: lines without any value are left out: {len(table) - len(filled)}."
    return rows, [
        *filter(None, [text.note]),
        *([note] if found else []),
        *([empty] if len(filled) < len(table) else []),
    ]


def typed(cells: Sequence[str]) -> list[Any]:
    """Return a column's values.

    >>> typed(["3", "", "1.5"]), typed(["007", "3", ""])
    ([3, None, 1.5], ['007', '3', None])
    """
    filled = [cell for cell in cells if cell]
    if filled and all(map(_reads_back, filled)):
        return [json.loads(cell) if cell else None for cell in cells]
    return [cell or None for cell in cells]


def _reads_back(cell: str) -> bool:
    return NUMBER.fullmatch(cell) is not None and json.dumps(json.loads(cell)) == cell


def _delimiter(head: Sequence[str]) -> str:
    """Return the mark that gives every line as many columns, the most of them; a comma where none does.

    Where all lines cannot agree, a mark that gives most of them as many as the first line has is meant all the same:
    the others are faults, and refused.
    """
    lines = {mark: _widths(head, mark) for mark in DELIMITERS}
    alike = {mark: widths[0] for mark, widths in lines.items() if len(set(widths)) == 1}
    likely = {mark: widths[0] for mark, widths in lines.items() if widths and 2 * widths.count(widths[0]) > len(widths)}
    for found in (alike, likely):
        if max(found.values(), default=0) > 1:
            return max(found, key=lambda mark: found[mark])
    return ","


def _widths(head: Sequence[str], mark: str) -> list[int]:
    """Return the columns of each line that holds something; none of what cannot be read so."""
    reader = csv.reader(head, delimiter=mark)
    try:
        counts = [len(row) for row in reader if row]
    except csv.Error:
        return []
    return counts[:-1] if len(head) == SAMPLE else counts  # a quoted cell may go on behind the last one


def _table(path: Path, lines: Iterator[str], mark: str, *, headed: bool) -> tuple[list[str], list[list[str]]]:
    """Return the names and the cells; ``headed``: a line that is no row stands above them."""
    reader = csv.reader(lines, delimiter=mark, strict=True)
    try:
        if headed:
            next(reader)
        lines_with_cells = filter(None, reader)
        names = next(lines_with_cells, [])
        table = []
        for row in lines_with_cells:
            if len(row) != len(names):
                raise DataError(
                    f"{path}:{reader.line_num}: {len(row)} values, but {len(names)} columns ({', '.join(names)}); "
                    "check the quotes, or set data.delimiter"
                )
            table.append(row)
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: no valid CSV: {error}; check the quotes") from None
    return names, table


def _named(path: Path, names: Sequence[str], table: Sequence[Sequence[str]]) -> dict[str, list[Any]]:
    """Return the values of each column, but for those with neither a name nor a value."""
    columns = zip(*table, strict=True) if table else ((),) * len(names)
    there = [(name, column) for name, column in zip(names, columns, strict=True) if name or any(column)]
    if len(there) > len({name for name, _ in there}):
        shown = ", ".join(name or "(no name)" for name, _ in there)
        raise DataError(f"{path}:1: columns must have distinct names, but are {shown}; name each in the first line")
    return {name: typed(column) for name, column in there}
