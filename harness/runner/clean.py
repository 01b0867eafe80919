"""Freeing what a study no longer needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.core.workspace import Workspace
from harness.tracking.mlflow.mlflow_tracker import MlflowTracker
from harness.tracking.study_record import KeptModels, refuse_newer_study

__all__ = ["clean_study"]

MIB = 2**20


def clean_study(study: str, tracker: MlflowTracker, workspace: Workspace) -> Iterator[str]:
    """Delete caches, superseded and interrupted runs, and models that nothing names; yield what was freed.

    What an alias of the registry names stays, with the run that made it; other versions go with their models.

    Raises:
        NewerError: A newer version wrote to the study, and may have need of any of it.
    """
    refuse_newer_study(tracker)
    folder = workspace.study(study)
    freed = _size_of(folder)
    shutil.rmtree(folder, ignore_errors=True)
    yield f"caches: {freed / MIB:.1f} MiB"
    if recorded := _size_of(workspace.recordings):
        stay = f"{recorded / MIB:.1f} MiB in {workspace.recordings}"
        yield f"recordings of frozen parts, which all studies here share, stay: {stay}"
    runs, registry = tracker.runs(), tracker.models.registry
    summaries = [KeptModels.from_run(run) for run in runs if run.phase == "summary"]
    kept = {run for models in summaries for run in (models.run, *models.runs)}
    models = {run: uri for run, uri in tracker.models.stored().items() if run not in kept}
    for run in list(models):
        versions = registry.made_by(run)
        if any(version.aliases for version in versions):
            kept.add(run)
            del models[run]
        else:
            for version in versions:
                registry.forget(version)
    freed = sum(tracker.models.drop(uri) for uri in models.values())
    yield f"models: {freed / MIB:.1f} MiB ({len(models)} removed)"
    stale = [run for run in runs if run.phase in ("superseded", "interrupted") and run.id not in kept]
    freed = sum(tracker.remove(run.id) for run in stale)
    yield f"superseded and interrupted runs: {freed / MIB:.1f} MiB ({len(stale)} removed)"


def _size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
