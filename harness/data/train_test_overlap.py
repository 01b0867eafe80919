"""Overlap of splits: rows that stand twice, found before anything trains.

When two rows are duplicates, exact or near, is said in `harness.data.duplicates`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Literal, NamedTuple

from harness.core.errors import DataError
from harness.core.example import SPLITS, Example, Split
from harness.data.duplicates import KINDS, Form, Index, Kind, Worth

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
    worth = Worth(examples["train"])
    indexes = {split: Index(examples[split], worth) for split in SPLITS if split in examples}
    return tuple(_overlap(a, b, indexes) for a, b in combinations_with_replacement(indexes, 2))


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


def _overlap(earlier: Split, later: Split, indexes: Mapping[Split, Index]) -> Overlap:
    there, here = indexes[earlier], indexes[later]
    twins: dict[int, Twin] = {}
    others: set[str] = set()
    for position, form in enumerate(here.forms):
        kinds = there.twins(form)
        if there is here:
            kinds = {number: kind for number, kind in kinds.items() if number < position}
        for number, other, kind in _rows(form, kinds, there, within=there is here):
            twins[number] = Twin(here.ids[number], there.ids[other], kind)
            others.add(there.ids[other])
        others.update(there.ids[number] for other in kinds for number in there.forms[other].numbers)
    return Overlap(earlier, later, len(here.ids), tuple(twins[number] for number in sorted(twins)), frozenset(others))


def _rows(form: Form, kinds: Mapping[int, Kind], there: Index, *, within: bool) -> Iterator[tuple[int, int, Kind]]:
    """Yield each row of a form that has a duplicate, with the first of the worst kind."""
    if kinds:
        kind, other = min((KINDS.index(kind), there.forms[number].numbers[0]) for number, kind in kinds.items())
        yield from ((number, other, KINDS[kind]) for number in form.numbers)
    if within:
        yield from ((number, form.numbers[0], "row") for number in form.numbers[1:])
