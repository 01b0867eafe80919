"""A file of rows answered: streamed in windows, in order, whole lines appended, resumed where a kill left it."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from harness.core.errors import DataError, UserError
from harness.core.failures import explained
from harness.data.choice_rows import Choice
from harness.data.readers import format_of
from harness.data.tokenization import Row
from harness.serving.generator import Generator
from harness.serving.requested_rows import Request, Requests, columns_of, naming_options, requests

__all__ = ["Tally", "predict_file"]

WINDOW = 4
"""Batches that are sorted by length together, and written together."""

KEYS = ("prediction", "error")
"""What a line of the output says of a row, behind its id."""

INTERVAL = 2.0
"""Seconds between two words about progress."""


class Tally(NamedTuple):
    """What became of the rows of a file."""

    answered: int
    failed: int
    """Malformed rows, each with its error in the output."""
    found: int
    """Rows that an earlier command had finished."""


def predict_file(
    generator: Generator,
    source: Path,
    output: Path,
    *,
    skip: bool,
    encoding: str | None = None,
    delimiter: str | None = None,
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
        encoding: Of the input's text, as Python calls it; ``None``: found, and told.
        delimiter: Between the columns of csv and tsv; ``None``: found, and told.
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
        with tempfile.TemporaryDirectory() as scratch, naming_options():
            asked = requests(source, say, Path(scratch), encoding=encoding, delimiter=delimiter)
            return _answer_file(asked, generator, output, skip=skip, name=str(source), stage=stage)
    except (OSError, EOFError, zlib.error) as error:
        reason = explained(error) or error
        raise UserError(f"predict cannot read {source} or write {output}: {reason}") from error


def _answer_file(
    rows_asked: Requests,
    generator: Generator,
    output: Path,
    *,
    skip: bool,
    name: str,
    stage: Callable[[str], None],
) -> Tally:
    """Answer the rows that an output does not hold yet; ``name`` is the file's that they are of."""
    total = sum(1 for _ in rows_asked())
    start = told = time.perf_counter()
    with _only_one(output) as sink:
        tally = Tally(0, 0, _resume(output, rows_asked(), generator.digest))
        asked = islice(rows_asked(), tally.found, None)
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


def _encoded(request: Request, generator: Generator) -> Row | Choice | DataError:
    """Return a row in token ids, or what is wrong with it."""
    if isinstance(request.columns, DataError):
        return request.columns
    try:
        return generator.row(str(request.id), request.columns)
    except DataError as error:
        return error


def _answers(
    window: Sequence[Request], rows: Sequence[Row | Choice | DataError], generator: Generator
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


def _resume(output: Path, asked: Iterator[Request], model: str) -> int:
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


def _no_beginning(line: bytes, asked: Request | None) -> str | None:
    """Return why a line without an end cannot be what a kill left of the answer to a row."""
    if asked is None:
        return "the input has no such row"
    begin = f'{{"id": {json.dumps(asked.id, ensure_ascii=False)}, '
    fits = any(line[: len(whole)] == whole[: len(line)] for whole in (f'{begin}"{key}": "'.encode() for key in KEYS))
    return None if fits else "it has no end, and does not begin as an answer does"


def _misfit(line: bytes, asked: Request | None, model: str) -> str | None:
    """Return why a line of the output cannot be the answer to a row of the input."""
    try:
        there = columns_of(line)
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
