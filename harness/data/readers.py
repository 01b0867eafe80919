"""File readers: jsonl, JSON, csv, tsv, parquet, arrow and plain text, gzip or not, to rows.

A plain-text line is ``source<TAB>target``, or, in a file without tabs, the one column ``text``.
"""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from harness.core.bounded_files import UNPACKED, in_proportion, parse_json, read_unpacked
from harness.core.errors import DataError
from harness.data.aligned_lines import aligned_at, column_of, read_aligned
from harness.data.arrow_files import is_saved, read_arrow, read_saved, refuse_repeated, row_size
from harness.data.csv_files import read_csv
from harness.data.text_files import Text, open_text

__all__ = [
    "FORMATS",
    "Row",
    "Table",
    "each_row",
    "format_of",
    "plain_values",
    "read_files",
    "read_rows",
    "read_table",
]

Row = dict[str, Any]

COLUMNS = 1000
"""The most of a row: which of them tell a target is tried out one by one."""

BATCH = 16
"""Rows of a small parquet file that are unpacked at a time; many times more of a large one."""


class Table(NamedTuple):
    """What a file holds."""

    rows: list[Row]
    notes: list[str] = []
    """How it was read, where its name does not say it."""


def read_rows(path: Path) -> list[Row]:
    """Return all rows of a file; raises what `read_table` does."""
    return read_table(path).rows


def read_table(path: Path, *, encoding: str | None = None, delimiter: str | None = None) -> Table:
    """Return what a file holds, in `plain_values`.

    Args:
        path: Its place.
        encoding: Of its text, as Python calls it; ``None``: found.
        delimiter: Between the columns of CSV and TSV; ``None``: found.

    Raises:
        DataError: The file is missing, of an unknown format, unreadable or malformed; names the row.
    """
    kind = "a saved data set" if is_saved(path) else format_of(path)
    if kind is None:
        aligned = f"; line-aligned files are named by what their names begin with, as {path.with_suffix('')}"
        raise DataError(
            f"{path}: unknown format; a data file ends in {', '.join('.' + k for k in FORMATS)}, or that .gz"
            f"{aligned if column_of(path) else ''}"
        )
    try:
        table = FORMATS[kind](path, encoding, delimiter) if kind in FORMATS else Table(read_saved(path))
    except FileNotFoundError:
        raise DataError(f"{path}: no such data file; set data.path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read as {kind}: {error or type(error).__name__}") from error
    plain_values(table.rows)
    if (widest := max(map(len, table.rows), default=0)) > COLUMNS:
        raise DataError(
            f"{path}: a row has {widest:,} columns; leave out what no prompt uses, at most {COLUMNS:,} stay"
        )
    return table


def read_files(paths: Sequence[Path], *, encoding: str | None = None, delimiter: str | None = None) -> dict[str, Table]:
    """Return what several files hold, by their names: of one split, as shards or, line-aligned, as columns.

    Args:
        paths: One or more; one that is not there may be what the names of line-aligned files begin with.
        encoding: Of their texts.
        delimiter: Between the columns of CSV and TSV.

    Raises:
        DataError: As `read_table`, and where line-aligned files do not fit each other.
    """
    first = paths[0]
    aligned = tuple(paths) if len(paths) > 1 and all(map(column_of, paths)) else ()
    if len(paths) == 1 and not first.exists():
        aligned = aligned_at(first)
    if not aligned:
        return {path.name: read_table(path, encoding=encoding, delimiter=delimiter) for path in paths}
    try:
        return {first.name: Table(*read_aligned(aligned, encoding))}
    except OSError as error:
        raise DataError(f"{first.parent}: {first.name} and the files beside it cannot be read: {error}") from error


def each_row(path: Path, *, encoding: str | None = None, delimiter: str | None = None) -> Iterator[Row]:
    """Yield the rows of a file, those of jsonl as they are read; takes and raises what `read_table` does."""
    if format_of(path) != "jsonl":
        yield from read_table(path, encoding=encoding, delimiter=delimiter).rows
        return
    try:
        for number, line in _full_lines(open_text(path, encoding)):
            yield from plain_values([_object(f"{path}:{number}", line)])
    except FileNotFoundError:
        raise DataError(f"{path}: no such data file; set data.path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read as jsonl: {error or type(error).__name__}") from error


def plain_values(rows: list[Row]) -> list[Row]:
    """Return the same rows with ``None`` for NaN, and texts for bytes that are such.

    By NaN tables of floats write that there is nothing; bytes are in those whose writer knew no type for texts.
    """
    for row in rows:
        for name, value in row.items():
            if type(value) is float and value != value:
                row[name] = None
            elif type(value) is bytes:
                with suppress(UnicodeDecodeError):
                    row[name] = value.decode()
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


def _full_lines(text: Text) -> Iterator[tuple[int, str]]:
    return ((number, line.rstrip("\r\n")) for number, line in text.lines if line.strip())


def _jsonl(path: Path, encoding: str | None, delimiter: str | None) -> Table:
    text = open_text(path, encoding)
    rows = [_object(f"{path}:{number}", line) for number, line in _full_lines(text)]
    return Table(rows, [text.note] if text.note else [])


def _object(place: str, line: str) -> Row:
    try:
        value = parse_json(line, distinct=True)
        if "\\u" in line:
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except ValueError as error:
        raise DataError(f"{place}: no valid JSON: {error}; correct the row or leave it out") from None
    return _row(place, value)


def _row(place: str, value: Any) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{place}: a row must be an object with columns, but is {str(value)[:40]!r}")
    return value


def _json(path: Path, encoding: str | None, delimiter: str | None) -> Table:
    """Read an array of rows; a file of that name with a row a line is read as such."""
    text = open_text(path, encoding)
    first = next((line for _, line in text.lines if line.strip()), "")
    if not first.lstrip().startswith("["):
        _refuse_object(path, encoding)
        return _jsonl(path, encoding, delimiter)
    whole = "".join(line for _, line in open_text(path, encoding).lines)
    try:
        values = parse_json(whole, distinct=True)
        if "\\u" in whole:
            json.dumps(values, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except ValueError as error:
        raise DataError(f"{path}: no valid JSON: {error}; write an array of rows") from None
    rows = [_row(f"{path}, row {number}", value) for number, value in enumerate(values, start=1)]
    return Table(rows, [text.note] if text.note else [])


def _refuse_object(path: Path, encoding: str | None) -> None:
    """Refuse a whole file that is one object over several lines: rows that lie under a key of it, or its columns."""
    whole = "".join(line for _, line in open_text(path, encoding).lines).strip()
    if "\n" in whole:
        with suppress(ValueError):
            keys = ", ".join(map(repr, parse_json(whole)))
            raise DataError(f"{path}: holds one object ({keys[:80]}), not rows; write an array of rows, [{{...}}, ...]")


def _csv(path: Path, encoding: str | None, delimiter: str | None) -> Table:
    return Table(*read_csv(path, encoding, delimiter))


def _tsv(path: Path, encoding: str | None, delimiter: str | None) -> Table:
    return Table(*read_csv(path, encoding, delimiter or "\t"))


def _txt(path: Path, encoding: str | None, delimiter: str | None) -> Table:
    text = open_text(path, encoding)
    lines, notes = list(_full_lines(text)), [text.note] if text.note else []
    if not any("\t" in line for _, line in lines):
        return Table([{"text": line} for _, line in lines], notes)
    rows = []
    for number, line in lines:
        parts = line.split("\t")
        if len(parts) != 2:
            raise DataError(f"{path}:{number}: a line must be source<TAB>target, but has {len(parts) - 1} tabs")
        rows.append({"source": parts[0], "target": parts[1]})
    return Table(rows, notes)


def _parquet(path: Path, encoding: str | None, delimiter: str | None) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        data = read_unpacked(path)
        file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
        refuse_repeated(path, file.schema_arrow.names)
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        list(in_proportion(groups, lambda group: group.total_byte_size, lambda: len(data)))
        batches = file.iter_batches(BATCH if len(data) < UNPACKED else 64 * BATCH)
        pieces: Iterator[list[Row]] = (batch.to_pylist() for batch in batches)
        return Table([row for rows in in_proportion(pieces, row_size, lambda: len(data)) for row in rows])
    except (pyarrow.ArrowException, ValueError, OverflowError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read as parquet: {error}; write the file again") from error


def _arrow(path: Path, encoding: str | None, delimiter: str | None) -> Table:
    return Table(read_arrow(path))


FORMATS: dict[str, Callable[[Path, str | None, str | None], Table]] = {
    "jsonl": _jsonl,
    "json": _json,
    "csv": _csv,
    "tsv": _tsv,
    "txt": _txt,
    "parquet": _parquet,
    "arrow": _arrow,
}
"""The formats that are read, by file ending."""
