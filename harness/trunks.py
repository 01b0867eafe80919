"""What the frozen part of the network makes of each split, recorded once and kept in memory within a budget.

A recording serves every trial and final run with the same prompt and cut. It changes the clock, never the numbers: it
is verified against the live model when it is made, and refused where it would not be exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil

from harness.batching import Batch, loss_batches
from harness.encoding import Row
from harness.likelihood import label_logits, model_rows
from harness.models.load import Loaded
from harness.models.trunk import Store, Trunk, record, verify

__all__ = ["Trunks", "default_budget"]

Key = tuple[object, ...]


def default_budget() -> int:
    """Return how many bytes recordings may take where the study does not say: a quarter of the free memory."""
    return int(psutil.virtual_memory().available // 4)


@dataclass
class Trunks:
    """The recordings of one model.

    Args:
        loaded: The model, in its pretrained state whenever `open` is called (what trains may be marked).
        budget: The most bytes of all recordings; those not used for longest go first.
        batch_size: Rows per forward pass while recording.
    """

    loaded: Loaded
    budget: int
    batch_size: int
    _stores: dict[Key, Store] = field(default_factory=dict)
    _faults: dict[Key, str] = field(default_factory=dict)

    def open(self, key: Key, cut: int, rows: Sequence[Row]) -> Trunk | str:
        """Return the replay of some rows, recorded now if it is not there, or why they must run live.

        Args:
            key: Names rows and cut.
            cut: The first block that trains.
            rows: A split, as one prompt has it.
        """
        if key in self._faults:
            return self._faults[key]
        model = self.loaded.model
        if key in self._stores:
            self._stores[key] = self._stores.pop(key)  # the last is the one used last
            return Trunk(model, cut, self._stores[key])
        batches = loss_batches(rows, self.loaded, batch_size=self.batch_size)
        fault = self._make_room(batches)
        if fault is None:
            store: Store = {}
            record(model, (model_rows(model, batch.to(model.device)) for batch in batches), cuts=[cut], store=store)
            trunk, first = Trunk(model, cut, store), model_rows(model, batches[0].to(model.device))
            fault = verify(trunk, first, lambda: label_logits(model, first))
            if fault is None:
                self._stores[key] = store
                return trunk
        self._faults[key] = fault
        return fault

    def _make_room(self, batches: Sequence[Batch]) -> str | None:
        """Drop old recordings until a new one fits; return why it cannot."""
        needed = sum(self._size(batch) for batch in batches)
        if needed > self.budget:
            return f"a recording takes {_mib(needed)}, over the budget of {_mib(self.budget)}; see engine.memory_mib"
        while needed + sum(_bytes(store) for store in self._stores.values()) > self.budget:
            del self._stores[next(iter(self._stores))]
        return None

    def _size(self, batch: Batch) -> int:
        """Return the most bytes of a batch's recording: hidden states of every position, of both halves."""
        width = self.loaded.model.get_input_embeddings().weight.shape[1]
        positions = batch.inputs["input_ids"].numel() + (0 if batch.shift else batch.inputs["labels"].numel())
        return int(positions * width * self.loaded.model.dtype.itemsize)


def _bytes(store: Store) -> int:
    return sum(tensor.nbytes for tensor in store.values())


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
