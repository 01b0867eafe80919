"""A client on the store of this process, whose database is made where there is none."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from harness.core.database_urls import create, making, reason_of, shown, sqlite_file
from harness.core.errors import NewerError, StoreError
from harness.core.failures import explained
from harness.tracking.address import REMEDY
from harness.tracking.mlflow.http import reach_store
from harness.tracking.mlflow.moved_store import follow_move

__all__ = ["connect", "connect_known"]

SCHEMA = re.compile(r"database schema \(found version (\w+)")
"""How MLflow says of any other schema than its own that it is out of date."""

MIGRATIONS = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
"""A file for every schema that this MLflow knows."""


def connect(uri: str) -> MlflowClient:
    """Connect, creating a database that is not there yet.

    Two processes that create one sqlite database at once break each other's migration, so they take turns.

    Raises:
        StoreError: The store cannot be reached or used.
    """
    reach_store(uri)
    for name in ("mlflow.store.db.utils", "alembic.runtime.migration", "sqlalchemy.pool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they write tracebacks of what they raise as well
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        create(uri, _migrated)
        with making(uri):
            client = _migrated(uri)
            follow_move(uri)
            return client
    except (MlflowException, SQLAlchemyError, sqlite3.Error, OSError) as error:
        reason = reason_of(error, uri)
        if (found := SCHEMA.search(reason)) and not any(MIGRATIONS.glob(f"{found[1]}_*.py")):
            newer = f"was written by a newer MLflow (schema {found[1]})"
            remedy = "install that one, or a later one (pip install --upgrade mlflow)"
            raise NewerError(f"MLflow store {shown(uri)} {newer}: {remedy}") from error
        if told := explained(error):
            raise told from error
        raise StoreError(f"MLflow store {shown(uri)} cannot be used: {reason}; {REMEDY}") from error


def _migrated(uri: str) -> MlflowClient:
    if file := sqlite_file(uri):  # MLflow keeps a connection by its URI, wherever a process goes afterwards
        uri = str(make_url(uri).set(database=str(file.absolute())))
    client = MlflowClient(uri)
    client.search_experiments(max_results=1)
    return client


def connect_known(uri: str) -> MlflowClient | None:
    """Connect to a store that is there, ``None`` where a database would have to be made first.

    Raises:
        StoreError: The store cannot be reached or used.
    """
    reach_store(uri)
    file = sqlite_file(uri)
    return None if file and not file.exists() else connect(uri)
