"""Where the store of this process is, and whether it answers."""

from __future__ import annotations

import os

from harness.stores import reach

__all__ = ["DEFAULT_STORE", "REMEDY", "is_server", "reach_store", "store_uri"]

DEFAULT_STORE = "sqlite:///mlflow.db"
REMEDY = "check MLFLOW_TRACKING_URI; left out, the store is mlflow.db in the current folder"
FOREIGN = ("file:", "databricks", "uc:")
"""Stores that only MLflow itself can ask."""


def store_uri() -> str:
    """Return the store of this process: ``MLFLOW_TRACKING_URI``, else MLflow's own default."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def is_server(uri: str) -> bool:
    """Return whether a store is a tracking server, behind a network."""
    return uri.startswith(("http://", "https://"))


def reach_store() -> None:
    """See that the store answers, without writing to it.

    Raises:
        StoreError: It does not.
    """
    uri = store_uri()
    if is_server(uri):
        from harness.tracking.server import reach_server  # MLflow, which knows its own ways to authenticate

        reach_server(uri)
    elif "://" in uri and not uri.startswith(FOREIGN):
        reach("MLflow store", uri, remedy=REMEDY)
