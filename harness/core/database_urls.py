"""What MLflow's and Optuna's stores share: asking whether one answers, and making a sqlite one in a single step.

Asking comes before anything is written anywhere: MLflow alone would retry for minutes, and either library would leave
a new store behind where the other one fails. Left to themselves, both make their tables one by one, and a kill in
between leaves a database that neither can use again.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from filelock import FileLock
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError

from harness.core.errors import StoreError
from harness.core.failures import database_trouble
from harness.core.workspace import HERE, Workspace

__all__ = ["LOCK", "create", "making", "reach", "sqlite_file"]

LOCK = HERE.database_lock
"""Held while a database in this folder is made or migrated, by one process at a time; no study can have this name."""

MAKING = 0x70726F6D7074
"""The lock of a PostgreSQL server that stands for the same; any number that others hardly take."""


def reach(what: str, uri: str, *, remedy: str) -> None:
    """See that a database answers; leave nothing behind.

    Args:
        what: How messages call the store.
        uri: A URL of a database as SQLAlchemy reads it.
        remedy: What messages advise.

    Raises:
        StoreError: It does not answer.
    """
    try:
        if file := sqlite_file(uri):
            _reach_file(file)
        else:
            engine = create_engine(uri)
            engine.connect().close()
            engine.dispose()
    except (SQLAlchemyError, sqlite3.Error, OSError, ValueError, ImportError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        said = isinstance(error, sqlite3.OperationalError)  # such as that another process has locked it
        told = database_trouble(reason, remedy) if said else f"{reason}; {remedy}"
        raise StoreError(f"{what} {uri!r} cannot be reached: {told}") from error


def create(uri: str, make: Callable[[str], object]) -> None:
    """Have a sqlite database made where there is none, whole or not at all; any other is left alone."""
    path = sqlite_file(uri)
    if path is None:
        return
    with making(uri):
        if path.exists() and path.stat().st_size:
            return
        fresh = path.with_name(f"{path.name}.new")
        for left_over in path.parent.glob(f"{path.name}.new*"):
            left_over.unlink()
        make(str(make_url(uri).set(database=str(fresh))))
        _write_ahead(fresh)
        for log in ("-wal", "-shm"):  # of a database that was deleted: sqlite would write it into the new one
            path.with_name(f"{path.name}{log}").unlink(missing_ok=True)
        fresh.replace(path)


@contextmanager
def making(uri: str) -> Iterator[None]:
    """Have one process at a time make or migrate a database, whatever folder it works in; wait for the others."""
    if file := sqlite_file(uri):
        lock = Workspace(file.parent).database_lock
        if os.access(file.parent, os.W_OK):  # else nothing can be made there
            lock.parent.mkdir(exist_ok=True)
            with FileLock(lock):
                yield
            return
    elif uri.startswith("postgres"):
        engine = create_engine(uri)
        with closing(engine.connect()) as connection:
            connection.execute(text("select pg_advisory_lock(:key)"), {"key": MAKING})
            yield
        engine.dispose()
        return
    yield


def _write_ahead(path: Path) -> None:
    """Have a database keep a write-ahead log: a commit then waits for the disk once instead of four times.

    It is lasting, and as safe: what was committed outlives a kill and a power cut (sqlite.org/wal.html). Where the
    file system cannot share memory between processes, sqlite keeps its rollback journal.
    """
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")


def sqlite_file(uri: str) -> Path | None:
    """Return the file of a sqlite URL, ``None`` for any other store."""
    if not uri.startswith("sqlite"):
        return None
    database = make_url(uri).database
    return Path(database) if database and database != ":memory:" else None


def _reach_file(path: Path) -> None:
    if not path.parent.is_dir():
        raise FileNotFoundError(f"folder {str(path.parent)!r} does not exist")
    if not path.exists():
        with TemporaryFile(dir=path.parent):  # never the file itself: another process may be making it
            return
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("select count(*) from sqlite_master")  # before a statement sqlite opens nothing
