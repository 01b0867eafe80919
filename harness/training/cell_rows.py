"""The rows that a cell trains on and is scored on, in token ids, and which others they are recorded with.

Where a study compares training sizes, the rows of a smaller one are rows of the largest one as well: one recording of
the frozen part holds them for all, and a cell's batches say by their indices which rows of it they are. Padded they are
as the rows of a study of that size alone would be; what was recorded with more padding is cut to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import numpy as np

from harness.data.text_blocks import BlockRows, TextBlocks
from harness.data.tokenization import Reader, Row
from harness.training.activation_cache.keys import RowsKey
from harness.training.batching import Batch, loss_batches

__all__ = ["CellRows"]


@dataclass(frozen=True, eq=False)
class CellRows:
    """The rows of a split, as a cell has them."""

    key: RowsKey
    """What those that are recorded together are known by."""
    together: Sequence[Row]
    """All of these."""
    own: Sequence[int] | None = None
    """Places among them of the rows that are the cell's; ``None``: all are."""
    size: int | None = None
    """What is said of their number where several are compared."""

    @cached_property
    def rows(self) -> Sequence[Row]:
        """The cell's own rows."""
        if self.own is None:
            return self.together
        if isinstance(self.together, BlockRows) and isinstance(self.together.blocks, TextBlocks):
            blocks = self.together.blocks
            return BlockRows(blocks.chosen(blocks.numbers[np.asarray(self.own)]), self.together.form)
        return [self.together[place] for place in self.own]

    @property
    def name(self) -> str:
        """What tells these rows from others of the same prompt."""
        return self.key[1] if self.own is None else f"{self.key[1]} of {self.size}"

    def apart(self) -> CellRows:
        """Return the same rows, recorded by themselves."""
        return self if self.own is None else CellRows((self.key[0], self.name), self.rows)

    def batches(self, reader: Reader, *, batch_size: int, order: np.random.Generator | None = None) -> Sequence[Batch]:
        """Return the batches for a loss of the cell's rows, by their indices among all; see `loss_batches`."""
        batches = loss_batches(self.rows, reader, batch_size=batch_size, order=order)
        return batches if self.own is None else _Placed(batches, self.own)


class _Placed(Sequence[Batch]):
    """Batches of some rows, whose indices are the places of these among others."""

    def __init__(self, batches: Sequence[Batch], places: Sequence[int]) -> None:
        self._batches, self._places = batches, places

    def __len__(self) -> int:
        return len(self._batches)

    @overload
    def __getitem__(self, place: int) -> Batch: ...
    @overload
    def __getitem__(self, place: slice) -> list[Batch]: ...
    def __getitem__(self, place: int | slice) -> Batch | list[Batch]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        batch = self._batches[place]
        return replace(batch, indices=tuple(self._places[index] for index in batch.indices))
