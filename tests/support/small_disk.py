"""A disk of its own, small enough to be filled; skips where this user may mount none."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PAGE = 4096


class SmallDisk:
    """A file system in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / ".ballast"

    @property
    def free(self) -> int:
        """Bytes that may still be written."""
        disk = os.statvfs(self.folder)
        return disk.f_bavail * disk.f_frsize

    def leave(self, free: int) -> None:
        """Take all room but so many bytes."""
        self.clear()
        size = (self.free - free) // PAGE * PAGE
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)

    def clear(self) -> None:
        """Give the room back."""
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(folder: Path, mib: int = 32) -> Iterator[SmallDisk]:
    """Mount a disk on a new folder for the length of a block."""
    folder.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(folder))
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Have a folder that can only be read for the length of a block."""
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,bind,ro", str(folder))
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*options: str) -> None:
    try:
        done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount program")
    if done.returncode:
        pytest.skip(f"this user may not mount a disk: {done.stderr.strip()}")
