"""A study's runs on a tracking server: written through a journal, read from an image, so that training never waits.

What is written is in the journal when the call returns, and a thread brings it to the server. What this process can
know is answered without asking. Whatever needs the server waits until it has all records, and until it answers.
"""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
from mlflow import MlflowClient

from harness.core.errors import StoreAway
from harness.data.tokenization import PromptForm
from harness.tracking.mlflow.http import ask
from harness.tracking.mlflow.mlflow_tracker import PARAM_LIMIT, MlflowTracker
from harness.tracking.run_ids import renamed_values
from harness.tracking.server_outage.journal import Journal, Kind
from harness.tracking.server_outage.late_registry import RemoteRegistry
from harness.tracking.server_outage.mirror import Image
from harness.tracking.server_outage.sender import ENTRIES, TOTAL, Sender
from harness.tracking.signals import unbroken
from harness.tracking.store_protocols import PARENT, DataUse, ModelCard, Phase, Registered, Run, Status

__all__ = ["OutageTracker"]

TABLES = "mlflow.loggedArtifacts"
"""The tag by which MLflow's pages know which artifacts are tables."""

Answer = TypeVar("Answer")
Item = TypeVar("Item")


class OutageTracker(MlflowTracker):
    """One study's runs on a tracking server.

    A run that this process starts has an id of our own at once; the server's takes its place on the way out, and
    gives way to it on the way in.

    Args:
        client: The server's, for reading.
        uri: The server.
        experiment: The id of the study's experiment.
        journal: Where records wait; what earlier processes left is sent first.
        sender: Of this journal.
        tell: Says a line to the user.
    """

    def __init__(
        self,
        client: MlflowClient,
        uri: str,
        experiment: str,
        *,
        journal: Journal,
        sender: Sender,
        tell: Callable[[str], None],
    ) -> None:
        super().__init__(client, uri, experiment)
        self._journal, self._sender, self._tell = journal, sender, tell
        self._cached: Image | None = None
        self._started: set[str] = set()
        self._away = self._raised = False

    def close(self, *, seconds: float | None = None) -> bool:
        """Wait until the server has all records, and let go; return whether it does.

        Args:
            seconds: Wait no longer; what is left then waits for the next command.

        Raises:
            StoreError: The server refuses a record for good, and nobody has heard of it yet.
        """
        try:
            heard = self._raised or seconds is not None
            return (not self._sender.failure or not heard) and self._sender.drain(self._excuse, seconds=seconds)
        finally:
            self._sender.close()
            if len(self._journal):
                self._tell(f"{len(self._journal)} records wait in {self._journal.file}; the same command delivers them")
            self._journal.close()

    def runs(self, *, removed: bool = False) -> list[Run]:
        """Return all runs of the study, oldest first; or those that were deleted and that the store still knows."""
        if removed:
            deleted = super().runs
            return Image(self._ask(lambda: deleted(removed=True)), self._own()).runs()
        return self._image().runs()

    def run(self, run: str) -> Run:
        """Return one run as it is now."""
        return self._image().run(run)

    def histories(self, runs: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, dict[int, float]]]:
        """Return metrics by run, by name, by step; of a step that was recorded twice, the later value."""
        histories, own = super().histories, self._own()
        found = self._ask(lambda: histories([self._id(run) for run in runs], names))
        return {own.get(run, run): history for run, history in found.items()}

    def start(
        self, name: str, *, phase: Phase, parent: str | None, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        """Start a run and return its id, before the server has heard of it."""
        run, above = uuid.uuid4().hex, {PARENT: parent} if parent else {}
        self._started.add(run)
        self._write(run, "start", {"name": name, "tags": {**tags, "phase": phase, **above}, "time": _now()})
        self.params(run, params)
        return run

    def reopen(self, run: str) -> None:
        """Mark an ended run as running again."""
        self._write(run, "update", {"status": "RUNNING"})

    def mark(self, run: str, *, phase: Phase, name: str) -> None:
        """Give a run another phase and name."""
        self.tags(run, {"phase": phase})
        self._write(run, "update", {"name": name})

    def adopt(self, run: str, parent: str) -> None:
        """Move a run below another parent."""
        self.tags(run, {PARENT: parent})

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
        tables, own = json.loads(self.run(run).tags.get(TABLES, "[]")), {"path": file, "type": "table"}
        if own not in tables:
            self.tags(run, {TABLES: json.dumps([*tables, own])})

    def files(self, run: str, folder: Path, into: str) -> None:
        """Store all files of a folder as artifacts."""
        store = super().files
        self._ask(lambda: store(self._id(run), folder, into))

    def fetch(self, run: str, file: str) -> str:
        """Return a text artifact."""
        fetch = super().fetch
        return self._ask(lambda: fetch(self._id(run), file))

    def shown(self, run: str) -> str:
        """Return the id by which the store's pages know a run."""
        return self._ask(lambda: self._id(run))

    def label(self, values: Mapping[str, str]) -> None:
        """Set tags of the study as a whole."""
        label = super().label
        self._ask(lambda: label(renamed_values(values, self._journal.names)))

    def register(self, prompt: PromptForm, *, task: str, study: str) -> Registered:
        """Return the version that holds a prompt's text and contract, registered where there is none."""
        register = super().register
        return self._ask(lambda: register(prompt, task=task, study=study))

    def registered(self, uri: str) -> Registered:
        """Return the version that an address stands for now."""
        registered = super().registered
        return self._ask(lambda: registered(uri))

    def alias(self, prompt: Registered, alias: str) -> None:
        """Give a version an alias, and take it from the version that had it."""
        give = super().alias
        self._ask(lambda: give(prompt, alias))

    def models(self) -> dict[str, str]:
        """Return the stored models: run id to model URI; one that a kill left unfinished is none."""
        found, own = self._ask(super().models), self._own()
        return {own.get(run, run): uri for run, uri in found.items()}

    def model(self, run: str, folder: Path, card: ModelCard) -> str:
        """Store a model that generates text, made by a run, from its files; its scores are the run's."""
        store = super().model
        return self._ask(
            lambda: store(self._id(run), folder, card._replace(tags=renamed_values(card.tags, self._journal.names)))
        )

    @property
    def model_registry(self) -> RemoteRegistry:
        """The registered models of the store, whatever study they came from."""
        return RemoteRegistry(super().model_registry, ask=self._ask, names=self._journal.names, own=self._own)

    def drop_model(self, uri: str) -> int:
        """Remove a stored model; return the bytes freed."""
        drop = super().drop_model
        return self._ask(lambda: drop(uri))

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
            record = self._journal.add(run, kind, content, lasting=lasting)
            if self._cached:
                self._cached.heed(record)
        self._sender.wake()
        self._notice()

    def _notice(self) -> None:
        """Raise what the sender met, and say when the server goes away and comes back; once each."""
        if self._sender.failure and not self._raised:
            self._raised = True
            raise self._sender.failure
        trouble = self._sender.trouble
        if self._away != bool(trouble):
            self._away = bool(trouble)
            self._tell(
                f"store {self.uri} does not answer: {trouble.reason}; records wait in {self._journal.file}"
                if trouble
                else f"store {self.uri} answers again"
            )

    def _excuse(self, trouble: StoreAway) -> None:
        """Say why something takes longer."""
        waiting = f"{len(self._journal)} records wait in {self._journal.file}"
        hint = "Ctrl-C is safe, the same command goes on"
        self._tell(f"store {self.uri} does not answer: {trouble.reason}; {waiting}; {hint}")
        self._away = True

    def _ask(self, question: Callable[[], Answer]) -> Answer:
        """Return the answer of a server that has all records."""
        self._sender.drain(self._excuse)
        return ask(self.uri, question, self._excuse)

    def _image(self) -> Image:
        if self._cached is None:
            self._cached = Image(self._ask(super().runs), self._own())
        return self._cached

    def _id(self, run: str) -> str:
        """Return the server's id of a run; it has one once all records are there."""
        return self._journal.names.get(run, run)

    def _own(self) -> dict[str, str]:
        """Return the server's ids to our own, of runs that this process started; nobody else calls any so."""
        return {server: own for own, server in self._journal.names.items() if own in self._started}


def _now() -> int:
    """Return milliseconds since 1970."""
    return int(time.time() * 1000)


def _parts(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield items in lists of so many; none where there are none."""
    everything = list(items)
    for start in range(0, len(everything), size):
        yield everything[start : start + size]
