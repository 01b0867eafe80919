"""Where the store of this process is, and whether it answers."""

from __future__ import annotations

import os
import urllib.parse
import urllib.request
from pathlib import Path

__all__ = ["DEFAULT_STORE", "REMEDY", "is_server", "local_folder", "store_uri"]

DEFAULT_STORE = "sqlite:///mlflow.db"
REMEDY = "check MLFLOW_TRACKING_URI; left out, the store is mlflow.db in the current folder"


def store_uri() -> str:
    """Return the store of this process: ``MLFLOW_TRACKING_URI``, else MLflow's own default."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def local_folder(location: str) -> Path | None:
    """Return a folder on this machine, given MLflow's address of it; ``None`` where it is on a server."""
    parts = urllib.parse.urlparse(location)
    return Path(urllib.request.url2pathname(parts.path)) if parts.scheme in ("", "file") else None


def is_server(uri: str) -> bool:
    """Return whether a store is a tracking server, behind a network."""
    return uri.startswith(("http://", "https://"))
