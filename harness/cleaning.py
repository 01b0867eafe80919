"""Freeing what a study no longer needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.tracking.mlflow import MlflowTracker

__all__ = ["clean_study"]


def clean_study(study: str, tracker: MlflowTracker) -> Iterator[str]:
    """Delete caches, superseded and interrupted runs, and models other than the best; yield what was freed."""
    folder = Path(".harness") / study
    freed = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    shutil.rmtree(folder, ignore_errors=True)
    yield f"caches: {_size(freed)}"
    runs = tracker.runs()
    stale = [run for run in runs if run.phase in ("superseded", "interrupted")]
    kept = {run.tags.get("best_run") for run in runs if run.phase == "summary"}
    models = {run: uri for run, uri in tracker.models().items() if run not in kept}
    freed = sum(tracker.drop_model(uri) for uri in models.values())
    yield f"models: {_size(freed)} ({len(models)} removed)"
    freed = sum(tracker.remove(run.id) for run in stale)
    yield f"superseded and interrupted runs: {_size(freed)} ({len(stale)} removed)"


def _size(size: float) -> str:
    """Return bytes for people.

    >>> _size(3 * 2**20)
    '3.0 MiB'
    """
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} bytes" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"
