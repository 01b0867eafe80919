"""Temporary files of a command in a folder of its own, which the next command removes where a kill has left it.

The folder is locked as long as its process lives, and a lock ends with its process however that ends; so what is
removed is nobody's, even where processes of several containers share a disk.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["scratch"]

PREFIX = "prompt-depth-harness-"


@contextmanager
def scratch() -> Iterator[None]:
    """Have all temporary files of this process, libraries' too, made in a folder that goes with it."""
    try:
        base = Path(tempfile.gettempdir())
        _sweep(base)
        folder, lock = _own(base)
    except OSError:  # there is no room for temporary files; whoever needs one says so
        yield
        return
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _own(base: Path) -> tuple[Path, int]:
    """Return a new folder and its lock; one that another process swept before it was locked is made again."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
        with suppress(FileNotFoundError, BlockingIOError):
            lock = _lock(folder)
            if folder.exists():
                return folder, lock
            os.close(lock)


def _lock(folder: Path) -> int:
    """Return a file descriptor that holds a folder of this user, for nobody else while it is open.

    Raises:
        OSError: It is held, is gone, is a link, or belongs to another user.
    """
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if os.fstat(lock).st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to another user")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _sweep(base: Path) -> None:
    for folder in base.glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = _lock(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
