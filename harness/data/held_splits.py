"""What a place holds under which names, and the rows of splits that it or slices of it make."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.core.errors import DataError
from harness.core.example import Split
from harness.data.readers import Row
from harness.data.split_slices import Piece

__all__ = ["Held", "Holding", "Reader", "Slices", "whole_files"]

Reader = Callable[[], list[Row]]


class Held(NamedTuple):
    """Rows that a place has under a name."""

    label: str  # what a message calls them
    rows: Reader
    paths: tuple[Path, ...] = ()
    """The files that it is read from one after the other, if it is."""


class Holding(NamedTuple):
    """Where rows are."""

    origin: str
    what: str  # files, or splits
    held: Mapping[str, Held]
    """By its own names."""
    splits: Mapping[Split, str]  # the names of those that a study has
    unread: tuple[str, ...] = ()
    """What else is there, and no data."""


def whole_files(chosen: Mapping[Split, Sequence[Piece]], place: Holding) -> dict[Split, Sequence[Path]]:
    """Return the files of each split that is nothing but whole files, of which no other split has a slice."""
    sliced = {piece.name for pieces in chosen.values() for piece in pieces if piece.slice}
    names = {split: {piece.name for piece in pieces} for split, pieces in chosen.items()}
    paths = {split: [place.held[name].paths for name in some] for split, some in names.items() if not some & sliced}
    return {split: [path for files in each for path in files] for split, each in paths.items() if all(each)}


class Slices(NamedTuple):
    """The rows of each split, of which slices of one table may make several."""

    chosen: Mapping[Split, tuple[Piece, ...]]
    place: Holding
    written: Mapping[Split, str]
    """``data.splits``."""
    notes: list[str]

    def rows(self, split: Split) -> list[Row]:
        """Read a split's rows.

        Raises:
            DataError: Two splits have rows in common, or this one has none.
        """
        found: list[Row] = []
        for piece in self.chosen[split]:
            table = self.place.held[piece.name].rows()
            self._refuse_overlap(piece.name, len(table))
            numbers = piece.rows(len(table)) if piece.slice else self._rest(split, piece, len(table))
            if table and not numbers:
                raise DataError(
                    f"{self.place.origin}: data.splits leaves {split} none of the {len(table):,} rows of {piece.name}; "
                    "write other slices"
                )
            found += table if len(numbers) == len(table) else [table[number] for number in numbers]
        return found

    def _sliced(self, name: str, count: int) -> list[tuple[Split, range]]:
        """Return the slices of a table, in the order of splits."""
        parts = ((split, piece) for split, pieces in self.chosen.items() for piece in pieces)
        return [(split, piece.rows(count)) for split, piece in parts if piece.name == name and piece.slice]

    def _refuse_overlap(self, name: str, count: int) -> None:
        slices = self._sliced(name, count)
        for place, (split, some) in enumerate(slices):
            for other, others in slices[place + 1 :]:
                if other != split and (both := range(max(some.start, others.start), min(some.stop, others.stop))):
                    told = f"rows {both[0] + 1:,} to {both[-1] + 1:,}" if len(both) > 1 else f"row {both[0] + 1:,}"
                    raise DataError(
                        f"{self.place.origin}: data.splits gives {told} of {name} "
                        f"both to {split}, {self.written[split]!r}, and to {other}, {self.written[other]!r}; write "
                        "slices that have none in common"
                    )

    def _rest(self, split: Split, piece: Piece, count: int) -> Sequence[int]:
        """Return the rows of a table that slices leave to a split which has it as a whole."""
        slices = [(other, numbers) for other, numbers in self._sliced(piece.name, count) if other != split]
        if not slices:
            return range(count)
        taken = {number for _, numbers in slices for number in numbers}
        others = " and ".join(dict.fromkeys(other for other, _ in slices))
        rest = count - len(taken)
        note = f"{split} is {rest:,} of the {count:,} rows of {piece.name}; others are in slices for {others}."
        if note not in self.notes:
            self.notes.append(note)
        return [number for number in range(count) if number not in taken]
