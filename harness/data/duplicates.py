"""Duplicate rows, exact or near: when two rows are such, and an index that finds all of them.

Rows are compared by the words of source and target (`harness.metrics.tokens.words`): case and spacing do not count, nor
marks that dress a text, nor whether a mark inside a word ("don't", "well-known") is a space or nothing. Marks that tell
(`harness.data.telling_marks`: "1.5" and "15", "-5" and "5", "a|b" and "a&b") count as words do, and so does the space
between two numbers. Two rows are duplicates

* of kind ``row`` where source and target read the same;
* of kind ``source`` where the sources do, and the targets differ;
* of kind ``near`` where few words were edited, and what is left would hardly be shared by chance. In source and in
  target each, one word, or one in twenty, may be replaced, put in or left out, but no telling mark; and for every word
  edited the two share words worth `BITS_PER_EDIT` bits. A word is worth log2((n + 1) / (k + 1)) bits where k of n
  training rows have it on that side.

The second half of ``near`` is for short sentences. "The box is at the theater" and "The box is at the café" are one
word apart in every language, as many honest rows of everyday text are; but common words are all they share. Where the
target was left as it is, half the bits suffice, since there is one edit the fewer.

The search is exact: no sampling, no signatures (`harness.data.near_candidates`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Literal, NamedTuple

from harness.core.example import Example
from harness.data.telling_marks import pieces, undressed
from harness.metrics.tokens import words

__all__ = [
    "BITS_PER_EDIT",
    "KINDS",
    "WORDS_PER_EDIT",
    "Form",
    "Forms",
    "Kind",
    "Reading",
    "Readings",
    "Worth",
    "is_near",
    "may_be_duplicates",
]

Kind = Literal["row", "source", "near"]

KINDS: tuple[Kind, ...] = ("row", "source", "near")
"""From the worst on; a row counts as the worst kind that it has a twin of."""

BITS_PER_EDIT = 20.0
"""About what it takes to single out one pair of rows in a million."""

WORDS_PER_EDIT = 20
"""One edit is allowed for so many words, and one to shorter texts."""

OF_TARGET = "> "
"""What a target's words are marked with."""

_NUMBERS = re.compile(r"\d \d")

_GAP = re.compile(r"(?<!\d) | (?!\d)")


class Reading(NamedTuple):
    """A text as it is compared; a target's words are marked, so that they are no source's."""

    words: tuple[str, ...]
    marks: tuple[str, ...]
    """The telling ones among the words."""

    @property
    def distinct(self) -> frozenset[str]:
        """The words, once each."""
        return frozenset(self.words)

    @property
    def room(self) -> int:
        """How many words may be edited."""
        return max(1, len(self.words) // WORDS_PER_EDIT)


Readings = tuple[Reading, ...]
"""Of one text: with marks read as spaces and, where that makes a difference, with marks left out."""


class Form(NamedTuple):
    """A row as it is compared, and all rows that read the same."""

    source: Readings
    target: Readings
    numbers: list[int]

    @property
    def source_letters(self) -> str:
        """Letters, digits and telling marks of the source, however words are spaced."""
        return _joined(self.source[0].words)

    @property
    def target_letters(self) -> str:
        """The same of the target."""
        return _joined(self.target[0].words)


class Forms(list[Form]):
    """The rows of a split by their forms, in the order of their first rows."""

    def __init__(self, examples: Sequence[Example]) -> None:
        self.ids = [example.id for example in examples]
        of_source, of_target = _Known(), _Known(OF_TARGET)
        forms: dict[tuple[Readings, Readings], Form] = {}
        for number, example in enumerate(examples):
            source, target = _readings(example.source, of_source), _readings(example.target, of_target)
            if (source, target) not in forms:
                forms[source, target] = Form(source, target, [])
            forms[source, target].numbers.append(number)
        super().__init__(forms.values())


class Worth(dict[str, float]):
    """What it says about two rows that they share a word, in bits."""

    def __init__(self, train: Forms) -> None:
        counts: Counter[str] = Counter()
        for form in train:
            distinct = _words((*form.source, *form.target))
            for _ in form.numbers:
                counts.update(distinct)
        rows = len(train.ids)
        super().__init__({word: math.log2((rows + 1) / (count + 1)) for word, count in counts.items()})
        self.unseen = math.log2(rows + 1)

    def __missing__(self, word: str) -> float:
        return self.unseen

    def bits(self, words: Iterable[str]) -> float:
        """Return what it says that two rows share some words."""
        return math.fsum(self[word] for word in words)


def _joined(text: Sequence[str]) -> str:
    """Return words without the spaces between them, but for those between two numbers."""
    bare = [word.removeprefix(OF_TARGET) for word in text] if text[0].startswith(OF_TARGET) else text
    joined = " ".join(bare)
    return _GAP.sub("", joined) if _NUMBERS.search(joined) else joined.replace(" ", "")


class _Known(dict[str, str]):
    """Words as readings have them, behind a mark: each is kept once, however many rows have it."""

    def __init__(self, mark: str = "") -> None:
        self._mark = mark

    def __missing__(self, word: str) -> str:
        self[word] = marked = f"{self._mark}{word}"
        return marked


def _readings(text: str, known: _Known) -> Readings:
    dressed: list[str] = []
    bare: list[str] = []
    marks: list[str] = []
    for part, telling in pieces(text):
        if telling:
            marks.append(known[part])
        dressed += [part] if telling else words(part)
        bare += [part] if telling else words(undressed(part))
    ways = [dressed] if dressed == bare else [dressed, bare]
    kept = [tuple([known[word] for word in way or [text.strip()]]) for way in ways]
    return tuple([Reading(way, tuple(marks)) for way in dict.fromkeys(kept)])


def is_near(a: Form, b: Form, worth: Worth) -> bool:
    """Return whether two rows of different sources are near."""
    if a.source[0].marks != b.source[0].marks or a.target[0].marks != b.target[0].marks:
        return False
    target = _closest(a.target, b.target)  # first, since most pairs of rows differ there, and it is short
    source = _closest(a.source, b.source) if target else None
    if source is None or target is None:
        return False
    shared = worth.bits(word for pair in (source, target) for word in pair.shared)
    return (source.edits + target.edits) * BITS_PER_EDIT <= shared


def may_be_duplicates(one: Form, other: Form, worth: Worth) -> bool:
    """Return whether two rows are duplicates of any kind, or could be with another target of the one, not known yet."""
    if one.source_letters == other.source_letters:
        return True
    pair = _closest(one.source, other.source) if one.source[0].marks == other.source[0].marks else None
    if pair is None:
        return False
    shared = _words(one.source) & _words(other.source)
    return pair.edits * BITS_PER_EDIT <= worth.bits(shared | _words(other.target))


def _words(readings: Readings) -> frozenset[str]:
    return frozenset().union(*(reading.words for reading in readings))


class _Pair(NamedTuple):
    """Two readings that are near enough."""

    edits: int
    shared: frozenset[str]


def _closest(readings: Readings, others: Readings) -> _Pair | None:
    """Return the readings of two texts that are the fewest edits apart, ``None`` where all are too far apart."""
    best = None
    for one, other in product(readings, others):
        room = min(one.room, other.room)
        if abs(len(one.words) - len(other.words)) > room:
            continue
        shared = one.distinct & other.distinct
        if max(len(one.distinct), len(other.distinct)) - len(shared) > room:
            continue  # an edit takes away one distinct word at most
        edits = _edits(one.words, other.words, room)
        if edits <= room and (best is None or edits < best.edits):
            best = _Pair(edits, shared)
    return best


def _edits(a: Sequence[str], b: Sequence[str], most: int) -> int:
    """Return the words to replace, put in or leave out (Levenshtein 1966); above ``most``, some number above it."""
    if a == b:
        return 0
    above = list(range(len(b) + 1))
    for row, word in enumerate(a, start=1):
        here = [row]
        for column, other in enumerate(b, start=1):
            here.append(min(above[column] + 1, here[-1] + 1, above[column - 1] + (word != other)))
        if min(here) > most:
            return most + 1
        above = here
    return above[-1]
