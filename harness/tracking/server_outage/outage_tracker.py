"""A study on a tracking server: written through a journal, read from a mirror, so that training never waits.

What is written is in the journal when the call returns, and a thread brings it to the server. What this process can
know is answered without asking. Whatever needs the server waits until it has all records, and until it answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from mlflow import MlflowClient

from harness.tracking.mlflow.mlflow_tracker import MlflowTracker
from harness.tracking.schema import Phase, Tags
from harness.tracking.server_outage.delivery import Delivery
from harness.tracking.server_outage.journal import Record, unbroken
from harness.tracking.store_protocols import Kind
from harness.tracking.stored_run import Run

__all__ = ["OutageTracker"]


class OutageTracker(MlflowTracker):
    """A tracker that a server may leave alone for a while.

    A run that this process starts has an id of our own at once; the server's takes its place on the way out, and
    gives way to it on the way in.
    """

    def __init__(self, client: MlflowClient, uri: str, experiment: str, delivery: Delivery) -> None:
        super().__init__(client, uri, experiment, delivery)
        self._delivery = delivery
        self._mirror: _Mirror | None = None

    def close(self, *, seconds: float | None = None) -> bool:
        """Wait until the server has all records, and let go; return whether it does. See `Delivery.close`."""
        return self._delivery.close(seconds=seconds)

    def runs(self, *, phase: Phase | None = None, removed: bool = False) -> list[Run]:
        """Return all runs of the study or of a phase; only those that were deleted are asked for."""
        if removed:
            return super().runs(phase=phase, removed=True)
        return [run for run in self._mirrored().runs.values() if phase in (None, run.phase)]

    def run(self, run: str) -> Run:
        """Return one run as it will be once the server has all records."""
        return self._mirrored().runs[run]

    def _start(self, content: Mapping[str, Any]) -> str:
        run = self.link.new()
        self._write(run, "start", content)
        return run

    def _write(self, run: str, kind: Kind, content: Mapping[str, Any], *, lasting: bool = False) -> None:
        with unbroken():
            record = self._delivery.journal.add(run, kind, content, lasting=lasting)
            if self._mirror:
                self._mirror.heed(record)
        self._delivery.announce()

    def _mirrored(self) -> _Mirror:
        if self._mirror is None:
            self._mirror = _Mirror(super().runs())
        return self._mirror


class _Mirror:
    """What a server will say of a study's runs once it has all that was told to it; answers without asking.

    Of what the server had, the steps of points are not known: a later process says of a run what comes after them.
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
