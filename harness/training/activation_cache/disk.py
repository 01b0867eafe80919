"""Disk tier of the activation cache: named tensors, whole and right and within a budget, or not there.

A recording is a folder named by its key: shards in safetensors, and a manifest with the key and each shard's digest.
It is written under a temporary name and renamed, so a kill leaves no half of it. Reading maps the files; the system
keeps in memory what fits. What a newer version wrote stays as it is, and is made anew beside it. See
``docs/decisions/recordings.md``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from harness.core.bounded_files import open_regular, read_json
from harness.core.errors import NewerError, UserError
from harness.core.format_versions import FORMAT, refuse_newer
from harness.core.workspace import inside

__all__ = ["ActivationDisk", "Writer"]

SHARD = 2**27
"""Bytes that are held back before they are written, all writers of one pass together: 128 MiB."""

MANIFEST = "manifest.json"

RECORDING_FORMAT = 1
"""The newest version of a recording's folder."""


class ActivationDisk:
    """A folder of recordings; those not used for longest make room for new ones.

    Args:
        folder: Made when something is written. Several processes may share it.
        budget: The most bytes of all recordings together.
    """

    def __init__(self, folder: Path, budget: int) -> None:
        self.folder, self.budget = folder, budget
        for draft in folder.glob(".*-*"):
            if _is_abandoned(draft):
                shutil.rmtree(draft, ignore_errors=True)

    def open(self, key: str) -> Mapping[str, Tensor] | None:
        """Return a recording, mapped from its files; ``None``, and nothing left, where it is absent or unsound."""
        folder = self.place(key)
        try:
            manifest = read_json(folder / MANIFEST)
            shards = {inside(folder, name): own for name, own in manifest["shards"].items()}
            if manifest["key"] == key and shards and all(_digest(file) == own for file, own in shards.items()):
                self.used(key)
                handles: list[Any] = [safe_open(file, framework="pt") for file in shards]
                return {name: handle.get_tensor(name) for handle in handles for name in handle.keys()}  # noqa: SIM118
        except FileNotFoundError:
            if not folder.exists():
                return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError, SafetensorError, UserError):
            pass  # not what `Writer` wrote
        self.remove(key)
        return None

    def has(self, key: str) -> bool:
        """Return whether a recording is there."""
        return self.place(key).exists()

    def used(self, key: str) -> None:
        """Take note that a recording, if it is there, is in use: others go before it."""
        with contextlib.suppress(OSError):
            os.utime(self.place(key))

    def remove(self, key: str) -> None:
        """Delete a recording; who has it open may go on reading."""
        shutil.rmtree(self.place(key), ignore_errors=True)

    def place(self, key: str) -> Path:
        """Return the folder of a recording: under its key, and of this version's name where a newer one took that."""
        folder = self.folder / key
        try:
            manifest = read_json(folder / MANIFEST)
            refuse_newer(str(folder), manifest.get(FORMAT), RECORDING_FORMAT)
        except NewerError:
            return self.folder / f"{key}.format-{RECORDING_FORMAT}"
        except (OSError, ValueError, AttributeError):  # none, or not what `Writer` wrote
            pass
        return folder

    def make_room(self, needed: int) -> None:
        """Delete recordings, the least recently used first, until some more bytes fit the budget.

        What is being written, by whatever process, counts but stays.

        Raises:
            OSError: They would not fit.
        """
        usage = {folder: _usage(folder) for folder in self.folder.glob("*") if folder.is_dir()}
        finished = sorted((usage[folder], folder.name) for folder in usage if not folder.name.startswith("."))
        total = sum(size for _, size in usage.values()) + needed
        if total - sum(size for (_, size), _ in finished) > self.budget:
            raise OSError(f"{needed} more bytes are over the budget of {self.budget}")
        for (_, size), name in finished:
            if total <= self.budget:
                break
            shutil.rmtree(self.folder / name, ignore_errors=True)
            total -= size


class Writer:
    """Writes one recording, shard by shard, together with so many writers; it counts only once it is closed."""

    def __init__(self, disk: ActivationDisk, key: str, *, together: int = 1) -> None:
        self._disk, self._key, self._shard = disk, key, SHARD // together
        self._folder = disk.folder / f".{key}-{os.getpid()}"
        self.discard()  # left by an earlier process of the same id
        self._waiting: dict[str, Tensor] = {}
        self._shards: dict[str, str] = {}
        self._held = 0

    def add(self, name: str, tensor: Tensor) -> None:
        """Take a tensor, on the CPU; raise `OSError`, where the disk or the budget is full: discard what there is."""
        self._waiting[name] = tensor
        self._held += tensor.nbytes
        if self._held >= self._shard:
            self._flush()

    def close(self) -> None:
        """Put the recording into its place, unless another process was faster; see `add`."""
        self._flush()
        manifest = {FORMAT: RECORDING_FORMAT, "key": self._key, "shards": self._shards}
        (self._folder / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
        place = self._disk.place(self._key)
        try:
            self._folder.rename(place)
        except OSError:
            if not place.exists():
                raise
            self.discard()

    def discard(self) -> None:
        """Remove what was written."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _flush(self) -> None:
        self._disk.make_room(self._held)
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / f"{len(self._shards):05}.safetensors"
        try:
            save_file({name: tensor.contiguous() for name, tensor in self._waiting.items()}, file)
        except SafetensorError as error:  # its word for a full disk
            raise OSError(str(error)) from error
        self._shards[file.name] = _digest(file)
        self._waiting, self._held = {}, 0


def _is_abandoned(draft: Path) -> bool:
    """Return whether the process that began a folder has ended; another may have its id by now."""
    try:
        began: float = psutil.Process(int(draft.name.rpartition("-")[2])).create_time()
        return began > draft.stat().st_mtime
    except psutil.NoSuchProcess:
        return True
    except (ValueError, OSError):  # not ours; or its writer has just finished
        return False


def _usage(folder: Path) -> tuple[int, int]:
    """Return when a recording was used last, and its bytes."""
    try:
        return folder.stat().st_mtime_ns, sum(file.stat().st_size for file in folder.iterdir())
    except FileNotFoundError:  # another process removed it just now
        return 0, 0


def _digest(file: Path) -> str:
    with open_regular(file) as stream:
        return hashlib.file_digest(stream, "blake2b").hexdigest()[:32]
