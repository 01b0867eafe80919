"""A file of rows answered: streamed in windows, in order, whole lines appended, resumed where a kill left it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from harness.core.bounded_files import numbered_lines, parse_json
from harness.core.errors import DataError, UserError
from harness.core.example import digest
from harness.core.failures import explained
from harness.data.arrow_files import is_saved
from harness.data.choice_rows import Choice
from harness.data.readers import format_of, plain_values, read_table
from harness.data.text_files import open_text
from harness.data.tokenization import Row
from harness.serving.generator import Generator

__all__ = ["Tally", "predict_file"]

WINDOW = 4
"""Batches that are sorted by length together, and written together."""

KEYS = ("prediction", "error")
"""What a line of the output says of a row, behind its id."""

STANDARD_INPUT = "-"
"""Names no file, but rows as jsonl that another command writes."""

INTERVAL = 2.0
"""Seconds between two words about progress."""


class Tally(NamedTuple):
    """What became of the rows of a file."""

    answered: int
    failed: int
    """Malformed rows, each with its error in the output."""
    found: int
    """Rows that an earlier command had finished."""


class _Request(NamedTuple):
    """One row of the input."""

    number: int
    """Of its line, counted from 1."""
    id: Any
    """Its own, as it stands there, else ``row-`` and its number."""
    digest: str
    """Of the line."""
    columns: dict[str, Any] | DataError
    """What it holds, or why it cannot be read."""


def predict_file(
    generator: Generator,
    source: Path,
    output: Path,
    *,
    skip: bool,
    say: Callable[[str], None] = lambda text: None,
    stage: Callable[[str], None] = lambda text: None,
) -> Tally:
    """Answer every row of a file that training could read; a command that was killed goes on where it stopped.

    Each line of the output holds ``id``, ``prediction`` (where that is a label, ``probabilities`` of all), and the
    digests ``model``, of weights and settings, and ``row``, of the input's line; of a malformed row ``error`` in place
    of ``prediction``. A line that a kill cut short is written again.

    Args:
        generator: The model.
        source: Rows with the prompt's fields and, if they have one, an ``id``; empty lines do not count. A name of no
            known format is read as jsonl, ``-`` is standard input.
        output: Where answers go; lines are appended.
        skip: Whether malformed rows are noted there, and the rest is answered.
        say: Told how the file is read.
        stage: Told how far it is.

    Raises:
        UserError: A row is malformed and none is to be skipped (all before it are answered), the output belongs to
            another input or model, another process writes it, or a file cannot be read or written.
    """
    try:
        if output.exists() and source.exists() and output.samefile(source):
            raise UserError(f"--output {output} is the --input itself; name another file")
        if output.exists() and not output.is_file():
            raise UserError(f"--output {output} is no regular file, which a killed command could go on with")
        if (kind := format_of(output)) not in (None, "jsonl") or output.suffix == ".gz":
            raise UserError(f"--output {output}: answers are lines of JSON, not {kind or 'gzip'}; name it .jsonl")
        with tempfile.TemporaryDirectory() as scratch:
            requests = _requests(source, say, Path(scratch))
            return _answer_file(requests, generator, output, skip=skip, name=str(source), stage=stage)
    except (OSError, EOFError, zlib.error) as error:
        reason = explained(error) or error
        raise UserError(f"predict cannot read {source} or write {output}: {reason}") from error


def _answer_file(
    requests: Callable[[], Iterator[_Request]],
    generator: Generator,
    output: Path,
    *,
    skip: bool,
    name: str,
    stage: Callable[[str], None],
) -> Tally:
    """Answer the rows that an output does not hold yet; ``name`` is the file's that they are of."""
    total = sum(1 for _ in requests())
    start = told = time.perf_counter()
    with _only_one(output) as sink:
        tally = Tally(0, 0, _resume(output, requests(), generator.digest))
        asked = islice(requests(), tally.found, None)
        while window := list(islice(asked, WINDOW * generator.recipe.decoding.batch_size)):
            rows = [_encoded(request, generator) for request in window]
            bad = [place for place, row in enumerate(rows) if isinstance(row, DataError)]
            end = bad[0] if bad and not skip else len(rows)
            _append(sink, b"".join(_answers(window[:end], rows[:end], generator)))
            failed = len(bad) if skip else 0
            tally = tally._replace(answered=tally.answered + end - failed, failed=tally.failed + failed)
            if end < len(rows):
                problem = f"row {window[end].number}: {rows[end]}"
                raise DataError(f"{name}, {problem}; correct it, or use --on-error skip")
            if time.perf_counter() - told > INTERVAL:
                told = time.perf_counter()
                stage(_progress(tally, total, told - start))
    stage(_progress(tally, total, time.perf_counter() - start))
    return tally


@contextmanager
def _only_one(output: Path) -> Iterator[BinaryIO]:
    """Open a file to append whole lines to, and refuse another process on it; none is left where nothing was said."""
    is_new = not output.exists()
    with output.open("ab", buffering=0) as sink:
        try:
            fcntl.flock(sink, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"--output {output} is being written by another process; wait for it or end it") from None
        try:
            yield sink
        except BaseException:
            if is_new and not sink.tell():
                output.unlink()
            raise


def _append(sink: BinaryIO, lines: bytes) -> None:
    """Write all of it: a disk that is nearly full takes a part, and says so only when asked again."""
    while lines:
        lines = lines[sink.write(lines) :]


def _requests(source: Path, say: Callable[[str], None], scratch: Path) -> Callable[[], Iterator[_Request]]:
    """Return what gives the rows of a file from its start; all but those of jsonl are read at once.

    Args:
        source: The file.
        say: Told how it is read.
        scratch: An empty folder, which takes standard input: rows are passed more than once.
    """
    if str(source) == STANDARD_INPUT:
        spooled = scratch / "input.jsonl"
        with spooled.open("wb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file)
        return lambda: _lines(numbered_lines(spooled))
    if format_of(source) in (None, "jsonl") and not is_saved(source):
        if note := _foreign(source):
            say(_said(note))
            return lambda: _lines((number, line.encode()) for number, line in open_text(source).lines)
        return lambda: _lines(numbered_lines(source))
    rows, notes = read_table(source)
    for note in notes:
        say(_said(note))
    texts = [json.dumps(row, sort_keys=True, ensure_ascii=False, default=str) for row in rows]
    return lambda: (_request(number, text, rows[number - 1]) for number, text in enumerate(texts, start=1))


def _said(note: str) -> str:
    """Return how a file was read, without the key of a study file that would say otherwise."""
    return note.partition("; if")[0]


def _foreign(source: Path) -> str:
    """Return how a file is read that is no UTF-8; nothing where it is, or where single rows of it are damaged."""
    with suppress(DataError):
        return open_text(source).note
    return ""


def _lines(lines: Iterable[tuple[int, bytes]]) -> Iterator[_Request]:
    for number, line in lines:
        if line.strip():
            try:
                columns: dict[str, Any] | DataError = _columns(line)
            except DataError as error:
                columns = error
            yield _request(number, line.strip(), columns)


def _request(number: int, content: bytes | str, columns: dict[str, Any] | DataError) -> _Request:
    own = content if isinstance(content, bytes) else content.encode()
    id = columns.get("id") if isinstance(columns, dict) else None
    return _Request(number, f"row-{number}" if id in (None, "") else id, digest(own.hex())[:12], columns)


def _columns(line: bytes) -> dict[str, Any]:
    try:
        columns = parse_json(line.decode("utf-8-sig"))
        json.dumps(columns, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except ValueError as error:
        raise DataError(f"no valid JSON: {error}") from None
    if not isinstance(columns, dict):
        raise DataError(f"it must be an object with columns, but is {str(columns)[:40]!r}")
    return plain_values([columns])[0]


def _encoded(request: _Request, generator: Generator) -> Row | Choice | DataError:
    """Return a row in token ids, or what is wrong with it."""
    if isinstance(request.columns, DataError):
        return request.columns
    try:
        return generator.row(str(request.id), request.columns)
    except DataError as error:
        return error


def _answers(
    window: Sequence[_Request], rows: Sequence[Row | Choice | DataError], generator: Generator
) -> Iterator[bytes]:
    answers = iter(generator.answer([row for row in rows if not isinstance(row, DataError)]))
    for request, row in zip(window, rows, strict=True):
        what = {"error": str(row)} if isinstance(row, DataError) else next(answers).as_json()
        line = {"id": request.id, **what, "model": generator.digest, "row": request.digest}
        yield (json.dumps(line, ensure_ascii=False) + "\n").encode()


def _progress(tally: Tally, total: int, seconds: float) -> str:
    done = tally.answered + tally.failed
    rate = done / seconds if seconds > 0 else 0.0
    left = f"; about {(total - done - tally.found) / rate:.0f} s left" if rate else ""
    return f"{done + tally.found:,} of {total:,} rows; {rate:,.1f} rows a second{left}"


def _resume(output: Path, asked: Iterator[_Request], model: str) -> int:
    """Pass over the rows that the output answers, then cut a torn last line off it; return how many rows these were.

    Nothing is cut off a file that is not an output of this input and model.
    """
    count = end = 0
    with output.open("rb") as file:
        for line in file:
            row = next(asked, None)
            if problem := _misfit(line, row, model) if line.endswith(b"\n") else _no_beginning(line, row):
                place = f"{output}, row {count + 1}"
                raise DataError(f"{place}: {problem}; write to another --output, or remove this one")
            if line.endswith(b"\n"):
                count, end = count + 1, end + len(line)
    if end < output.stat().st_size:
        os.truncate(output, end)
    return count


def _no_beginning(line: bytes, asked: _Request | None) -> str | None:
    """Return why a line without an end cannot be what a kill left of the answer to a row."""
    if asked is None:
        return "the input has no such row"
    begin = f'{{"id": {json.dumps(asked.id, ensure_ascii=False)}, '
    fits = any(line[: len(whole)] == whole[: len(line)] for whole in (f'{begin}"{key}": "'.encode() for key in KEYS))
    return None if fits else "it has no end, and does not begin as an answer does"


def _misfit(line: bytes, asked: _Request | None, model: str) -> str | None:
    """Return why a line of the output cannot be the answer to a row of the input."""
    try:
        there = _columns(line)
    except DataError as error:
        return str(error)
    if asked is None:
        return "the input has no such row"
    if there.get("id") != asked.id:
        return f"it has the id {there.get('id')!r}, the input has {asked.id!r} there"
    if there.get("row") != asked.digest:
        return "it answers another row than the input has there"
    if there.get("model") != model:
        return f"it was answered by model {there.get('model')}, this is {model}"
    return None
