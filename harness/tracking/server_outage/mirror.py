"""What a server will say of a study's runs once it has all that was told to it; answers without asking."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from harness.tracking.schema import Tags
from harness.tracking.server_outage.journal import Record
from harness.tracking.store_protocols import Run

__all__ = ["Mirror"]


class Mirror:
    """Runs as the server had them, and what this process told it since.

    Of what the server had, the steps of points are not known: a later process says of a run what comes after them.

    Args:
        runs: As the server has them, oldest first, in our own ids.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self.runs = {run.id: run for run in runs}
        """By id, oldest first."""
        self._points: dict[tuple[str, str], tuple[int, int, float]] = {}

    def heed(self, record: Record) -> None:
        """Hear what the server is being told."""
        content = record.content
        if record.kind == "start":
            self.runs[record.run] = _started(record.run, content)
        elif record.kind == "log":
            self._log(self.runs[record.run], content)
        elif record.kind == "update":
            self.runs[record.run] = _updated(self.runs[record.run], content)

    def _log(self, run: Run, content: Mapping[str, Any]) -> None:
        metrics = dict(run.metrics)
        for key, value, step, time in content.get("metrics", ()):
            point = (step, time, value)
            if point >= self._points.get((run.id, key), point):  # MLflow's order of what is the last one
                self._points[run.id, key], metrics[key] = point, value
        params = {**content.get("params", {}), **run.params}
        tags = {**run.tags, **content.get("tags", {})}
        self.runs[run.id] = replace(run, params=params, tags=tags, metrics=metrics, parent=tags.get(Tags.PARENT))


def _started(run: str, content: Mapping[str, Any]) -> Run:
    return Run(
        id=run,
        name=content["name"],
        status="RUNNING",
        parent=content["tags"].get(Tags.PARENT),
        params={},
        tags=content["tags"],
        metrics={},
        started=content["time"] / 1000,
        seconds=float("nan"),
    )


def _updated(run: Run, content: Mapping[str, Any]) -> Run:
    seconds = content["time"] / 1000 - run.started if "time" in content else run.seconds
    return replace(run, name=content.get("name", run.name), status=content.get("status", run.status), seconds=seconds)
