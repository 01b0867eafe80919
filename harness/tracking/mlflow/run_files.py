"""The files of a run: written whole where the store keeps them on this machine, and held against their digests."""

from __future__ import annotations

import hashlib
import tempfile
from functools import reduce
from pathlib import Path
from typing import NamedTuple

import requests
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from harness.core.bounded_files import OutOfBounds, read_bytes
from harness.core.errors import DamagedError, StoreError, UserError
from harness.core.whole_files import write_whole
from harness.core.workspace import inside
from harness.tracking.address import local_folder
from harness.tracking.mlflow.http import is_absent
from harness.tracking.mlflow.read_run import run_from
from harness.tracking.schema import Tags
from harness.tracking.store_protocols import RunStore
from harness.tracking.stored_run import Run, damage

__all__ = ["Owner", "holds_text", "read_text", "text_digest", "write_folder", "write_text"]


def write_text(client: MlflowClient, run: str, text: str, file: str) -> None:
    """Write a text as a file of a run; MLflow alone writes in place, and a kill would leave a part.

    Raises:
        StoreError: The store has the run's files where none of its own can be.
    """
    place = _own_folder(client, run)
    if place is None:
        client.log_text(run, text, file)
    else:
        write_whole(_file(place, file), text)


def write_folder(client: MlflowClient, run: str, folder: Path, into: str) -> None:
    """Write all files of a folder as files of a run.

    Raises:
        StoreError: As of `write_text`.
    """
    place = _own_folder(client, run)
    if place is None:
        client.log_artifacts(run, str(folder), into)
        return
    for file in folder.rglob("*"):
        if file.is_file():
            write_whole(_file(place, f"{into}/{file.relative_to(folder).as_posix()}"), file.read_bytes())


class Owner(NamedTuple):
    """A run with files."""

    run: Run
    root: str
    """The address of its files."""

    @classmethod
    def of(cls, run: MlflowRun) -> Owner:
        """Return it, as a store gave it."""
        return cls(run_from(run), run.info.artifact_uri)


def read_text(owner: Owner, uri: str, file: str) -> str:
    """Return a file of a run.

    Args:
        owner: The run.
        uri: The store.
        file: Its path among the run's files.

    Raises:
        DamagedError: It is missing, or its digest is not the one that the run holds.
    """
    try:
        content = _bytes(owner.root, file, uri)
        then, now = owner.run.tags.get(Tags.file_digest(file)), text_digest(content)
        if then and then != now:
            raise DamagedError(damage(file, owner.run, f"its digest was {then} and is {now}"))
        return content.decode()
    except UnicodeDecodeError as error:
        raise DamagedError(damage(file, owner.run, str(error))) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DamagedError(damage(file, owner.run, "it is missing")) from error
    except DamagedError:
        raise
    except (OutOfBounds, PermissionError, UserError) as error:  # the last: its name, or a link, leads elsewhere
        raise DamagedError(damage(file, owner.run, str(error))) from error


def holds_text(store: RunStore, run: str, text: str, file: str) -> bool:
    """Return whether a file of a run is there and is this text."""
    try:
        return store.fetch(run, file) == text
    except DamagedError:
        return False


def text_digest(content: bytes) -> str:
    """Return a short content hash (16 hex digits) of a file."""
    return hashlib.sha256(content).hexdigest()[:16]


def _own_folder(client: MlflowClient, run: str) -> Path | None:
    """Return a run's folder on this machine, if it has one; a database may say anything."""
    place = local_folder(client.get_run(run).info.artifact_uri)
    if place is not None and (place.parent.name, place.name) != (run, "artifacts"):
        raise StoreError(f"run {run} has its files in {place} by its store, and only {run}/artifacts is written to")
    return place


def _file(place: Path, file: str) -> Path:
    """Return a file in a run's folder, by its path in there.

    Raises:
        UserError: It would lie elsewhere.
    """
    return reduce(inside, file.split("/"), place)


def _bytes(root: str, file: str, uri: str) -> bytes:
    """Return a file by its address: asked by run, MLflow first looks for models of that run, which takes longer.

    Raises:
        FileNotFoundError: There is none.
        UserError: Its name is a path that leads elsewhere.
    """
    if place := local_folder(root):
        return read_bytes(_file(place, file))
    with tempfile.TemporaryDirectory() as folder:
        _file(Path(folder), file)
        try:
            return Path(download_artifacts(f"{root}/{file}", dst_path=folder, tracking_uri=uri)).read_bytes()
        except (MlflowException, requests.RequestException) as error:
            if is_absent(error):
                raise FileNotFoundError(f"{root}/{file}") from error
            raise
