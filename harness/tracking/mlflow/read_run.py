"""A run of MLflow's as one of ours, and its metrics as they were logged."""

from __future__ import annotations

import math
import sys

from mlflow.entities import Run as MlflowRun

from harness.core.errors import DamagedError
from harness.core.format_versions import refuse_newer
from harness.tracking.mlflow.hidden_tags import as_read
from harness.tracking.schema import RUN_FORMAT, Tags
from harness.tracking.stored_run import Run

__all__ = ["measured", "run_from"]


def run_from(run: MlflowRun) -> Run:
    """Return a run as the harness reads it.

    Raises:
        NewerError: A newer version of the harness wrote it, and this one might misread it.
        DamagedError: Its version is none.
    """
    version, what = run.data.tags.get(Tags.FORMAT), f"run {run.info.run_name} ({run.info.run_id})"
    try:
        refuse_newer(what, None if version is None else int(version), RUN_FORMAT)
    except ValueError as error:
        raise DamagedError(f"{what} is damaged: {error}") from error
    return Run(
        id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        parent=run.data.tags.get(Tags.PARENT),
        params=dict(run.data.params),
        tags=as_read(run.data.tags),
        metrics={name: measured(value) for name, value in run.data.metrics.items()},
        started=run.info.start_time / 1000,
        seconds=(run.info.end_time - run.info.start_time) / 1000 if run.info.end_time else math.nan,
    )


def measured(value: float) -> float:
    """Return a metric as it was logged: databases hold an infinite one as the largest number there is."""
    return math.copysign(math.inf, value) if abs(value) >= sys.float_info.max else value
