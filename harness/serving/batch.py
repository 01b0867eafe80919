"""A file of rows answered: streamed in windows, in order, whole lines appended, resumed where a kill left it."""

from __future__ import annotations

import gzip
import json
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from harness.encoding import Row
from harness.errors import DataError, UserError
from harness.serving.generator import Generator

__all__ = ["Tally", "predict_file"]

WINDOW = 4
"""Batches that are sorted by length together, and written together."""

INTERVAL = 2.0
"""Seconds between two words about progress."""


class Tally(NamedTuple):
    """What became of the rows of a file."""

    answered: int
    failed: int
    """Malformed rows, each with its error in the output."""
    found: int
    """Rows that an earlier command had finished."""


class _Asked(NamedTuple):
    """One row of the input."""

    number: int
    """Of its line, counted from 1."""
    id: Any
    """Its own, as it stands there, else ``row-`` and its number."""
    columns: dict[str, Any] | DataError
    """What it holds, or why it cannot be read."""


class _Ready(NamedTuple):
    """One row of the input, encoded."""

    number: int
    id: Any
    row: Row | DataError
    """In token ids, or what is wrong with it."""


def predict_file(
    generator: Generator, source: Path, output: Path, *, skip: bool, say: Callable[[str], None] = lambda text: None
) -> Tally:
    """Answer every row of a jsonl file, gzip or not; a command that was killed goes on where it stopped.

    Each line of the output holds ``id``, ``prediction`` and ``model``, the digest of weights and settings; of a
    malformed row ``id``, ``error`` and ``model``. A line that a kill cut short is written again.

    Args:
        generator: The model.
        source: Rows with the prompt's fields and, if they have one, an ``id``; empty lines do not count.
        output: Where answers go; lines are appended.
        skip: Whether malformed rows are noted there, and the rest is answered.
        say: Told how far it is.

    Raises:
        UserError: A row is malformed and none is to be skipped (all before it are answered), the output belongs to
            another input or model, or a file cannot be read or written.
    """
    try:
        total = sum(1 for _ in _lines(source))
        asked = _rows(source)
        tally = Tally(0, 0, _resume(output, asked, generator.digest))
        start = told = time.perf_counter()
        with output.open("ab", buffering=0) as sink:
            while window := list(islice(asked, WINDOW * generator.recipe.decoding.batch_size)):
                ready = [_ready(each, generator) for each in window]
                bad = next((each for each in ready if isinstance(each.row, DataError)), None)
                chosen = ready if skip or bad is None else ready[: ready.index(bad)]
                sink.write(b"".join(_answers(chosen, generator)))
                tally = _counted(tally, chosen)
                if bad is not None and not skip:
                    raise DataError(f"{source}, row {bad.number}: {bad.row}; correct it, or use --on-error skip")
                if time.perf_counter() - told > INTERVAL:
                    told = time.perf_counter()
                    say(_progress(tally, total, told - start))
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"predict cannot read {source} or write {output}: {error}") from error
    say(_progress(tally, total, time.perf_counter() - start))
    return tally


def _lines(source: Path) -> Iterator[tuple[int, bytes]]:
    with gzip.open(source) if source.suffix == ".gz" else source.open("rb") as file:
        yield from ((number, line) for number, line in enumerate(file, start=1) if line.strip())


def _rows(source: Path) -> Iterator[_Asked]:
    for number, line in _lines(source):
        try:
            columns = _columns(line)
        except DataError as error:
            yield _Asked(number, f"row-{number}", error)
        else:
            own = columns.get("id")
            yield _Asked(number, f"row-{number}" if own in (None, "") else own, columns)


def _columns(line: bytes) -> dict[str, Any]:
    try:
        columns = json.loads(line.decode("utf-8-sig"))
        json.dumps(columns, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        raise DataError(f"no valid JSON: {error}") from None
    if not isinstance(columns, dict):
        raise DataError(f"it must be an object with columns, but is {str(columns)[:40]!r}")
    return columns


def _ready(asked: _Asked, generator: Generator) -> _Ready:
    if isinstance(asked.columns, DataError):
        return _Ready(asked.number, asked.id, asked.columns)
    try:
        return _Ready(asked.number, asked.id, generator.row(str(asked.id), asked.columns))
    except DataError as error:
        return _Ready(asked.number, asked.id, error)


def _answers(ready: Sequence[_Ready], generator: Generator) -> Iterator[bytes]:
    said = iter(generator.answer([each.row for each in ready if isinstance(each.row, Row)]))
    for each in ready:
        what = {"prediction": next(said)} if isinstance(each.row, Row) else {"error": str(each.row)}
        yield (json.dumps({"id": each.id, **what, "model": generator.digest}, ensure_ascii=False) + "\n").encode()


def _counted(tally: Tally, ready: Sequence[_Ready]) -> Tally:
    failed = sum(isinstance(each.row, DataError) for each in ready)
    return tally._replace(answered=tally.answered + len(ready) - failed, failed=tally.failed + failed)


def _progress(tally: Tally, total: int, seconds: float) -> str:
    done = tally.answered + tally.failed
    rate = done / seconds if seconds > 0 else 0.0
    left = f"; about {(total - done - tally.found) / rate:.0f} s left" if rate else ""
    return f"{done + tally.found:,} of {total:,} rows; {rate:,.1f} rows a second{left}"


def _resume(output: Path, asked: Iterator[_Asked], model: str) -> int:
    """Cut a torn last line off the output, and pass over the rows that its other lines answer; return how many."""
    if not output.exists():
        return 0
    _cut_torn(output)
    count = 0
    with output.open("rb") as file:
        for count, line in enumerate(file, start=1):
            if problem := _misfit(line, next(asked, None), model):
                raise DataError(f"{output}, row {count}: {problem}; write to another --output, or remove this one")
    return count


def _misfit(line: bytes, asked: _Asked | None, model: str) -> str | None:
    """Return why a line of the output cannot be the answer to a row of the input."""
    try:
        there = _columns(line)
    except DataError as error:
        return str(error)
    if asked is None:
        return "the input has no such row"
    if there.get("id") != asked.id:
        return f"it has the id {there.get('id')!r}, the input has {asked.id!r} there"
    if there.get("model") != model:
        return f"it was answered by model {there.get('model')}, this is {model}"
    return None


def _cut_torn(output: Path) -> None:
    """Cut what follows the last newline."""
    with output.open("r+b") as file:
        size = place = file.seek(0, 2)
        while place:
            step = min(place, 2**16)
            place -= step
            file.seek(place)
            newline = file.read(step).rfind(b"\n")
            if newline >= 0:
                place += newline + 1
                break
        if place < size:
            file.truncate(place)
