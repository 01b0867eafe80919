"""The rows that a file asks about: read as training reads them, those of jsonl as they are answered."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from harness.core.bounded_files import numbered_lines, parse_json
from harness.core.errors import DataError, UserError
from harness.core.example import digest
from harness.data.arrow_files import is_saved
from harness.data.data_keys import refuse_unknown_encoding
from harness.data.readers import format_of, plain_values, read_table
from harness.data.text_files import open_text

__all__ = ["Request", "Requests", "columns_of", "naming_options", "requests"]

STANDARD_INPUT = "-"
"""Names no file, but rows as jsonl that another command writes."""

OPTIONS = {
    "set data.encoding": "say --encoding",
    "set data.delimiter": "say --delimiter",
    "set data.path": "correct --input",
}
"""What a study file says of its data, as the command says it."""


class Request(NamedTuple):
    """One row of the input."""

    number: int
    """Of its line, counted from 1."""
    id: Any
    """Its own, as it stands there, else ``row-`` and its number."""
    digest: str
    """Of the line."""
    columns: dict[str, Any] | DataError
    """What it holds, or why it cannot be read."""


Requests = Callable[[], Iterator[Request]]
"""Gives the rows from the first on, each time it is called."""


def requests(
    source: Path,
    say: Callable[[str], None],
    scratch: Path,
    *,
    encoding: str | None = None,
    delimiter: str | None = None,
) -> Requests:
    """Return what gives the rows of a file from its start; all but those of jsonl are read at once.

    Args:
        source: The file; ``-`` is standard input.
        say: Told how it is read.
        scratch: An empty folder, which takes standard input: rows are passed more than once.
        encoding: Of its text, as Python calls it; ``None``: found, and told.
        delimiter: Between its columns; ``None``: found, and told.

    Raises:
        OSError: It cannot be read.
        DataError: It is none that training could read.
        UserError: There is no such encoding, or no such mark can stand between columns.
    """
    delimiter = {r"\t": "\t", "tab": "\t"}.get(delimiter or "", delimiter)  # as shells hand them on
    _refuse_options(encoding, delimiter)
    if str(source) == STANDARD_INPUT:
        source = scratch / "input.jsonl"
        with source.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
    if format_of(source) in (None, "jsonl") and not is_saved(source):
        if encoding is None and (note := _foreign(source)):
            say(_said(note))
        elif encoding is None:
            return lambda: _lines(numbered_lines(source))
        return lambda: _lines((number, line.encode()) for number, line in open_text(source, encoding).lines)
    rows, notes = read_table(source, encoding=encoding, delimiter=delimiter)
    for note in notes:
        say(_said(note))
    texts = [json.dumps(row, sort_keys=True, ensure_ascii=False, default=str) for row in rows]
    return lambda: (_request(number, text, rows[number - 1]) for number, text in enumerate(texts, start=1))


def _refuse_options(encoding: str | None, delimiter: str | None) -> None:
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise UserError(f"--delimiter is {delimiter!r}; it must be the one character between columns, such as ';'")
    try:
        if encoding is not None:
            refuse_unknown_encoding(encoding, "--encoding")
    except ValueError as error:
        raise UserError(str(error)) from None


@contextmanager
def naming_options() -> Iterator[None]:
    """Have refusals name the command's options, and not the keys of a study file."""
    try:
        yield
    except DataError as error:
        raise DataError(_said(str(error))) from error


def _said(text: str) -> str:
    for key, option in OPTIONS.items():
        text = text.replace(key, option)
    return text


def _foreign(source: Path) -> str:
    """Return how a file is read that is no UTF-8; nothing where it is, or where single rows of it are damaged."""
    with suppress(DataError):
        return open_text(source).note
    return ""


def _lines(lines: Iterable[tuple[int, bytes]]) -> Iterator[Request]:
    for number, line in lines:
        if line.strip():
            try:
                columns: dict[str, Any] | DataError = columns_of(line)
            except DataError as error:
                columns = error
            yield _request(number, line.strip(), columns)


def _request(number: int, content: bytes | str, columns: dict[str, Any] | DataError) -> Request:
    own = content if isinstance(content, bytes) else content.encode()
    id = columns.get("id") if isinstance(columns, dict) else None
    return Request(number, f"row-{number}" if id in (None, "") else id, digest(own.hex())[:12], columns)


def columns_of(line: bytes) -> dict[str, Any]:
    """Return what a line of JSON holds.

    Raises:
        DataError: It is no object.
    """
    try:
        columns = parse_json(line.decode("utf-8-sig"))
        json.dumps(columns, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except ValueError as error:
        raise DataError(f"no valid JSON: {error}") from None
    if not isinstance(columns, dict):
        raise DataError(f"it must be an object with columns, but is {str(columns)[:40]!r}")
    return plain_values([columns])[0]
