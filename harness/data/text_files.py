"""Text files in whatever encoding they were written: UTF-8, what spreadsheets write, or what a study names."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.core.bounded_files import MIB, in_proportion, text_lines, text_pieces, unpacked
from harness.core.errors import DataError

__all__ = ["Text", "open_text"]

MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks."""

OTHERS = {
    b"\x1f\x8b": "packed by gzip; end its name in .gz",
    b"PK\x03\x04": "a spreadsheet (xlsx, ods) or a zip archive; export or unpack it, as csv in UTF-8",
    b"\xd0\xcf\x11\xe0": "an old spreadsheet (xls); export it as csv in UTF-8",
    b"PAR1": "parquet; end its name in .parquet",
    b"ARROW1": "an arrow file; end its name in .arrow",
    b"%PDF": "a PDF; bring its text as a row a line",
}
"""What files begin with that are no text, whatever they are called."""

SPREADSHEET = "cp1252"
"""What spreadsheets of Western languages write where not told otherwise."""

UNDEFINED = "\udc81\udc8d\udc8f\udc90\udc9d"
"""The bytes that are nothing there."""


class Text(NamedTuple):
    """A file's lines."""

    lines: Iterator[tuple[int, str]]
    """With their ends, counted from 1; a byte order mark is no part of the first."""
    note: str = ""
    """How it was read, where that is not UTF-8 and the study does not say it."""


def open_text(path: Path, encoding: str | None = None, *, in_pieces: bool = False) -> Text:
    """Open a file of text, gzip or not.

    Args:
        path: Its place.
        encoding: As Python calls it; ``None``: what its first bytes say, else UTF-8, else a spreadsheet's.
        in_pieces: Whether a line may be of any length, and comes in pieces where it is long.

    Raises:
        OSError: It cannot be read.
        DataError: Its encoding cannot be told; reading its lines raises the same where they do not fit it.
    """
    lines = text_pieces if in_pieces else text_lines
    if encoding is not None:
        may_be_marked = codecs.lookup(encoding).name == "utf-8"
        return Text(_told(path, lines(path, "utf-8-sig" if may_be_marked else encoding), encoding))
    try:
        found = _encoding(path)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: cannot be read: {error}; write the file again") from error
    note = "" if found.startswith("utf-8") else f"{path.name} is read as {found}; if it is not, set data.encoding."
    return Text(_told(path, lines(path, found), found), note)


def _told(path: Path, lines: Iterator[tuple[int, str]], encoding: str) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        for number, line in lines:
            yield number, line
    except UnicodeError as error:
        raise DataError(
            f"{path}, after line {number}: no {encoding}: {error}; set data.encoding to what it was written in"
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}:{number + 1}: cannot be read: {error}; write the file again") from error


def _encoding(path: Path) -> str:
    with unpacked(path) as (raw, file):
        head = file.read(4096)
        for mark, kind in OTHERS.items():
            if head.startswith(mark):
                raise DataError(f"{path}: cannot be read as text: it is {kind}")
        for mark, encoding in MARKS.items():
            if head.startswith(mark):
                return encoding
        for encoding, zeros in {"utf-16-le": head[1::2], "utf-16-be": head[::2]}.items():
            if zeros.count(0) * 2 > len(zeros):
                return encoding
        pieces = in_proportion(iter(partial(file.read, MIB), b""), len, raw.tell)
        try:
            for _ in codecs.iterdecode(chain([head], pieces), "utf-8"):
                pass
        except UnicodeDecodeError as error:
            return _without_utf8(path, error)
    return "utf-8"


def _without_utf8(path: Path, error: UnicodeDecodeError) -> str:
    """Return the encoding of a file that is no UTF-8, unless it looks like some that was damaged."""
    foreign = broken = line = lines = 0
    undefined = False
    with unpacked(path) as (raw, file):
        pieces = in_proportion(iter(partial(file.read, MIB), b""), len, raw.tell)
        for text in codecs.iterdecode(pieces, "utf-8", "surrogateescape"):
            points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
            wrong = (points >= 0xDC80) & (points <= 0xDCFF)
            if not broken and wrong.any():
                line = 1 + lines + int((points[: wrong.argmax()] == ord("\n")).sum())
            lines += text.count("\n")
            foreign, broken = foreign + int((points > 0x7F).sum()), broken + int(wrong.sum())
            undefined |= any(sign in text for sign in UNDEFINED)
    if undefined or (foreign - broken) * 10 > broken:
        raise DataError(f"{path}:{line}: cannot be read: {error}; write the file again as UTF-8, or set data.encoding")
    return SPREADSHEET
