"""A text of any length in token ids, as its tokenizer would give them at once, with the bytes that each stands for.

Tokenized in windows that overlap. Near a window's edge tokens may be others than amid the text, so one window gives way
to the next in the middle of a run of tokens that both have; whatever a tokenizer puts before a text, or merges across
a seam, falls outside of that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Spans", "TokenRun", "tokens_of"]

WINDOW = 2**20
"""Characters that a window is ahead of the one before."""

OVERLAP = 2**12
"""Characters that two windows have in common."""

AGREED = 16
"""Tokens in a row that two windows must have in common."""

Spans = Callable[[str], tuple[list[int], list[tuple[int, int]]]]
"""A text to its ids, without special tokens, and to the first and last character of each."""

Numbers = NDArray[np.int64]


class TokenRun(NamedTuple):
    """Some tokens that follow each other."""

    ids: Numbers
    sizes: Numbers
    """Bytes of the text in UTF-8 from a token's first to the next one's; those of all tokens are the whole text."""


@dataclass(frozen=True)
class _Window:
    """A part of a text, tokenized."""

    text: str
    start: int
    """Its first character, counted from the text's."""
    first_byte: int
    ids: Numbers
    starts: Numbers
    """Of each token its first character, counted from the text's."""

    @classmethod
    def of(cls, text: str, start: int, first_byte: int, spans: Spans) -> _Window:
        ids, places = spans(text)
        starts = np.maximum.accumulate(np.array([place for place, _ in places], dtype=np.int64)) + start
        if start == 0:
            starts[:1] = 0  # what a tokenizer drops before it is the first token's
        return cls(text, start, first_byte, np.array(ids, dtype=np.int64), starts)

    def run(self, first: int, last: int) -> tuple[Numbers, Numbers]:
        """Return some tokens and the byte that each begins at."""
        places = np.concatenate([[0], np.cumsum(_widths(self.text))])
        return self.ids[first:last], self.first_byte + places[self.starts[first:last] - self.start]

    def byte_at(self, place: int) -> int:
        """Return the byte of a character inside of it, counted from its own first."""
        return self.first_byte + int(_widths(self.text[:place]).sum())


def tokens_of(pieces: Iterable[str], spans: Spans) -> Iterator[TokenRun]:
    """Yield the tokens of a text in their order.

    Args:
        pieces: The text, in pieces of any length.
        spans: Its tokenizer.
    """
    held, first_bytes, length = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64), 0
    for ids, own, behind in _stitched(pieces, spans):
        held, first_bytes, length = np.concatenate([held, ids]), np.concatenate([first_bytes, own]), behind
        if len(held) > 1:  # where the last one ends, the next one says
            yield TokenRun(held[:-1], np.diff(first_bytes))
        held, first_bytes = held[-1:], first_bytes[-1:]
    if len(held):
        yield TokenRun(held, np.diff([*first_bytes, length]))


def _stitched(pieces: Iterable[str], spans: Spans) -> Iterator[tuple[Numbers, Numbers, int]]:
    """Yield tokens, the byte that each begins at (the first one at 0), and the bytes of the text so far."""
    window: _Window | None = None
    begun = 0
    for text, start in _windows(pieces):
        if window is None:
            window = _Window.of(text, 0, 0, spans)
            continue
        behind = _Window.of(text, start, window.byte_at(start - window.start), spans)
        seam = _seam(window, behind)
        if seam is None:  # too few tokens for that: both as one
            joined = window.text + text[len(window.text) - (start - window.start) :]
            place = window.starts[begun] if begun < len(window.starts) else start
            window = _Window.of(joined, window.start, window.first_byte, spans)
            begun = int(np.searchsorted(window.starts, place))
            continue
        last, first = seam
        if last > begun:
            yield *window.run(begun, last), 0
        window, begun = behind, first
    if window is not None:
        yield *window.run(begun, len(window.ids)), window.byte_at(len(window.text))


def _windows(pieces: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield windows and the character that each begins at; the last one ends with the text."""
    held, length, start = list[str](), 0, 0
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        while length >= WINDOW + OVERLAP:
            text = "".join(held)
            yield text[: WINDOW + OVERLAP], start
            held, length, start = [text[WINDOW:]], length - WINDOW, start + WINDOW
    if length > (OVERLAP if start else 0):
        yield "".join(held), start


def _seam(before: _Window, behind: _Window) -> tuple[int, int] | None:
    """Return a place amid tokens that both windows have, counted in each; ``None`` where too few are the same."""
    first = int(np.searchsorted(before.starts, behind.start))
    keys = [((window.starts - before.start) << 32) + window.ids for window in (before, behind)]
    _, ours, theirs = np.intersect1d(keys[0][first:], keys[1], return_indices=True)
    if not len(ours):
        return None
    breaks = np.flatnonzero((np.diff(ours) != 1) | (np.diff(theirs) != 1)) + 1
    runs = np.split(np.arange(len(ours)), breaks)
    longest = max(runs, key=len)
    if len(longest) < AGREED:
        return None
    middle = longest[len(longest) // 2]
    return first + int(ours[middle]), int(theirs[middle])


def _widths(text: str) -> Numbers:
    """Return the bytes that each character takes in UTF-8, shape (characters,)."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)
    return 1 + (points >= 0x80).astype(np.int64) + (points >= 0x800) + (points >= 0x10000)
