"""Freeing what a study no longer needs: found first, so that it can be shown, and deleted when somebody agrees."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from harness.core.whole_files import folder_size
from harness.core.workspace import Workspace
from harness.runner.only_one import only_one
from harness.runner.resume.put_by import PutBy
from harness.tracking.mlflow.mlflow_tracker import MlflowTracker
from harness.tracking.store_protocols import Version
from harness.tracking.stored_run import Run
from harness.tracking.study_record import KeptModels, refuse_newer_study

__all__ = ["MIB", "Found", "Waste", "cleaning"]


MIB = 2**20

RECORDINGS, TEXTS = "recordings", "tokenized texts"
"""What all studies of a workspace share."""


class Waste(NamedTuple):
    """One thing that may be deleted."""

    kind: str
    name: str
    size: int
    """Bytes, 0 where they are on a server."""
    delete: Callable[[], object]


class Found(NamedTuple):
    """What a study leaves."""

    waste: list[Waste]
    """In the order in which it is to be deleted."""
    stays: list[str]
    """What is not deleted though it takes room, and why, a sentence each."""


@contextmanager
def cleaning(study: str, tracker: MlflowTracker, workspace: Workspace, *, recordings: bool = False) -> Iterator[Found]:
    """Find what a study no longer needs; it cannot be run meanwhile.

    Caches, models that nothing names, superseded and interrupted runs. What an alias of the registry names stays, with
    the run that made it; other versions go with their models.

    Args:
        study: Its name.
        tracker: Its.
        workspace: Where it was run.
        recordings: Whether recordings of frozen parts and tokenized texts count, which all studies of the folder share.

    Raises:
        StoreError: The study is being run.
        NewerError: A newer version wrote to the study, and may have need of any of it.
    """
    refuse_newer_study(tracker)
    with only_one(study, tracker.uri, workspace):
        runs = tracker.runs()
        shared = {kind: list(_shared(folder, kind)) for kind, folder in _folders(workspace).items()}
        caches = list(_caches(workspace.study(study)))
        models, kept = _models(runs, tracker)
        waste = [*caches, *models, *_runs(runs, kept, tracker), *(chain(*shared.values()) if recordings else ())]
        yield Found(waste, list(_stays(runs, {} if recordings else shared, kept, workspace)))


def _folders(workspace: Workspace) -> dict[str, Path]:
    """Return what all studies of a workspace share, and where it is."""
    return {RECORDINGS: workspace.recordings, TEXTS: workspace.tokens}


def _stays(
    runs: list[Run], shared: Mapping[str, list[Waste]], kept: set[str | None], workspace: Workspace
) -> Iterator[str]:
    for kind, there in shared.items():
        if size := sum(each.size for each in there):
            what = "recordings of frozen parts" if kind == RECORDINGS else kind
            yield (
                f"{what}, which all studies here share, stay: {size / MIB:.1f} MiB in {_folders(workspace)[kind]}; "
                "--recordings deletes them, and who needs one makes it again"
            )
    if kept and not _summaries(runs):
        yield (
            f"all {len(kept)} stored models stay: the summary run, which says which of them are kept, is not there; "
            "restore it in MLflow, or let `harness run` make it again"
        )


def _summaries(runs: list[Run]) -> list[Run]:
    return [run for run in runs if run.phase == "summary"]


def _caches(folder: Path) -> Iterator[Waste]:
    """Yield the study's own folder, and before it what runs that were cut short go on from."""
    kept, size = PutBy(folder).folder, 0
    if kept.is_dir():
        size, models = folder_size(kept), any(files.models() for files in PutBy(folder).all())
        kind = f"checkpoints of interrupted runs{', and models that final runs left' if models else ''}"
        yield Waste(kind, str(kept), size, partial(shutil.rmtree, kept))
    if folder.is_dir():
        yield Waste("caches", str(folder), folder_size(folder) - size, partial(shutil.rmtree, folder))


def _models(runs: list[Run], tracker: MlflowTracker) -> tuple[list[Waste], set[str | None]]:
    """Return the models that nothing names, and the ids of the runs whose models stay."""
    summaries = map(KeptModels.from_run, _summaries(runs))
    kept = {run for models in summaries for run in (models.run, *models.runs)}
    found: list[Waste] = []
    stored, registry = tracker.models.stored(), tracker.models.registry
    if not kept:  # the summary was deleted in MLflow's pages, or is not there yet: nobody says which models are kept
        return [], {*stored}
    names = {run.id: run.name for run in [*runs, *tracker.runs(removed=True)]}
    for run, uri in stored.items():
        versions = registry.made_by(run)
        if run in kept or any(version.aliases for version in versions):
            kept.add(run)
            continue
        registered = [f"{version.name} version {version.number}" for version in versions]
        name = ", ".join([f"{uri} of {names.get(run, run)}", *registered])
        found.append(Waste("models", name, tracker.models.size(uri), partial(_drop, uri, versions, tracker)))
    return found, kept


def _drop(uri: str, versions: list[Version], tracker: MlflowTracker) -> None:
    for version in versions:
        tracker.models.registry.forget(version)
    tracker.models.drop(uri)


def _runs(runs: list[Run], kept: set[str | None], tracker: MlflowTracker) -> Iterator[Waste]:
    for run in runs:
        if run.phase in ("superseded", "interrupted") and run.id not in kept:
            name, delete = f"{run.name}, {run.id}", partial(tracker.remove, run.id)
            yield Waste("superseded and interrupted runs", name, tracker.size(run.id), delete)


def _shared(folder: Path, kind: str) -> Iterator[Waste]:
    """Yield what is finished; what another process is writing stays, and what it reads it can read on."""
    for each in sorted(folder.glob("[!.]*")):
        if each.is_dir() and not each.is_symlink():
            yield Waste(kind, str(each), folder_size(each), partial(shutil.rmtree, each, ignore_errors=True))
