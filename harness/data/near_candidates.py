"""Near candidates: pairs of rows that may be near duplicates, all that are among them, without comparing all pairs.

Take the e + 2 rarest words of each row, where e is the most edits that it may take. Of two rows that are near the one
whose rarest words end first shares all but e of them with the other, and that is among the other's rarest as well: they
share two of these few words (prefix filtering: Chaudhuri, Ganti and Kaushik 2006, "A Primitive Operator for Similarity
Joins in Data Cleaning", section 4; with more than one word in common, Wang, Li and Feng 2012, "Can We Beat the Prefix
Filtering?"). A row of fewer words takes all it has, and two such rows share two as well: every edit has to be paid for
with `BITS_PER_EDIT` bits, and no word is worth as many, but where there are more than a million rows to count.

So rows are looked up by each of these words that few rows have, and by each pair of the others.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from harness.data.duplicates import BITS_PER_EDIT, WORDS_PER_EDIT, Form, Readings, Worth

__all__ = ["near_candidates"]

FEW = 8
"""Rows that have a word among their rarest, up to which it is looked up by itself."""

BATCH = 2**20
"""Pairs that are looked at in one go."""

Numbers = NDArray[np.int64]


def near_candidates(forms: Sequence[Form], sources: Sequence[int], worth: Worth) -> Iterator[tuple[int, int]]:
    """Yield the numbers of forms that may be near, the lower one first; a pair may come more than once.

    Args:
        forms: The rows as they are compared.
        sources: A number for each of them, the same where the sources are: those are no near duplicates.
        worth: Of words.
    """
    words, rows = _rarest(forms, worth)
    few = len(words) if worth.unseen >= BITS_PER_EDIT else FEW
    bounds = _Bounds(forms, sources)
    for codes in _batches(_meetings(*_keys(words, rows, few)), len(forms)):
        one, other = np.divmod(np.unique(codes), len(forms))
        within = bounds.near(one, other)
        yield from zip(one[within].tolist(), other[within].tolist(), strict=True)


def _rarest(forms: Sequence[Form], worth: Worth) -> tuple[Numbers, Numbers]:
    """Return the rarest words of all forms, as numbers from the rarest on, and the forms that they are of."""
    known = {word for form in forms for reading in (*form.source, *form.target) for word in reading.words}
    rank = {word: number for number, word in enumerate(sorted(known, key=lambda word: (-worth[word], word)))}
    words = array("q")
    sizes = np.zeros(len(forms), np.int64)
    for number, form in enumerate(forms):
        rare: set[int] = set()
        for source, target in product(form.source, form.target):
            distinct = {*source.words, *target.words}
            bits = sum(map(worth.__getitem__, distinct))
            edits = min(source.room + target.room, int(bits / BITS_PER_EDIT + 1e-6))
            rare.update(sorted(map(rank.__getitem__, distinct))[: edits + 2])
        words.extend(sorted(rare))
        sizes[number] = len(rare)
    return np.frombuffer(words, np.int64), np.repeat(np.arange(len(forms)), sizes)


def _keys(words: Numbers, rows: Numbers, few: int) -> tuple[Numbers, Numbers]:
    """Return what rows are looked up by, as numbers, and the rows."""
    size = int(words.max(initial=0)) + 1
    common = np.bincount(words, minlength=size)[words] > few
    keys, found = [words[~common]], [rows[~common]]
    words, rows = words[common], rows[common]
    for one, other in _alike(rows):
        keys.append((words[one] + 1) * size + words[other])
        found.append(rows[one])
    return np.concatenate(keys), np.concatenate(found)


def _meetings(keys: Numbers, rows: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield rows that have a key in common, the lower number first."""
    order = np.lexsort((rows, keys))
    keys, rows = keys[order], rows[order]
    for one, other in _alike(keys):
        yield rows[one], rows[other]


def _alike(values: Numbers) -> Iterator[tuple[Numbers, Numbers]]:
    """Yield the places of equal ones among sorted values, in pairs, those that lie nearest first."""
    starts = np.arange(len(values))
    for step in range(1, len(values)):
        starts = starts[: np.searchsorted(starts, len(values) - step)]
        starts = starts[values[starts] == values[starts + step]]
        if not len(starts):
            return
        yield starts, starts + step


def _batches(meetings: Iterator[tuple[Numbers, Numbers]], size: int) -> Iterator[Numbers]:
    """Yield pairs as one number each, many at a time."""
    held: list[Numbers] = []
    for one, other in meetings:
        held.append(one * size + other)
        if sum(map(len, held)) >= BATCH:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


class _Bounds:
    """What rules most pairs out: the same source, other telling marks, too many words more."""

    def __init__(self, forms: Sequence[Form], sources: Sequence[int]) -> None:
        marks: dict[tuple[tuple[str, ...], ...], int] = {}
        told = ((form.source[0].marks, form.target[0].marks) for form in forms)
        self._sources = np.array(sources, np.int64)
        self._marks = np.array([marks.setdefault(pair, len(marks)) for pair in told], np.int64)
        self._sizes = [_sizes(form.source for form in forms), _sizes(form.target for form in forms)]

    def near(self, one: Numbers, other: Numbers) -> NDArray[np.bool_]:
        """Return which pairs are not ruled out."""
        within: NDArray[np.bool_] = (self._sources[one] != self._sources[other]) & (
            self._marks[one] == self._marks[other]
        )
        for least, most, room in self._sizes:
            spare = np.minimum(room[one], room[other])
            within &= (least[one] - most[other] <= spare) & (least[other] - most[one] <= spare)
        return within


def _sizes(texts: Iterable[Readings]) -> Numbers:
    """Return the fewest words of each text, the most, and the most that may be edited."""
    sizes = array("q")
    for text in texts:
        words = [len(reading.words) for reading in text]
        sizes.extend((min(words), max(words), max(1, max(words) // WORDS_PER_EDIT)))
    return np.frombuffer(sizes, np.int64).reshape(-1, 3).T
