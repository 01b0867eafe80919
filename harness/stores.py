"""Whether a store answers, asked before anything is written anywhere.

MLflow alone would retry for minutes, and either library would leave a new store behind where the other one fails.
"""

from __future__ import annotations

import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing
from pathlib import Path

from sqlalchemy import create_engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from harness.errors import StoreError

__all__ = ["reach"]

PATIENCE = 10.0
"""Seconds that a server may take to answer."""


def reach(what: str, uri: str, *, remedy: str) -> None:
    """See that a server or database answers; leave nothing behind.

    Args:
        what: How messages call the store.
        uri: A URL of a tracking server, or of a database as SQLAlchemy reads it.
        remedy: What messages advise.

    Raises:
        StoreError: It does not answer.
    """
    try:
        if uri.startswith(("http://", "https://")):
            _reach_server(uri)
        elif make_url(uri).get_backend_name() == "sqlite":
            _reach_file(make_url(uri).database)
        else:
            engine = create_engine(uri)
            engine.connect().close()
            engine.dispose()
    except (SQLAlchemyError, sqlite3.Error, OSError, ValueError, ImportError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StoreError(f"{what} {uri!r} cannot be reached: {reason}; {remedy}") from error


def _reach_server(uri: str) -> None:
    try:
        urllib.request.urlopen(urllib.parse.urljoin(uri + "/", "health"), timeout=PATIENCE).close()
    except urllib.error.HTTPError:
        return  # it answers, if only to say that it has no such page


def _reach_file(database: str | None) -> None:
    if not database or database == ":memory:":
        return
    path = Path(database)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"folder {str(path.parent)!r} does not exist")
    is_new = not path.exists()
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("select count(*) from sqlite_master")  # before a statement sqlite opens nothing
    finally:
        if is_new:
            path.unlink(missing_ok=True)
