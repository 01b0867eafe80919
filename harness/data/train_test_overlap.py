"""Overlap of splits: rows that stand twice, found before anything trains.

When two rows are duplicates, exact or near, is said in `harness.data.duplicates`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate, combinations_with_replacement
from typing import Literal, NamedTuple

from harness.core.errors import DataError
from harness.core.example import SPLITS, Example, Split
from harness.data.duplicates import KINDS, Forms, Kind, Worth, is_near
from harness.data.near_candidates import near_candidates

__all__ = ["Overlap", "Twin", "lost", "overlaps", "settled"]

SHOWN = 3
"""Pairs that a line names."""


class Twin(NamedTuple):
    """A row with a duplicate."""

    id: str
    """The row's, in the later split."""
    other: str
    """The id of a duplicate in the earlier split; of several the first of the worst kind."""
    kind: Kind


class Overlap(NamedTuple):
    """What two splits, or one split and itself, have in common; ids alone."""

    earlier: Split
    later: Split
    """The same split, where rows are compared with the rows before them."""
    rows: int
    """Rows of the later split."""
    twins: tuple[Twin, ...]
    """The later split's rows with a duplicate in the earlier one, in their order."""
    others: frozenset[str]
    """All ids of the earlier split that have a duplicate in the later one."""

    @property
    def across(self) -> bool:
        """Whether this is about two splits."""
        return self.earlier != self.later

    @property
    def share(self) -> float:
        """The share of the later split's rows that have a duplicate."""
        return len(self.twins) / self.rows

    def count(self, kind: Kind) -> int:
        """Return how many rows of the later split have a duplicate of this kind, and of no worse one."""
        return sum(twin.kind == kind for twin in self.twins)

    def line(self) -> str:
        """Say it in one line.

        >>> Overlap("train", "test", 200, (Twin("test-7", "train-3", "near"),), frozenset({"train-3"})).line()
        '1 of 200 test rows (0.5%) in train: 0 same, 0 same source, 1 near; test-7 ~ train-3'
        """
        where = f"in {self.earlier}" if self.across else "repeated"
        counts = f"{self.count('row')} same, {self.count('source')} same source, {self.count('near')} near"
        shown = ", ".join(f"{twin.id} ~ {twin.other}" for twin in self.twins[:SHOWN])
        more = ", ..." if len(self.twins) > SHOWN else ""
        summary = f"{len(self.twins)} of {self.rows} {self.later} rows ({self.share:.1%}) {where}"
        return f"{summary}: {counts}; {shown}{more}" if self.twins else summary


def overlaps(examples: Mapping[Split, Sequence[Example]]) -> tuple[Overlap, ...]:
    """Return what every pair of splits has in common, each split with itself included.

    Args:
        examples: The splits at hand; ``train`` among them, whose words say which words are rare.
    """
    parts = {split: Forms(examples[split]) for split in SPLITS if split in examples}
    compared = _Compared(parts)
    return tuple(compared.overlap(a, b) for a, b in combinations_with_replacement(parts, 2))


def settled(
    examples: Mapping[Split, Sequence[Example]], found: Sequence[Overlap], on_overlap: Literal["warn", "drop", "error"]
) -> dict[Split, list[Example]]:
    """Return the splits as a study wants them: whole, or without rows that have a duplicate in a later split.

    Args:
        examples: The splits; ``test``, the last of them, always stays whole.
        found: From `overlaps`, of these splits.
        on_overlap: ``data.on_overlap``.

    Raises:
        DataError: There are duplicates across splits and must not be, or none but duplicates.
    """
    across = [overlap for overlap in found if overlap.across and overlap.twins]
    if on_overlap == "error" and across:
        listing = "; ".join(overlap.line() for overlap in across)
        raise DataError(f"rows stand in two splits: {listing}; correct the data, or set data.on_overlap: drop")
    rest: dict[Split, list[Example]] = {}
    for split, rows in examples.items():
        gone = lost(split, found) if on_overlap == "drop" else frozenset()
        rest[split] = [example for example in rows if example.id not in gone]
        if not rest[split]:
            raise DataError(f"every row of {split} has a duplicate in a later split; correct the data")
    return rest


def lost(split: Split, found: Sequence[Overlap]) -> frozenset[str]:
    """Return the ids of a split's rows that have a duplicate in a later split."""
    return frozenset(id for overlap in found if overlap.across and overlap.earlier == split for id in overlap.others)


def _numbered(texts: Iterable[str]) -> array[int]:
    """Return a number for each text, the same for equal ones; of the texts no more than a digest is kept meanwhile."""
    known: dict[bytes, int] = {}
    digests = (blake2b(text.encode(), digest_size=16).digest() for text in texts)
    return array("q", [known.setdefault(digest, len(known)) for digest in digests])


class _Compared:
    """The rows of all splits, compared with each other."""

    def __init__(self, parts: Mapping[Split, Forms]) -> None:
        self._parts, worth = parts, Worth(parts["train"])
        sizes = accumulate(map(len, parts.values()), initial=0)
        self._starts = dict(zip(parts, sizes, strict=False))
        forms = [form for part in parts.values() for form in part]
        self._sources = _numbered(form.source_letters for form in forms)
        self._rows = _numbered(f"{one} {form.target_letters}" for one, form in zip(self._sources, forms, strict=True))
        self._near: dict[int, set[int]] = {}
        """Forms that are near duplicates of earlier ones, by number: theirs."""
        for one, other in near_candidates(forms, self._sources, worth):
            if one not in self._near.get(other, ()) and is_near(forms[one], forms[other], worth):
                self._near.setdefault(other, set()).add(one)

    def overlap(self, earlier: Split, later: Split) -> Overlap:
        """Return what two splits have in common."""
        there, here = self._parts[earlier], self._parts[later]
        twins: dict[int, Twin] = {}
        others = {number for form in self._met(earlier, later) for number in there[form].numbers}
        first = self._first(earlier)
        for position, form in enumerate(here):
            kinds = self._kinds(self._starts[later] + position, earlier, *first)
            if kinds:
                kind, one = min(kinds)
                other = there.ids[there[one].numbers[0]]
                twins |= {number: Twin(here.ids[number], other, KINDS[kind]) for number in form.numbers}
            if earlier == later and len(form.numbers) > 1:
                number, *repeated = form.numbers
                twins |= {again: Twin(here.ids[again], here.ids[number], "row") for again in repeated}
                others.add(number)
        ordered = tuple(twins[number] for number in sorted(twins))
        return Overlap(earlier, later, len(here.ids), ordered, frozenset(there.ids[number] for number in others))

    def _first(self, split: Split) -> tuple[dict[int, int], dict[int, int]]:
        """Return the first form of a split that has each row's letters, and each source's."""
        numbers = self._numbers(split)
        backwards = range(len(numbers) - 1, -1, -1)
        rows = {self._rows[numbers[position]]: position for position in backwards}
        return rows, {self._sources[numbers[position]]: position for position in backwards}

    def _kinds(
        self, number: int, split: Split, rows: Mapping[int, int], sources: Mapping[int, int]
    ) -> list[tuple[int, int]]:
        """Return how a form is like earlier ones of a split: kinds by their place in `KINDS`, with their first form."""
        start = self._starts[split]
        near = min(self._nears(number, split), default=None)
        found = enumerate((rows.get(self._rows[number]), sources.get(self._sources[number]), near))
        return [(kind, one) for kind, one in found if one is not None and start + one < number]

    def _met(self, earlier: Split, later: Split) -> set[int]:
        """Return the forms of a split that forms of a later one, or later forms of the same, are duplicates of."""
        numbers = self._numbers(later)
        last = {self._sources[number]: number for number in numbers}
        start = self._starts[earlier]
        same = {number - start for number in self._numbers(earlier) if number < last.get(self._sources[number], -1)}
        return same.union(*(self._nears(number, earlier) for number in self._near if number in numbers))

    def _nears(self, number: int, split: Split) -> list[int]:
        """Return the forms of a split that a later form is near."""
        numbers = self._numbers(split)
        return [one - numbers.start for one in self._near.get(number, ()) if one in numbers]

    def _numbers(self, split: Split) -> range:
        start = self._starts[split]
        return range(start, start + len(self._parts[split]))
