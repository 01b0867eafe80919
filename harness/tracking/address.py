"""Where the store of this process is, and whether it answers."""

from __future__ import annotations

import os

__all__ = ["DEFAULT_STORE", "REMEDY", "is_server", "store_uri"]

DEFAULT_STORE = "sqlite:///mlflow.db"
REMEDY = "check MLFLOW_TRACKING_URI; left out, the store is mlflow.db in the current folder"


def store_uri() -> str:
    """Return the store of this process: ``MLFLOW_TRACKING_URI``, else MLflow's own default."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def is_server(uri: str) -> bool:
    """Return whether a store is a tracking server, behind a network."""
    return uri.startswith(("http://", "https://"))
