"""Finished runs whose stored predictions are damaged: retired, so that they count as missing and are done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.runner.resume.missing_runs import StudyRuns
from harness.tracking.prediction_table import is_whole
from harness.tracking.schema import Artifacts, Metrics, Tags
from harness.tracking.store_protocols import RunStore
from harness.tracking.stored_run import Run
from harness.tracking.transfer_names import asked_under, transfer_file

__all__ = ["retire_damaged"]


def retire_damaged(runs: StudyRuns, cells: Sequence[str], test_ids: Mapping[str, Sequence[str]]) -> list[str]:
    """Retire the final runs of some cells, and the reference rows, that cannot be read any more; return their names.

    Args:
        runs: The study's.
        cells: Their ids.
        test_ids: Test digests to the ids of their rows, as far as known: older runs hold no digest of their tables.
    """
    finals = [run for cell in cells for run in runs.children(cell, "final")]
    damaged = [
        run
        for run in [*finals, *runs.of_phase("reference")]
        if run.status == "FINISHED"
        and not _is_sound(runs.tracker, run, test_ids.get(run.tags.get(Tags.TEST_DIGEST, ""), ()))
    ]
    for run in damaged:
        runs.retire(run)
    return [run.name for run in damaged]


def _is_sound(tracker: RunStore, run: Run, test_ids: Sequence[str]) -> bool:
    return all(is_whole(tracker, run, split, test_ids if split.startswith("test") else ()) for split in _predicted(run))


def _predicted(run: Run) -> list[str]:
    """Return the splits whose predictions a run stored; an older run does not say, and did so with test scores."""
    splits = ("validation", "test", *map(transfer_file, asked_under(run)))
    tested = any(name.startswith(Metrics.TEST) for name in run.metrics)
    return [split for split in splits if tested or Tags.file_digest(Artifacts.predictions(split)) in run.tags]
