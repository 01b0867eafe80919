"""File readers: jsonl, csv, parquet and plain text, gzip or not, to rows.

A plain-text line is ``source<TAB>target``, or, in a file without tabs, the one column ``text``.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness.core.bounded_files import (
    OVERHEAD,
    ROW,
    UNPACKED,
    in_proportion,
    numbered_lines,
    parse_json,
    read_unpacked,
)
from harness.core.errors import DataError

__all__ = ["FORMATS", "Row", "format_of", "read_rows"]

Row = dict[str, Any]

COLUMNS = 1000
"""The most of a row: which of them tell a target is tried out one by one."""

BATCH = 16
"""Rows of a small parquet file that are unpacked at a time; many times more of a large one."""


def read_rows(path: Path) -> list[Row]:
    """Return all rows of a file.

    Raises:
        DataError: The file is missing, of an unknown format, unreadable or malformed; names the row.
    """
    kind = format_of(path)
    if kind is None:
        raise DataError(
            f"{path}: unknown format; a data file ends in {', '.join('.' + k for k in FORMATS)}, or that .gz"
        )
    try:
        rows = FORMATS[kind](path)
    except FileNotFoundError:
        raise DataError(f"{path}: no such data file; set data.path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read as {kind}: {error or type(error).__name__}") from error
    if (widest := max(map(len, rows), default=0)) > COLUMNS:
        raise DataError(
            f"{path}: a row has {widest:,} columns; leave out what no prompt uses, at most {COLUMNS:,} stay"
        )
    return rows


def format_of(path: Path) -> str | None:
    """Return a file's format by its name, ``None`` where it is no data file.

    >>> format_of(Path("train.jsonl.gz")), format_of(Path("README.md"))
    ('jsonl', None)
    """
    suffixes = [suffix.lstrip(".").lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == "gz":
        suffixes.pop()
    return suffixes[-1] if suffixes and suffixes[-1] in FORMATS else None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield numbered lines with their ends; a byte order mark at the start is no part of the first."""
    number = 0
    lines = numbered_lines(path)
    while True:
        number += 1
        try:
            line = next(lines)[1].decode("utf-8-sig" if number == 1 else "utf-8")
        except StopIteration:
            return
        except (EOFError, UnicodeDecodeError, gzip.BadGzipFile, zlib.error) as error:
            raise DataError(f"{path}:{number}: cannot be read: {error}; write the file again as UTF-8") from error
        yield number, line


def _full_lines(path: Path) -> Iterator[tuple[int, str]]:
    return ((number, line.rstrip("\r\n")) for number, line in _lines(path) if line.strip())


def _jsonl(path: Path) -> list[Row]:
    rows = []
    for number, line in _full_lines(path):
        try:
            row = parse_json(line)
            if "\\u" in line:
                json.dumps(row, ensure_ascii=False).encode()  # half of a surrogate pair is no text
        except ValueError as error:
            raise DataError(f"{path}:{number}: no valid JSON: {error}; correct the row or leave it out") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}:{number}: a row must be an object with columns, but is {str(row)[:40]!r}")
        rows.append(row)
    return rows


def _csv(path: Path) -> list[Row]:
    csv.field_size_limit(ROW)
    rows = []
    reader = csv.DictReader((line for _, line in _lines(path)), strict=True)
    try:
        names = list(reader.fieldnames or ())
        if len(set(names)) < len(names):
            raise DataError(f"{path}:1: columns must have distinct names, but are {', '.join(names)}")
        for row in reader:
            if None in row or None in row.values():
                raise DataError(f"{path}:{reader.line_num}: not as many values as columns ({', '.join(names)})")
            rows.append(dict(row))
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num + 1}: no valid CSV: {error}; check the quotes") from None
    return rows


def _txt(path: Path) -> list[Row]:
    lines = list(_full_lines(path))
    if not any("\t" in line for _, line in lines):
        return [{"text": line} for _, line in lines]
    rows = []
    for number, line in lines:
        parts = line.split("\t")
        if len(parts) != 2:
            raise DataError(f"{path}:{number}: a line must be source<TAB>target, but has {len(parts) - 1} tabs")
        rows.append({"source": parts[0], "target": parts[1]})
    return rows


def _parquet(path: Path) -> list[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        data = read_unpacked(path)
        file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        list(in_proportion(groups, lambda group: group.total_byte_size, lambda: len(data)))
        batches = file.iter_batches(BATCH if len(data) < UNPACKED else 64 * BATCH)
        pieces: Iterator[list[Row]] = (batch.to_pylist() for batch in batches)
        return [row for rows in in_proportion(pieces, _size, lambda: len(data)) for row in rows]
    except (pyarrow.ArrowException, ValueError, OverflowError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as parquet: {error}; write the file again") from error


def _size(rows: list[Row]) -> int:
    """Return about the bytes of rows: a value may be written once, and stand in a million of them."""
    values = [value for row in rows for value in row.values()]
    return OVERHEAD * len(rows) + sum(len(value if isinstance(value, str | bytes) else str(value)) for value in values)


FORMATS: dict[str, Callable[[Path], list[Row]]] = {"jsonl": _jsonl, "csv": _csv, "txt": _txt, "parquet": _parquet}
"""The formats that are read, by file ending."""
