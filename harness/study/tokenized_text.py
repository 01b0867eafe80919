"""The text of a study's splits, tokenized: a stream where a file is text alone, else documents, an end token each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tokenizers

from harness.core.bounded_files import open_regular
from harness.core.closest_match import closest
from harness.core.errors import DataError
from harness.core.example import Split, as_text, digest
from harness.data.data_keys import Data
from harness.data.mask_field import plain_text
from harness.data.plain_text import FIELD
from harness.data.readers import Row, each_row, format_of
from harness.data.sources import Source
from harness.data.text_files import open_text
from harness.data.token_files import TOKEN_FORMAT, TokenFile, token_file
from harness.data.token_stream import TokenRun, tokens_of
from harness.data.tokenization import Ids, Reader

__all__ = ["around_blocks", "tokenized"]

PROBE = "a"
"""A text of one character, by which it is seen what a tokenizer puts before any."""


class _Part(NamedTuple):
    """What follows what has gone before in a split."""

    kind: str
    """``stream`` or ``documents``."""
    digest: str
    """Of its content."""
    runs: Callable[[], Iterator[tuple[TokenRun, int]]]
    """Its tokens, and how many documents end with them."""


def tokenized(source: Source, split: Split, data: Data, reader: Reader, folder: Path | None) -> TokenFile:
    """Return the tokens of the text of a split, found in a folder or made now.

    Args:
        source: Where the split is.
        split: One that it has.
        data: The study's section.
        reader: Stands for the model.
        folder: Where token files lie; ``None``: nothing is kept.

    Raises:
        DataError: A file cannot be read, has no column of texts, or there is no text at all.
    """
    parts = _parts(source, split, data, reader)
    tokenizer = reader.tokenizer
    masked = ["masked"] if reader.is_masked else []
    key = digest(
        [
            [TOKEN_FORMAT, tokenizers.__version__, tokenizer.digest, tokenizer.eos_token_id],
            [list(part[:2]) for part in parts],
            [data.columns.get(FIELD, FIELD), data.encoding, data.delimiter, *masked],
        ]
    )
    vocabulary = 1 + max(tokenizer.get_vocab().values(), default=0)
    found = token_file(folder, key, vocabulary, lambda: (run for part in parts for run in part.runs()))
    if not found.count:
        raise DataError(f"{source.place(split)}: holds no text; name a file with some")
    _refuse_without_embedding(found, reader, source.place(split))
    return found


def _parts(source: Source, split: Split, data: Data, reader: Reader) -> list[_Part]:
    files = source.files.get(split)
    if files is None:
        rows = source.rows(split)
        content = hashlib.sha256(json.dumps(rows, sort_keys=True, default=str).encode()).hexdigest()
        return [_Part("documents", content, lambda: _of_documents(rows, source.place(split), data, reader))]
    return [_part(path, source, data, reader) for path in files]


def _part(path: Path, source: Source, data: Data, reader: Reader) -> _Part:
    try:
        with open_regular(path) as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise DataError(f"{path}: no such data file; set data.path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error or type(error).__name__}") from error
    if format_of(path) == "txt":
        return _Part("stream", content, lambda: _of_stream(path, source, data, reader))
    return _Part("documents", content, lambda: _of_documents(_rows(path, data), str(path), data, reader))


def _rows(path: Path, data: Data) -> Iterator[Row]:
    return each_row(path, encoding=data.encoding, delimiter=data.delimiter)


def _of_stream(path: Path, source: Source, data: Data, reader: Reader) -> Iterator[tuple[TokenRun, int]]:
    """Yield the tokens of a whole file: those that the tokenizer puts before a text, and the text's."""
    try:
        text = open_text(path, data.encoding, in_pieces=True)
        source.notes.extend(note for note in [text.note] if note and note not in source.notes)
        yield _special(_before(reader)), 0
        pieces = _settled((piece for _, piece in text.lines), reader)
        yield from ((run, 0) for run in tokens_of(pieces, reader.tokenizer.spans))
    except OSError as error:
        raise DataError(f"{path}: cannot be read as text: {error or type(error).__name__}") from error


def _settled(pieces: Iterator[str], reader: Reader) -> Iterator[str]:
    """Yield a text as it is tokenized: lines end as Python ends them, and no mask is spelled, across pieces either."""
    marks = ["\r\n", *filter(None, [_mask(reader)])]
    held = ""
    for piece in pieces:
        text = held + piece
        held = _begun(text, marks)
        yield _plain(text.removesuffix(held).replace("\r\n", "\n"), reader)
    yield held


def _begun(text: str, marks: Sequence[str]) -> str:
    """Return the end of a text with which one of some marks may begin, the longest."""
    begins = (mark[:length] for mark in marks for length in range(1, len(mark)))
    return max((begin for begin in begins if text.endswith(begin)), key=len, default="")


def _of_documents(rows: Iterator[Row] | Sequence[Row], place: str, data: Data, reader: Reader) -> Any:
    """Yield the tokens of each document, with those that stand before a text, and the end token."""
    tokenizer, column = reader.tokenizer, data.columns.get(FIELD, FIELD)
    if tokenizer.eos_token_id < 0:
        raise DataError(f"{place}: the model's tokenizer has no end token to stand behind a document; give it one")
    before, end = _special(_before(reader)), _special([tokenizer.eos_token_id])
    for number, row in enumerate(rows, start=1):
        if column not in row:
            hint = closest(column, sorted(row))
            raise DataError(f"{place} row {number}: column {column!r} is missing; {hint}; map it with data.columns")
        text = _plain(as_text(row[column]), reader)
        if not text.strip():
            continue
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{place} row {number}: holds half of a character: {error}; write it whole") from None
        yield before, 0
        yield from ((run, 0) for run in tokens_of([text], tokenizer.spans))
        yield end, 1


def _special(ids: Sequence[int]) -> TokenRun:
    """Return tokens that stand for no text."""
    return TokenRun(np.array(ids, dtype=np.int64), np.zeros(len(ids), dtype=np.int64))


def _before(reader: Reader) -> Ids:
    """Return the special tokens that stand before a text: those of a masked model stand around each block instead."""
    return () if reader.is_masked else _around(reader.tokenizer)[0]


def around_blocks(reader: Reader) -> tuple[Ids, Ids]:
    """Return what stands before and behind each block: of a masked model what its tokenizer puts around any text."""
    return _around(reader.tokenizer) if reader.is_masked else ((), ())


def _around(tokenizer: Any) -> tuple[Ids, Ids]:
    """Return the special tokens that a tokenizer puts before any text, and behind it."""
    ids, bare = tuple(tokenizer(PROBE)["input_ids"]), tuple(tokenizer.spans(PROBE)[0])
    places = [place for place in range(len(ids)) if ids[place : place + len(bare)] == bare]
    return (ids[: places[0]], ids[places[0] + len(bare) :]) if places else ((), ())


def _plain(text: str, reader: Reader) -> str:
    """Return a text that spells no mask."""
    token = _mask(reader)
    return plain_text(text, token) if token else text


def _mask(reader: Reader) -> str | None:
    """Return how a masked model's mask is spelled."""
    token: str | None = reader.tokenizer.mask_token if reader.is_masked else None
    return token


def _refuse_without_embedding(tokens: TokenFile, reader: Reader, place: str) -> None:
    rows, highest = reader.embedding_rows[0], int(tokens.ids.max())
    if rows is not None and highest >= rows:
        raise DataError(
            f"{place}: its text holds the token with id {highest}, but the model's embeddings end after {rows} rows; "
            "use the tokenizer that was saved with the weights"
        )
