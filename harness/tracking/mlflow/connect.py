"""A client on the store of this process, whose database is made where there is none."""

from __future__ import annotations

import logging
import os

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from harness.core.database_urls import create, making, sqlite_file
from harness.core.errors import StoreError
from harness.core.failures import explained
from harness.tracking.address import REMEDY, store_uri
from harness.tracking.mlflow.http import reach_store

__all__ = ["connect", "connect_known"]


def connect(uri: str) -> MlflowClient:
    """Connect, creating a database that is not there yet.

    Two processes that create one sqlite database at once break each other's migration, so they take turns.

    Raises:
        StoreError: The store cannot be reached or used.
    """
    reach_store()
    for name in ("mlflow.store.db.utils", "alembic.runtime.migration", "sqlalchemy.pool"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # they write tracebacks of what they raise as well
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        create(uri, _migrated)
        with making(uri):
            return _migrated(uri)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        if told := explained(error):
            raise told from error
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StoreError(f"MLflow store {uri!r} cannot be used: {reason}; {REMEDY}") from error


def _migrated(uri: str) -> MlflowClient:
    client = MlflowClient(uri)
    client.search_experiments(max_results=1)
    return client


def connect_known() -> MlflowClient | None:
    """Connect to a store that is there, ``None`` where a database would have to be made first.

    Raises:
        StoreError: The store cannot be reached or used.
    """
    uri = store_uri()
    reach_store()
    file = sqlite_file(uri)
    return None if file and not file.exists() else connect(uri)
