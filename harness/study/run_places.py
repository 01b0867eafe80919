"""Where a run writes, and what it connects with, tried before there is anything to lose; nothing is left behind.

What only MLflow can tell of its store is asked by a run, before it trains; see ``docs/decisions/tried-first.md``.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

from harness.core.database_urls import reach, sqlite_file
from harness.core.environment_names import resolved
from harness.core.errors import StoreError
from harness.core.workspace import Workspace
from harness.study.problems import Problems
from harness.study.spec import StudySpec
from harness.tracking.address import DATABRICKS, DEFAULT_ARTIFACTS, FOREIGN, REMEDY, StudyAddress, is_server

__all__ = ["STORAGE_REMEDY", "try_folder", "try_places"]

STORAGE_REMEDY = "check the URL and its server; the default is sqlite:///optuna.db"

PROBE = 2**20
"""Bytes that a folder must have room for: what the stores and the report of a small study take."""

PATIENCE = 5
"""Seconds that a tracking server may take to answer."""


def try_places(study: StudySpec, workspace: Workspace | None, problems: Problems) -> None:
    """Note what a run in a workspace, if it is to be run, could not write to, and stores that do not answer."""
    if workspace is None:
        return
    with problems.at():
        try_folder(_temporary())
    for folder in (workspace.study(study.name), workspace.recordings, workspace.report(study.name) / "figures"):
        with problems.at():
            try_folder(folder)
    for file in (workspace.database_lock, workspace.study_lock(study.name)):
        with problems.at():
            _try_file(file)
    with problems.at(*(["tracking", "uri"] if study.tracking.uri else [])):
        _try_tracking(problems.file.address, workspace)
    with problems.at("search", "storage"):
        _try_database("search.storage", resolved(study.search.storage, "search.storage"), STORAGE_REMEDY)


def _temporary() -> Path:
    try:
        return Path(gettempdir())
    except FileNotFoundError as error:  # none of several can be written to
        raise StoreError(f"{error.strerror}; free some space, or name a folder in TMPDIR") from error


def _try_tracking(address: StudyAddress, workspace: Workspace) -> None:
    uri = address.store
    if uri.startswith(DATABRICKS) and not address.experiment.startswith("/"):
        raise StoreError(
            f"experiment {address.experiment!r} cannot be on Databricks, where one is a path; "
            "set tracking.experiment: /Users/.../name"
        )
    if is_server(uri):
        try_folder(workspace.journals)
        _ask(uri)
    elif "://" in uri and not uri.startswith(FOREIGN):
        try_folder(Path(DEFAULT_ARTIFACTS))
        _try_database("MLflow store", uri, REMEDY)


def try_folder(folder: Path) -> None:
    """See that a folder can be written to, or made: the nearest one that is there gets a file without a name.

    Raises:
        StoreError: Nothing can be written there.
    """
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(parent))
    if not there.is_dir():
        raise StoreError(f"{there} is no folder, and a run writes there; move it away")
    try:
        with TemporaryFile(dir=there) as probe:
            probe.write(bytes(PROBE))
    except OSError as error:
        remedy = "change its permissions, free some space, or run the study in another folder"
        raise StoreError(f"folder {there} cannot be written to: {error.strerror}; {remedy}") from error


def _try_file(file: Path) -> None:
    """See that a file which is there can be written to; its content stays."""
    try:
        if os.path.lexists(file):
            file.open("r+b").close()
    except OSError as error:
        raise StoreError(f"{file.absolute()} cannot be written to: {error.strerror}; change or move it") from error


def _try_database(what: str, uri: str, remedy: str) -> None:
    reach(what, uri, remedy=remedy)
    if file := sqlite_file(uri):
        try_folder(file.parent)
        _try_file(file)


def _ask(uri: str) -> None:
    """See that a tracking server answers anything; what it says, MLflow understands, which is not loaded here."""
    import ssl
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    scheme, _, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    store = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}".rstrip("/")
    try:
        urlopen(f"{store}/health", timeout=PATIENCE).close()
    except HTTPError as refusal:
        refusal.close()
    except (OSError, ValueError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if not isinstance(reason, ssl.SSLError):  # MLflow may have been told to take such a certificate
            raise StoreError(f"MLflow store {store!r} cannot be reached: {reason}; {REMEDY}") from error
