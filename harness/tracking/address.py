"""Where a study's runs are: the store that it names, else that of this process, and the experiment in it."""

from __future__ import annotations

import os
import urllib.parse
from pathlib import Path
from typing import NamedTuple

from harness.core.database_urls import with_driver
from harness.core.workspace import HERE

__all__ = [
    "DATABRICKS",
    "FOREIGN",
    "REMEDY",
    "StudyAddress",
    "address_of",
    "is_server",
    "local_folder",
    "store_uri",
]

REMEDY = "check MLFLOW_TRACKING_URI, or tracking.uri of the study; left out, it is mlflow.db here or in HARNESS_HOME"

DATABRICKS = "databricks"
"""How stores begin whose experiments are paths, such as ``/Users/me/x``."""

FOREIGN = ("file:", DATABRICKS, "uc:")
"""Stores that only MLflow itself can ask."""


class StudyAddress(NamedTuple):
    """Where the runs of a study are."""

    study: str
    """Its name."""
    experiment: str
    """MLflow's, which may be a path."""
    store: str


def store_uri(named: str | None = None) -> str:
    """Return the store that a study names, else that of this process: ``MLFLOW_TRACKING_URI``, else the workspace's.

    Raises:
        StoreError: It is a database whose driver is not installed.
    """
    return with_driver(named or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{HERE.runs_database}")


def local_folder(location: str) -> Path | None:
    """Return a folder on this machine, given MLflow's address of it; ``None`` where it is on a server.

    As MLflow reads them: escapes such as ``%20`` hold in a bare path as well, ``#`` and ``?`` are part of it.
    """
    from urllib.request import url2pathname  # with all of HTTP, which `check` does without

    if location.startswith("file:"):
        location = urllib.parse.urlparse(location).path
    elif urllib.parse.urlparse(location).scheme:
        return None
    return Path(url2pathname(location))


def address_of(folder: Path) -> str:
    """Return MLflow's address of a folder on this machine, which `local_folder` takes back."""
    bare = str(folder.absolute())
    return bare if local_folder(bare) == folder.absolute() else folder.absolute().as_uri()


def is_server(uri: str) -> bool:
    """Return whether a store is a tracking server, behind a network."""
    return uri.startswith(("http://", "https://"))
