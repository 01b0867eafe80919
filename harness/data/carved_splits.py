"""Rows that a split uses: of its own, or carved out of ``train`` where the source lacks it, with the study's seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from harness.core.errors import DataError
from harness.core.example import Split
from harness.data.data_keys import CARVED_SHARE, Data, Draw
from harness.data.row_groups import in_whole_groups

if TYPE_CHECKING:  # it reads what is chosen here
    from harness.data.sources import Source

__all__ = ["chosen_rows"]


def chosen_rows(source: Source, split: Split, data: Data, rows: Sequence[str | None], draw: Draw) -> list[int]:
    """Return the row numbers of a split, in the file's order; a smaller size takes a subset of a larger one's.

    Args:
        source: For messages, and what it lacks.
        split: Which.
        data: Sizes, and the seed that decides what is carved out.
        rows: The group of each.
        draw: Which of the training rows are used.
    """
    units = _shuffled(rows, data.first_seed)
    wanted: int | None = draw.train if split == "train" else getattr(data, split)
    missing: list[Split] = [name for name in ("test", "validation") if name not in source.readers]
    if split in missing or (split == "train" and missing):
        sizes = {name: getattr(data, name) or max(1, round(len(rows) * CARVED_SHARE)) for name in missing}
        units = _carved(source, split, units, sizes)
    if split == "train" and draw.seed != data.first_seed:
        left = {number for unit in units for number in unit}
        units = [unit for unit in _shuffled(rows, draw.seed) if left.issuperset(unit)]
    order = [number for unit in units for number in unit]
    if not order:
        raise DataError(f"{source.place(split)}: split {split!r} is empty; it needs at least one row")
    if wanted is not None and wanted > len(order):
        raise DataError(f"{source.place(split)}: data.{split} is {wanted}, but there are {len(order)} rows; lower it")
    return sorted(order[:wanted])


def _shuffled(rows: Sequence[str | None], seed: int) -> Sequence[list[int]]:
    """Return row numbers in the order in which they are drawn, those of a group together."""
    return in_whole_groups([int(number) for number in np.random.default_rng(seed).permutation(len(rows))], rows)


def _carved(
    source: Source, split: Split, units: Sequence[list[int]], sizes: Mapping[Split, int]
) -> Sequence[list[int]]:
    """Return a split's share of groups: those that are missing take whole ones until they have their rows."""
    start, rows = 0, sum(map(len, units))
    for name, size in sizes.items():
        end, taken = start, 0
        while taken < size and end < len(units):
            taken += len(units[end])
            end += 1
        if taken < size or end == len(units):
            groups = f" in {len(units)} groups" if len(units) < rows else ""
            parts = " and ".join(f"{number} to {other}" for other, number in sizes.items())
            raise DataError(
                f"{source.place('train')}: its {rows} row{'s' * (rows != 1)}{groups} cannot give {parts} and leave "
                "rows to train on; bring more rows"
            )
        if name == split:
            none = "no rows were given" if source.from_memory else f"there is no file for it in {source.origin}"
            rule = f"data.{name} sets how many, {CARVED_SHARE:.0%} where it is left out"
            source.notes.append(f"{name} is {taken} of the {rows} rows of train: {none}; {rule}.")
            return units[start:end]
        start = end
    return units[start:]
