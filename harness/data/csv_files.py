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

NUMBER = re.compile(r"-?(0|[1-9]\d{0,300})(\.\d{1,300})?(e[+-]\d{1,3})?|true|false")
"""What JSON may write as a number or a truth value; longer ones stay texts."""


def read_csv(path: Path, encoding: str | None, delimiter: str | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a file's rows, and how it was read where the study does not say it.

    A column all of whose filled cells read back letter for letter as numbers or truth values has those; an empty cell
    is ``None``.

    Raises:
        DataError: It is no such file, or rows differ in the number of their columns; names the line.
    """
    csv.field_size_limit(ROW)
    text = open_text(path, encoding)
    lines = (line for _, line in text.lines)
    head = list(islice(lines, SAMPLE))
    mark = delimiter or _delimiter(head)
    names, table = _table(path, chain(head, lines), mark)
    columns = [typed(column) for column in zip(*table, strict=True)]
    rows = [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]
    found = delimiter is None and mark != ","
    note = f"{path.name} has {DELIMITERS.get(mark, repr(mark))} between its columns; if not, set data.delimiter."
    return rows, [*filter(None, [text.note]), *([note] if found else [])]


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
    """Return the mark that gives every line as many columns, the most of them; a comma where none does."""
    widths = {mark: _width(head, mark) for mark in DELIMITERS}
    return max(widths, key=lambda mark: widths[mark]) if max(widths.values()) > 1 else ","


def _width(head: Sequence[str], mark: str) -> int:
    """Return the columns of each line; 0 where lines differ."""
    reader = csv.reader(head, delimiter=mark)
    try:
        counts = [len(row) for row in reader if row]
    except csv.Error:
        return 0
    if len(head) == SAMPLE:
        counts = counts[:-1]  # a quoted cell may go on behind it
    return counts[0] if len(set(counts)) == 1 else 0


def _table(path: Path, lines: Iterator[str], mark: str) -> tuple[list[str], list[list[str]]]:
    reader = csv.reader(lines, delimiter=mark, strict=True)
    try:
        names = next(reader, [])
        if len(set(names)) < len(names):
            raise DataError(f"{path}:1: columns must have distinct names, but are {', '.join(names)}")
        table = []
        for row in filter(None, reader):
            if len(row) != len(names):
                raise DataError(
                    f"{path}:{reader.line_num}: {len(row)} values, but {len(names)} columns ({', '.join(names)}); "
                    "check the quotes, or set data.delimiter"
                )
            table.append(row)
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: no valid CSV: {error}; check the quotes") from None
    return names, table
