"""The rows that a cell trains on and is scored on, in token ids, and which others they are recorded with.

Where a study compares draws of training rows, a smaller one's are rows of the largest one as well, and seeds may draw
the same: one recording of the frozen part holds all of them, and a cell's batches say by their indices which rows of it
they are. Padded they are as the rows of a study of that draw alone would be; what was recorded with more padding is cut
to that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import numpy as np

from harness.data.masked_blocks import MaskedBlocks
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
    draw: str = ""
    """What is said of them where several draws are compared."""

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
        return self.key[1] if self.own is None else f"{self.key[1]} of {self.draw}"

    def apart(self) -> CellRows:
        """Return the same rows, recorded by themselves."""
        return self if self.own is None else CellRows((self.key[0], self.name), self.rows)

    def batches(self, reader: Reader, *, batch_size: int, draw: tuple[int, int]) -> Sequence[Batch]:
        """Return the batches of an epoch of the cell's rows, by their indices among all; see `loss_batches`.

        Args:
            reader: The model.
            batch_size: Rows of each.
            draw: The run's seed and the epoch, which order rows, and hide tokens of a masked model's blocks.
        """
        rows = self.rows.drawn(*draw) if isinstance(self.rows, MaskedBlocks) else self.rows
        batches = loss_batches(rows, reader, batch_size=batch_size, order=np.random.default_rng(draw))
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
