"""A model that a study stored, by any of its names."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.core.errors import ModelError
from harness.core.named_path import named_path
from harness.core.passwords import masked
from harness.study.find_study import find_study
from harness.tracking.address import StudyAddress, store_uri
from harness.tracking.mlflow.connect import connect_known
from harness.tracking.mlflow.logged_models import fetch_model
from harness.tracking.mlflow.mlflow_tracker import find_run
from harness.tracking.study_record import KeptModels, summary_of

__all__ = ["stored_model"]

RUN = re.compile(r"[0-9a-f]{8,32}")
"""A run's id, or its first eight digits or more."""

NAMES = "models:/name@champion, models:/m-..., a run's id, a study's name, or a folder"


@contextmanager
def stored_model(name: str | StudyAddress) -> Iterator[Path]:
    """Yield the local folder of a model; one that had to be downloaded is gone afterwards.

    Args:
        name: ``models:/name@champion``, ``models:/name/3`` or ``models:/m-...``; the id of a final run; a study's name
            or file, or its address, for its best model; or a folder that holds one.

    Raises:
        ModelError: There is no such model.
        StoreError: The store cannot be reached.
    """
    folder = named_path(name) if isinstance(name, str) else None
    if folder and ((folder / "harness.json").is_file() or (folder / "MLmodel").is_file()):
        yield folder
        return
    uri, store = _of_study(name) if isinstance(name, StudyAddress) else _named(name)
    client = connect_known(store) if uri else None
    if uri is None or client is None:
        named = name if isinstance(name, str) else name.study
        raise ModelError(f"no model {named!r} here or in store {masked(store, store)}; name it as {NAMES}")
    with tempfile.TemporaryDirectory() as scratch:
        yield fetch_model(client, uri, Path(scratch))


def _named(name: str) -> tuple[str | None, str]:
    return (name, store_uri()) if name.startswith("models:/") else _of_run(name) or _of_study(name)


def _of_run(name: str) -> tuple[str, str] | None:
    """Return the URI of the model that a run made, and its store."""
    found = find_run(name, store_uri()) if RUN.fullmatch(name) else []
    if not found:
        return None
    if len(found) > 1:
        raise ModelError(f"{len(found)} runs have an id that begins with {name}; give more of it")
    ((study, tracker, run),) = found
    uri = tracker.models.stored().get(run.id)
    if uri is None:
        raise ModelError(f"run {run.name} of study {study} keeps no model; final.models: cells keeps one for each cell")
    return uri, tracker.uri


def _of_study(name: str | StudyAddress) -> tuple[str | None, str]:
    """Return the URI of a study's best model, ``None`` where there is no such study, and the store."""
    study, store, tracker = find_study(name)
    if tracker is None:
        return None, store
    summary = summary_of(tracker.runs(phase="summary"))
    kept = KeptModels.from_run(summary) if summary else None
    if kept and kept.model:
        return kept.model, store
    if kept and kept.reason and kept.run is None:
        raise ModelError(f"study {study} offers no model: {kept.reason}; its report says why")
    raise ModelError(f"study {study} keeps no model; it needs final.seeds, and final.models: best or cells")
