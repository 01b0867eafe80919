"""A study on a tracking server: written through a journal, read from a mirror, so that training never waits.

What is written is in the journal when the call returns, and a thread brings it to the server. What this process can
know is answered without asking. Whatever needs the server waits until it has all records, and until it answers.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from harness.tracking.mlflow.mlflow_tracker import PARAM_LIMIT
from harness.tracking.run_ids import RunIds
from harness.tracking.schema import Tags
from harness.tracking.server_outage.delivery import Delivery
from harness.tracking.server_outage.journal import Kind
from harness.tracking.server_outage.late_stores import LateModels, LatePages, LatePrompts
from harness.tracking.server_outage.mirror import Mirror
from harness.tracking.server_outage.sender import ENTRIES, TOTAL
from harness.tracking.signals import unbroken
from harness.tracking.store_protocols import DataUse, Phase, Run, Status, Tracker

__all__ = ["OutageTracker"]

Item = TypeVar("Item")


class OutageTracker:
    """See `harness.tracking.store_protocols.Tracker`.

    A run that this process starts has an id of our own at once; the server's takes its place on the way out, and
    gives way to it on the way in.

    Args:
        server: The study on the server, for reading; in its own ids.
        delivery: Of the study's journal.
    """

    def __init__(self, server: Tracker, delivery: Delivery) -> None:
        self._server, self._delivery, self._ask = server, delivery, delivery.ask
        self._ids = RunIds(delivery.journal.names)
        self._mirror: Mirror | None = None
        self.prompts = LatePrompts(server.prompts, delivery)
        self.models = LateModels(server.models, delivery, self._ids)
        self.pages = LatePages(server.pages, delivery, self._ids)

    def close(self, *, seconds: float | None = None) -> bool:
        """Wait until the server has all records, and let go; return whether it does. See `Delivery.close`."""
        return self._delivery.close(seconds=seconds)

    def runs(self, *, removed: bool = False) -> list[Run]:
        """Return all runs of the study, oldest first; or those that were deleted and that the store still knows."""
        if removed:
            return self._ids.to_own(self._ask(lambda: self._server.runs(removed=True)))
        return self._mirrored().runs()

    def run(self, run: str) -> Run:
        """Return one run as it is now."""
        return self._mirrored().run(run)

    def histories(self, runs: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, dict[int, float]]]:
        """Return metrics by run, by name, by step; of a step that was recorded twice, the later value."""
        histories = self._ask(lambda: self._server.histories([self._ids.server(run) for run in runs], names))
        return {run: histories[self._ids.server(run)] for run in runs}

    def start(
        self, name: str, *, phase: Phase, parent: str | None, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        """Start a run and return its id, before the server has heard of it."""
        run, above = self._ids.new(), {Tags.PARENT: parent} if parent else {}
        self._write(run, "start", {"name": name, "tags": {**tags, Tags.PHASE: phase, **above}, "time": _now()})
        self.params(run, params)
        return run

    def reopen(self, run: str) -> None:
        """Mark an ended run as running again."""
        self._write(run, "update", {"status": "RUNNING"})

    def mark(self, run: str, *, phase: Phase, name: str) -> None:
        """Give a run another phase and name."""
        self.tags(run, {Tags.PHASE: phase})
        self._write(run, "update", {"name": name})

    def adopt(self, run: str, parent: str) -> None:
        """Move a run below another parent."""
        self.tags(run, {Tags.PARENT: parent})

    def params(self, run: str, values: Mapping[str, Any]) -> None:
        """Record params; a param that is there keeps its value for good."""
        for part in _parts(values.items(), ENTRIES):
            self._write(run, "log", {"params": {key: str(value)[:PARAM_LIMIT] for key, value in part}})

    def tags(self, run: str, values: Mapping[str, str]) -> None:
        """Set tags."""
        for part in _parts(values.items(), ENTRIES):
            self._write(run, "log", {"tags": dict(part)})

    def metrics(self, run: str, values: Mapping[str, float], step: int = 0) -> None:
        """Record metrics at a step; what is no number (an undefined score) is left out."""
        now = _now()
        points = [[key, float(value), step, now] for key, value in values.items() if not math.isnan(value)]
        for part in _parts(points, TOTAL):
            self._write(run, "log", {"metrics": part})

    def inputs(self, run: str, used: Sequence[DataUse]) -> None:
        """Record which data a run read."""
        self._write(run, "inputs", {"used": [one._asdict() for one in used]})

    def text(self, run: str, text: str, file: str) -> None:
        """Store a text as an artifact."""
        self._write(run, "text", {"text": text, "file": file})

    def table(self, run: str, columns: Mapping[str, Sequence[Any]], file: str) -> None:
        """Store a table, column by column, as an artifact that the UI can show.

        MLflow's own call adds to a table that is there; this one says all of it, and so may be said twice.
        """
        frame = pd.DataFrame({name: list(values) for name, values in columns.items()})
        self.text(run, frame.to_json(orient="split", index=False, date_format="iso"), file)
        tables, own = json.loads(self.run(run).tags.get(Tags.TABLES, "[]")), {"path": file, "type": "table"}
        if own not in tables:
            self.tags(run, {Tags.TABLES: json.dumps([*tables, own])})

    def files(self, run: str, folder: Path, into: str) -> None:
        """Store all files of a folder as artifacts."""
        self._ask(lambda: self._server.files(self._ids.server(run), folder, into))

    def fetch(self, run: str, file: str) -> str:
        """Return a text artifact."""
        return self._ask(lambda: self._server.fetch(self._ids.server(run), file))

    def end(
        self,
        run: str,
        status: Status = "FINISHED",
        *,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """End a run; that is on disk when the call returns, since Optuna may be told next."""
        self.metrics(run, metrics or {})
        self.tags(run, tags or {})
        self._write(run, "update", {"status": status, "time": _now()}, lasting=True)

    def _write(self, run: str, kind: Kind, content: Mapping[str, Any], *, lasting: bool = False) -> None:
        with unbroken():
            record = self._delivery.journal.add(run, kind, content, lasting=lasting)
            if self._mirror:
                self._mirror.heed(record)
        self._delivery.announce()

    def _mirrored(self) -> Mirror:
        if self._mirror is None:
            self._mirror = Mirror(self._ids.to_own(self._ask(self._server.runs)))
        return self._mirror


def _now() -> int:
    """Return milliseconds since 1970."""
    return int(time.time() * 1000)


def _parts(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield items in lists of so many; none where there are none."""
    everything = list(items)
    for start in range(0, len(everything), size):
        yield everything[start : start + size]
