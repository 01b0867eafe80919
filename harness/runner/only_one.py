"""One process at a time on a study: in a folder, and from a machine on a store."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from harness.core.database_urls import sqlite_file
from harness.core.errors import StoreError
from harness.core.workspace import Workspace
from harness.tracking.mlflow.study_lease import boot_of_machine

__all__ = ["only_one"]


@contextmanager
def only_one(study: str, store: str, workspace: Workspace) -> Iterator[str]:
    """Lock a study of a store; the locks end with this process.

    Yields:
        What stands for the lock on the store's study, and for this machine since it was started: no two processes
        that live have the same.

    Raises:
        StoreError: Another process has it, in this folder or in another one.
    """
    own, shared = workspace.study_lock(study), _store_lock(study, store)
    with ExitStack() as held:
        for lock in dict.fromkeys((own.resolve(), shared.resolve())):
            lock.parent.mkdir(parents=True, exist_ok=True)
            try:
                held.enter_context(FileLock(lock, timeout=0))
            except Timeout:
                where = "in this folder" if lock == own.resolve() else "on the same store"
                raise StoreError(
                    f"study {study!r} is being run by another process {where}; wait for it or end it"
                ) from None
        found = shared.stat()
        yield f"{boot_of_machine()}:{found.st_dev}:{found.st_ino}"


def _store_lock(study: str, store: str) -> Path:
    """Return a lock that whoever runs a study of a store from this machine holds: beside a sqlite database."""
    if file := sqlite_file(store):
        return Workspace(file.parent).study_lock(study)
    name = hashlib.sha256(f"{store.rstrip('/')} {study}".encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"harness-{os.getuid()}-{name}.lock"
