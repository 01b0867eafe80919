"""Where a run writes, and what it connects with, tried before there is anything to lose; nothing is left behind.

What only MLflow can tell of its store is asked by a run, before it trains; see ``docs/decisions/tried-first.md``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile, gettempdir

from harness.core.database_urls import reach, shown, sqlite_file
from harness.core.environment_names import resolved
from harness.core.errors import StoreError
from harness.core.failures import explained
from harness.core.workspace import Workspace
from harness.study.problems import Problems
from harness.study.spec import StudySpec
from harness.tracking.address import DATABRICKS, FOREIGN, REMEDY, StudyAddress, is_server

__all__ = ["PROBE", "STORAGE_REMEDY", "nearest_folder", "try_folder", "try_places"]

STORAGE_REMEDY = "check the URL and its server; the default is sqlite:///optuna.db"

PROBE = 2**20
"""Bytes that a folder must have room for: what the stores and the report of a small study take."""

PATIENCE = 5
"""Seconds that a tracking server may take to answer."""


def try_places(study: StudySpec, workspace: Workspace | None, problems: Problems) -> None:
    """Note what a run in a workspace, if it is to be run, could not write to, and stores that do not answer."""
    if workspace is None:
        return
    tracking = ["tracking", "uri"] if study.tracking.uri else []
    storage = resolved(study.search.storage, "search.storage")
    tried = set[Path]()
    for folder, keys in _folders(study, workspace, problems.file.address.store, storage):
        with problems.at(*keys):
            if (there := nearest_folder(folder or _temporary())) not in tried:
                tried.add(there)
                try_folder(there)
    for file in (workspace.database_lock, workspace.study_lock(study.name)):
        with problems.at():
            _try_file(file)
    with problems.at(*tracking):
        _try_tracking(problems.file.address)
    with problems.at("search", "storage"):
        _refuse_one_database(problems.file.address.store, storage)
        _try_database("search.storage", storage, STORAGE_REMEDY)


def _folders(
    study: StudySpec, workspace: Workspace, store: str, storage: str
) -> Iterator[tuple[Path | None, list[str]]]:
    """Yield the folders that a run writes to, with the key that names each; ``None`` is that of temporary files."""
    yield None, []
    for folder in (workspace.study(study.name), workspace.recordings, workspace.report(study.name) / "figures"):
        yield folder, []
    tracking = ["tracking", "uri"] if study.tracking.uri else []
    if is_server(store):
        yield workspace.journals, tracking
    elif "://" in store and not store.startswith(FOREIGN):
        yield workspace.run_files, tracking
    for uri, keys in ((store, tracking), (storage, ["search", "storage"])):
        if file := sqlite_file(uri):
            yield file.parent, keys


def _temporary() -> Path:
    try:
        return Path(gettempdir())
    except FileNotFoundError as error:  # none of several can be written to
        raise StoreError(f"{error.strerror}; free some space, or name a folder in TMPDIR") from error


def _try_tracking(address: StudyAddress) -> None:
    uri = address.store
    if uri.startswith(DATABRICKS) and not address.experiment.startswith("/"):
        raise StoreError(
            f"experiment {address.experiment!r} cannot be on Databricks, where one is a path; "
            "set tracking.experiment: /Users/.../name"
        )
    if is_server(uri):
        _ask(uri)
    elif "://" in uri and not uri.startswith(FOREIGN):
        _try_database("MLflow store", uri, REMEDY)


def _refuse_one_database(store: str, storage: str) -> None:
    """Refuse one database for both libraries: each keeps its version in a table of the same name."""
    files = sqlite_file(store), sqlite_file(storage)
    alike = files[0].absolute() == files[1].absolute() if files[0] and files[1] else store == storage
    if alike:
        raise StoreError(
            f"search.storage {shown(storage)} is MLflow's store too, and either library would take the other's tables "
            "for its own; name another database"
        )


def nearest_folder(folder: Path) -> Path:
    """Return a folder, or where it is not there yet the nearest above it that is.

    Raises:
        StoreError: What is there is no folder.
    """
    there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(parent))
    if not there.is_dir():
        raise StoreError(f"{there} is no folder, and a run writes there; move it away")
    return there


def try_folder(folder: Path) -> None:
    """See that a folder can be written to, with a file without a name.

    Raises:
        StoreError: Nothing can be written there, and why.
    """
    try:
        with TemporaryFile(dir=folder) as probe:
            probe.write(bytes(PROBE))
    except OSError as error:
        raise StoreError(str(explained(OSError(error.errno, error.strerror, str(folder))))) from error


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
        _try_file(file)


def _ask(uri: str) -> None:
    """See that a tracking server answers anything; what it says, MLflow understands, which is not loaded here."""
    import ssl
    from http.client import HTTPException
    from urllib.error import HTTPError, URLError
    from urllib.request import urlopen

    scheme, _, rest = uri.partition("://")
    host, slash, path = rest.partition("/")
    place = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}".rstrip("/")
    try:
        urlopen(f"{place}/health", timeout=PATIENCE).close()
    except HTTPError as refusal:
        refusal.close()
    except (OSError, ValueError, HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if not isinstance(reason, ssl.SSLError):  # MLflow may have been told to take such a certificate
            raise StoreError(f"MLflow store {shown(uri)} cannot be reached: {reason}; {REMEDY}") from error
