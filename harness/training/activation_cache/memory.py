"""Memory tier of the activation cache: recordings as far as memory allows, on disk for later runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil
import torch
from torch import Tensor

from harness.data.masked_blocks import OneByOne
from harness.data.text_blocks import BlockRows
from harness.data.tokenization import Row
from harness.models.load import Loaded
from harness.study.run_places import nearest_folder
from harness.study.spec import Precision
from harness.training.activation_cache.disk import ActivationDisk, Writer

__all__ = ["ActivationMemory", "Draft", "TooLarge", "recordings"]


class TooLarge(Exception):
    """A recording fits neither memory nor disk."""

    @classmethod
    def of(cls, size: int) -> TooLarge:
        """Return that of a recording of so many bytes, or more."""
        return cls(f"a recording of {size / 2**20:.1f} MiB or more fits neither engine.memory_mib nor engine.disk_mib")


def recordings(
    folder: Path, *, memory_mib: float | None = None, disk_mib: float | None = None, share: int = 1
) -> ActivationMemory:
    """Return the recordings of a folder, within a study's budgets, or the machine's.

    Args:
        folder: Where they lie.
        memory_mib: The most memory that they may take; ``None``: a quarter of what is free.
        disk_mib: The most disk; ``None``: a tenth of what is free; 0: none.
        share: How many processes divide the memory between them; what is on disk they have in common.
    """
    memory = psutil.virtual_memory().available // 4 if memory_mib is None else memory_mib * 2**20
    disk = psutil.disk_usage(str(nearest_folder(folder))).free // 10 if disk_mib is None else disk_mib * 2**20
    return ActivationMemory(int(memory / share), ActivationDisk(folder, int(disk)) if disk else None)


class ActivationMemory:
    """Recordings by key, in memory, and on disk behind it.

    Args:
        memory: The most bytes held in memory; those not used for longest go first, and are read from disk from then on.
        disk: Keeps them for later runs; ``None``: memory alone.
    """

    def __init__(self, memory: int, disk: ActivationDisk | None) -> None:
        self.memory, self.disk = memory, disk
        self._held: dict[str, dict[str, Tensor]] = {}
        self._sizes: dict[str, int] = {}
        self._mapped: dict[str, Mapping[str, Tensor]] = {}
        self._whole: dict[str, int] = {}
        self.pinned: set[str] = set()
        """In use: not to be released."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of all recordings that were made or found so far, by key, wherever they are."""
        return self._whole

    @property
    def in_memory(self) -> int:
        """Bytes that are held in memory."""
        return sum(self._sizes.values())

    def no_room(self, rows: Sequence[Row], loaded: Loaded, precision: Precision) -> str:
        """Return that blocks of text cannot be recorded, else nothing: known ahead, for a pass over many is long."""
        if not isinstance(rows, BlockRows):
            return ""
        width = getattr(loaded.model.config.get_text_config(), "hidden_size", 0)
        positions = 1 if isinstance(rows, OneByOne) else rows.form.block_tokens  # before the head, of a mask alone
        least = len(rows) * positions * width * (2 if precision == "bf16" else 4)
        return "" if least <= max(self.memory, self.disk.budget if self.disk else 0) else str(TooLarge.of(least))

    def get(self, key: str) -> Mapping[str, Tensor] | None:
        """Return a recording if there is one."""
        if self.disk is not None and (key in self._held or key in self._mapped):
            self.disk.used(key)
        if key in self._held:
            self._held[key] = self._held.pop(key)  # the last is the one used last
            return self._held[key]
        if key not in self._mapped and self.disk is not None and (recording := self.disk.open(key)) is not None:
            self._mapped[key] = recording
            self.finished(key, sum(tensor.nbytes for tensor in recording.values()))
            if self._whole[key] <= self.memory:  # else it would push all others out
                all(self.hold(key, name, tensor.clone()) for name, tensor in recording.items())  # it, or none of it
        return self._held.get(key) or self._mapped.get(key)

    def hold(self, key: str, name: str, tensor: Tensor) -> bool:
        """Keep one more tensor of a recording in memory; where it is too large for that, keep none of it.

        Returns:
            Whether all of the recording so far is in memory.
        """
        others = [other for other in self._held if other != key and other not in self.pinned]
        while others and self.in_memory + tensor.nbytes > self.memory:
            self._release(others.pop(0))
        if self.in_memory + tensor.nbytes > self.memory:
            self._release(key)
            return False
        self._held.setdefault(key, {})[name] = tensor
        self._sizes[key] = self._sizes.get(key, 0) + tensor.nbytes
        return True

    def let_go(self) -> None:
        """Nothing is in use any more; files that were deleted to make room are no longer held open."""
        self.pinned.clear()
        if self.disk is not None:
            self._mapped = {key: found for key, found in self._mapped.items() if self.disk.has(key)}

    def finished(self, key: str, size: int) -> None:
        """Take note of a whole recording's bytes."""
        self._whole[key] = size

    def holds(self, key: str) -> bool:
        """Return whether something of a recording is in memory."""
        return key in self._held

    def drop(self, key: str) -> None:
        """Forget a recording that proved wrong."""
        self._release(key)
        self._mapped.pop(key, None)
        self._whole.pop(key, None)
        if self.disk is not None:
            self.disk.remove(key)

    def _release(self, key: str) -> None:
        self._held.pop(key, None)
        self._sizes.pop(key, None)


class Draft:
    """A recording being made: written to disk as it grows, and held in memory until it is too large for that.

    So many as are made together share the memory for what waits to be written.
    """

    def __init__(self, key: str, owner: ActivationMemory, say: Callable[[str], None], *, together: int = 1) -> None:
        self._key, self._owner, self._say = key, owner, say
        self._writer = None if owner.disk is None else Writer(owner.disk, key, together=together)
        self._is_held, self._bytes = True, 0
        self.names: set[str] = set()

    def add(self, name: str, tensor: Tensor) -> None:
        """Take a tensor; what rows of one shape share comes again and again, and is taken once.

        Raises:
            TooLarge: There is room for it neither in memory nor on disk.
        """
        if name in self.names:
            return
        self.names.add(name)
        tensor = tensor.detach().cpu()
        if tensor.untyped_storage().nbytes() > tensor.nbytes:  # a part would keep the whole in memory
            tensor = tensor.clone(memory_format=torch.contiguous_format)
        self._is_held &= self._bytes == 0 or self._owner.holds(self._key)  # another's growth may have pushed it out
        self._is_held = self._is_held and self._owner.hold(self._key, name, tensor)
        self._bytes += tensor.nbytes
        self._write(lambda writer: writer.add(name, tensor))

    def close(self) -> None:
        """Hand the recording in; see `add`."""
        self._write(lambda writer: writer.close())
        self._owner.finished(self._key, self._bytes)

    def discard(self) -> None:
        """Leave nothing of it."""
        self._owner.drop(self._key)
        if self._writer is not None:
            self._writer.discard()

    def _write(self, step: Callable[[Writer], None]) -> None:
        if self._writer is not None:
            try:
                step(self._writer)
            except OSError as error:
                self._say(f"a recording is not kept on disk: {error}")
                self._writer.discard()
                self._writer = None
        if not self._is_held and self._writer is None:
            self.discard()
            raise TooLarge.of(self._bytes)
