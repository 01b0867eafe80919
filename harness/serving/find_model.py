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
from harness.tracking.store_protocols import RunStore
from harness.tracking.study_record import KeptModels, StudyRecord, summary_of

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
        kept = _missing(study, tracker, "cells") or "final.models: cells keeps that of the middle run of each cell"
        raise ModelError(f"run {run.name} of study {study} keeps no model; {kept}")
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
    why = _missing(study, tracker, "best", "cells") or "it needs final.seeds, and final.models: best or cells"
    raise ModelError(f"study {study} keeps no model; {why}")


def _missing(study: str, tracker: RunStore, *kinds: str) -> str:
    """Return what keeps a study from having a model, where its final.models is one of some kinds; else nothing."""
    summary = summary_of(tracker.runs(phase="summary"))
    final = StudyRecord.from_run(tracker, summary).study["final"] if summary else {}
    if summary and not (final["seeds"] and final.get("models", "best") in kinds):
        return ""
    if summary and summary.status == "FINISHED" and "best" in kinds:
        return "no final run of the cell that ranks first came to its end; its report says why"
    if summary and summary.status == "FINISHED":
        return ""
    return f"study {study} is not finished: run it to its end"
