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
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from urllib.parse import unquote

from harness.core.closest_match import closest
from harness.core.errors import StoreError
from harness.core.failures import database_trouble, explained
from harness.core.passwords import masked
from harness.core.workspace import Workspace

__all__ = ["create", "making", "reach", "reason_of", "shown", "sqlite_file", "with_driver"]

MAKING = 0x70726F6D7074
"""The lock of a PostgreSQL server that stands for the same; any number that others hardly take."""


PATIENCE = 5
"""Seconds that a database server may take to answer."""

DRIVERS = {
    "postgresql": {"psycopg2": ("psycopg2", "psycopg2-binary"), "psycopg": ("psycopg", "'psycopg[binary]'")},
    "mysql": {"pymysql": ("pymysql", "pymysql"), "mysqldb": ("MySQLdb", "mysqlclient")},
    "mssql": {"pyodbc": ("pyodbc", "pyodbc"), "pymssql": ("pymssql", "pymssql")},
}
"""Servers to drivers, by the names that SQLAlchemy has for them: the module of each, and the package it is in."""


def with_driver(uri: str) -> str:
    """Return a URL of a database that names the driver which is installed, where it names none; any other as it is.

    SQLAlchemy takes one driver for each kind of database, whether it is there or not.

    Raises:
        StoreError: The driver is not installed, or none is.
    """
    scheme, there, rest = uri.partition("://")
    server, _, named = scheme.partition("+")
    server = "postgresql" if server == "postgres" else server
    known = DRIVERS.get(server)
    if not there or known is None or (named and named not in known):
        return uri
    installed = [driver for driver in known if find_spec(known[driver][0]) and named in ("", driver)]
    if not installed:
        package = known[named or next(iter(known))][1]
        raise StoreError(f"no driver for {scheme} is installed, which a store there needs: pip install {package}")
    return f"{server}+{installed[0]}://{rest}"


def reach(what: str, uri: str, *, remedy: str) -> None:
    """See that a database answers; leave nothing behind.

    Args:
        what: How messages call the store.
        uri: A URL of a database as SQLAlchemy reads it; its password is in no message.
        remedy: What messages advise.

    Raises:
        StoreError: It does not answer.
    """
    try:
        if file := sqlite_file(uri):
            _reach_file(file)
        else:
            _reach_server(uri)
    except (sqlite3.Error, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno and (refused := explained(error)):
            raise refused from error  # of the folder, not of the address
        reason, said = reason_of(error, uri), isinstance(error, sqlite3.OperationalError)  # such as of a lock
        told = database_trouble(reason, remedy) if said else f"{reason}; {remedy}"
        raise StoreError(f"{what} {shown(uri)} cannot be reached: {told}") from error


def shown(uri: str) -> str:
    """Return how messages quote a database's URL, without its password."""
    return repr(masked(uri, uri))


def reason_of(error: BaseException, uri: str) -> str:
    """Return the first line of what went wrong with a database, which may have quoted parts of its URL."""
    return masked((str(error).strip() or type(error).__name__).splitlines()[0], uri)


def _reach_server(uri: str) -> None:
    """Connect to a database.

    Raises:
        ValueError: It does not answer, or this is none.
    """
    from sqlalchemy import create_engine, make_url  # a third of a second, which most studies do without
    from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

    try:
        url = make_url(with_driver(uri))
        waits = url.get_driver_name() in ("psycopg2", "psycopg", "pymysql", "mysqldb")
        engine = create_engine(url, connect_args={"connect_timeout": PATIENCE} if waits else {})
        engine.connect().close()
        engine.dispose()
    except NoSuchModuleError as error:
        named = uri.partition(":")[0]
        raise ValueError(f"{named!r} is no kind of database; {closest(named, ['sqlite', *DRIVERS])}") from error
    except ImportError as error:
        raise ValueError(f"its driver is not installed: {error}") from error
    except SQLAlchemyError as error:
        raise ValueError(str(error)) from error


def create(uri: str, make: Callable[[str], object]) -> None:
    """Have a sqlite database made where there is none, whole or not at all; any other is left alone."""
    path = sqlite_file(uri)
    if path is None:
        return
    from sqlalchemy import make_url

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
    from filelock import FileLock
    from sqlalchemy import create_engine, text

    if file := sqlite_file(uri):
        lock = Workspace(file.parent).database_lock
        if os.access(file.parent, os.W_OK):  # else nothing can be made there
            lock.parent.mkdir(exist_ok=True)
            with FileLock(lock):
                yield
            return
    elif uri.startswith("postgres"):
        engine = create_engine(with_driver(uri))
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
    database = unquote(uri.partition(":///")[2].partition("?")[0]) if uri.startswith("sqlite") else ""
    return Path(database) if database and database != ":memory:" else None


def _reach_file(path: Path) -> None:
    if not path.parent.is_dir():
        raise FileNotFoundError(f"folder {str(path.parent)!r} does not exist")
    if not path.exists():
        with TemporaryFile(dir=path.parent):  # never the file itself: another process may be making it
            return
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("select count(*) from sqlite_master")  # before a statement sqlite opens nothing
