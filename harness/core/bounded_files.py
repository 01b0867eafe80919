"""Files that anybody may have written, read within bounds: regular ones alone, and no more of them than is stated here.

A pipe would be waited for and a device read for ever; a few packed bytes, or brackets, may stand for gigabytes. What is
out of bounds is an `OutOfBounds` that says so.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any, TypeVar

__all__ = [
    "MIB",
    "OVERHEAD",
    "ROW",
    "UNPACKED",
    "OutOfBounds",
    "in_proportion",
    "numbered_lines",
    "open_regular",
    "parse_json",
    "read_bytes",
    "read_json",
    "read_text",
    "read_unpacked",
    "text_lines",
    "text_pieces",
    "unpacked",
]

T = TypeVar("T")
Line = TypeVar("Line", bytes, str)

MIB = 2**20

SETTINGS = 8 * MIB
"""Bytes of a file of settings: a study, a model's configuration."""

ROW = 8 * MIB
"""Bytes of a line of data."""

UNPACKED = 16 * MIB
"""Bytes that any packed file may have inside; a larger one at most `RATIO` times what it takes on disk."""

RATIO = 64
"""What texts reach where passages repeat; what unpacks a thousandfold holds nothing."""

OVERHEAD = 64
"""Bytes that a row counts for beside its text, so that many short ones are in bounds too."""

NESTING = 64
"""Levels of lists and objects within each other, of what is read as JSON."""

TOO_DEEP = f"it is nested deeper than {NESTING} levels"

KINDS = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class OutOfBounds(OSError):
    """A file that is not read: no regular one, too large, or out of proportion.

    Args:
        message: What is wrong with it, which whoever catches this puts behind its name.
        file: Where it is, if that is known here.
    """

    def __init__(self, message: str, file: Path | None = None) -> None:
        super().__init__(message)
        self.file = file


def open_regular(path: Path) -> BufferedReader:
    """Open a file to be read.

    Raises:
        OSError: There is none, or it is a pipe, a device, a folder.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # else a pipe is waited for here
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise OutOfBounds("it is a socket, and only a regular file is read", file=path) from None
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        kind = next((name for test, name in KINDS if test(mode)), "something else")
        raise OutOfBounds(f"it is {kind}, and only a regular file is read", file=path)
    return os.fdopen(descriptor, "rb")


def read_bytes(path: Path, most: int | None = None) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: It cannot be read, or is larger than ``most``.
    """
    with open_regular(path) as file:
        content = file.read(-1 if most is None else most + 1)
    if most is not None and len(content) > most:
        raise OutOfBounds(f"it is larger than {most // MIB} MiB", file=path)
    return content


def read_text(path: Path, encoding: str = "utf-8", most: int = SETTINGS) -> str:
    """Return the text of a file of settings, its lines ended as Python ends them.

    Raises:
        OSError: It cannot be read, or is larger than ``most``.
        UnicodeDecodeError: It is no text.
    """
    return read_bytes(path, most).decode(encoding).replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    """Return what a file of settings holds.

    Raises:
        OSError: It cannot be read, or is too large.
        ValueError: It is no JSON, or nested too deep.
    """
    return parse_json(read_text(path))


def parse_json(text: str, *, distinct: bool = False) -> Any:
    """Return what a text says as JSON.

    Args:
        text: The text.
        distinct: Whether to refuse an object that has a key twice, of which else the last one counts.

    Raises:
        ValueError: It is no JSON, or nested too deep.
    """
    try:
        value = json.loads(text, object_pairs_hook=_with_distinct_keys if distinct else None)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    _see_nesting(value)
    return value


def _with_distinct_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"it has {next(name for name in names if names.count(name) > 1)!r} twice")
    return value


def _see_nesting(value: Any) -> None:
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(NESTING):  # a level at a time: there may be millions on one
        inside = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [inner for values in inside for inner in values if isinstance(inner, (dict, list))]
        if not level:
            return
    raise ValueError(TOO_DEEP)


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file, gzip or not, with their ends, counted from 1.

    Raises:
        OSError: It cannot be read, or a line or the whole is out of bounds.
        EOFError: It is cut short.
        zlib.error: It is damaged.
    """
    with unpacked(path) as (raw, file):
        lines: Iterator[bytes] = iter(partial(file.readline, ROW + 1), b"")
        yield from _numbered(lines, None if file is raw else raw)


def text_lines(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file of text, as `numbered_lines` does.

    Raises:
        UnicodeDecodeError: It is no text of this encoding.
    """
    with unpacked(path) as (raw, file), TextIOWrapper(file, encoding, newline="\n") as text:
        lines: Iterator[str] = iter(partial(text.readline, ROW + 1), "")
        yield from _numbered(lines, None if file is raw else raw)


def text_pieces(path: Path, encoding: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a file of text, however long, in pieces of up to a million characters, with their numbers.

    Raises:
        OSError: It cannot be read, or is out of bounds.
        EOFError: It is cut short.
        zlib.error: It is damaged.
        UnicodeDecodeError: It is no text of this encoding.
    """
    with unpacked(path) as (raw, file), TextIOWrapper(file, encoding, newline="\n") as text:
        pieces: Iterator[str] = iter(partial(text.readline, MIB), "")
        if file is not raw:
            pieces = in_proportion(pieces, lambda piece: OVERHEAD + len(piece), raw.tell)
        number = 1
        for piece in pieces:
            yield number, piece
            number += piece.endswith("\n")


def _numbered(lines: Iterator[Line], packed: BufferedReader | None) -> Iterator[tuple[int, Line]]:
    if packed is not None:
        lines = in_proportion(lines, lambda line: OVERHEAD + len(line), packed.tell)
    for number, line in enumerate(lines, start=1):
        if len(line) > ROW:
            raise OutOfBounds(f"line {number} is longer than {ROW // MIB} MiB")
        yield number, line


@contextmanager
def unpacked(path: Path) -> Iterator[tuple[BufferedReader, BufferedReader | gzip.GzipFile]]:
    """Open a regular file, gzip or not; yields it as it lies on disk, and what is in it."""
    with ExitStack() as opened:
        raw = opened.enter_context(open_regular(path))
        yield raw, opened.enter_context(gzip.open(raw)) if _is_packed(path) else raw


def read_unpacked(path: Path) -> bytes:
    """Return the content of a regular file, unpacked where it is packed; raises what `numbered_lines` does."""
    if not _is_packed(path):
        return read_bytes(path)
    with open_regular(path) as raw, gzip.open(raw) as file:
        pieces: Iterator[bytes] = iter(partial(file.read, MIB), b"")
        checked: Iterator[bytes] = in_proportion(pieces, len, raw.tell)
        return b"".join(checked)


def _is_packed(path: Path) -> bool:
    return path.suffix.lower() == ".gz"


def in_proportion(pieces: Iterable[T], size: Callable[[T], int], taken: Callable[[], int]) -> Iterator[T]:
    """Pass pieces on while they are in proportion to the bytes of the file that they were packed in.

    Args:
        pieces: What comes out of it.
        size: Bytes of a piece.
        taken: How much of the file they took so far.

    Raises:
        OSError: They no longer are.
    """
    total = 0
    for piece in pieces:
        total += size(piece)
        if total > max(UNPACKED, RATIO * taken()):
            raise OutOfBounds(f"it unpacks to more than {UNPACKED // MIB} MiB and more than {RATIO} times its own size")
        yield piece
