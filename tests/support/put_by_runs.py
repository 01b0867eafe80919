"""What a study put by, and what its trials and final runs hold but for what depends on the clock and the machine."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.support.study_fixture import Place

__all__ = ["MACHINE", "checkpoints", "trials"]

TIMES = ("cost/train_seconds", "cost/validation_seconds", "cost/test_seconds", "cost/recording_seconds")
MACHINE = (*TIMES, "cost/peak_memory_mib", "cost/energy_joules", "cost/flops", "cost/flops_saved")
"""What of a run is not the same twice: recordings are proved anew when a process goes on."""


def checkpoints(place: Place, study: str = "tiny") -> list[Path]:
    while True:
        with suppress(FileNotFoundError):  # the command drops a folder while it is listed
            return sorted((place.folder / ".harness" / study / "checkpoints").rglob("[0-9]*.json"))


def trials(place: Place) -> list[tuple[Any, ...]]:
    """Return what a study's trials and final runs hold but for times."""
    kept = []
    for run in [*place.runs("search"), *place.runs("final")]:
        metrics = {name: value for name, value in run.data.metrics.items() if name not in MACHINE}
        history = {
            name: sorted(
                (point.step, point.value) for point in place.client().get_metric_history(run.info.run_id, name)
            )
            for name in metrics
        }
        kept.append((run.info.run_name, run.info.status, run.data.params, metrics, history))
    return sorted(kept, key=lambda one: one[0])
