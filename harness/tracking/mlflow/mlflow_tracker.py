"""The MLflow store, by `MlflowClient` and explicit run ids; nothing here is ambient."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import ViewType

from harness.core.errors import DamagedError
from harness.core.garbage import collection_paused
from harness.tracking.address import StudyAddress, is_server
from harness.tracking.mlflow.connect import connect, connect_known
from harness.tracking.mlflow.logged_models import MlflowModels, remove_files, size_of
from harness.tracking.mlflow.mlflow_compat import origin_tags
from harness.tracking.mlflow.prompt_registry import MlflowPrompts
from harness.tracking.mlflow.read_run import measured, run_from
from harness.tracking.mlflow.run_files import Owner, holds_text, read_text, text_digest, write_folder
from harness.tracking.mlflow.study_experiments import address_by_name, existing_experiment, open_experiment, usable
from harness.tracking.mlflow.ui_views import described
from harness.tracking.mlflow.write_run import ENTRIES, TOTAL, RunWriter
from harness.tracking.schema import Tags
from harness.tracking.store_link import DIRECT, Link, asked, translate_values
from harness.tracking.store_protocols import DataUse, Kind, ModelStore, Phase, PromptRegistry, Status, StudyPages
from harness.tracking.stored_run import Run

__all__ = ["MlflowPages", "MlflowTracker", "find_experiment", "find_run", "known_address"]

PARAM_LIMIT = 6000
"""MLflow's longest param value, in characters."""

NOTHING: Mapping[str, Any] = MappingProxyType({})

RUN_ID = re.compile("[0-9a-f]{1,32}")
"""An id of a run, or how one begins."""

READERS = 8
"""What a server is asked for at a time, since a call mostly waits for its answer."""


def known_address(name: str, store: str) -> StudyAddress | None:
    """Return where a study is, by its name or by its experiment's, ``None`` where the store does not know it.

    Raises:
        StoreError: The store cannot be reached, or knows several.
    """
    client = connect_known(store)
    return address_by_name(client, name) if client else None


def find_experiment(address: StudyAddress) -> MlflowTracker | None:
    """Return the tracker of a study that was run before, ``None`` where the store does not know it.

    Raises:
        StoreError: The store cannot be reached, its experiment was deleted or is another's, or its files are elsewhere.
    """
    client = connect_known(address.store)
    experiment = existing_experiment(client, address) if client else None
    return MlflowTracker(client, address.store, experiment) if client and experiment else None


def find_run(identity: str, store: str) -> list[tuple[str, MlflowTracker, Run]]:
    """Return the runs of any study whose id begins so: the study's name, its tracker, the run.

    Raises:
        StoreError: The store cannot be reached, or files of such a study are elsewhere.
    """
    client = connect_known(store) if RUN_ID.fullmatch(identity) else None
    if client is None:
        return []
    known = {experiment.experiment_id: experiment for experiment in client.search_experiments()}
    runs = client.search_runs(list(known), filter_string=f"attributes.run_id LIKE '{identity}%'")
    owners = [(known[run.info.experiment_id], run_from(run)) for run in runs]
    return [
        (run.tags.get(Tags.STUDY, owner.name), MlflowTracker(client, store, usable(client, owner)), run)
        for owner, run in owners
    ]


class MlflowTracker:
    """A study in an MLflow store: the runs of its experiment, and see `harness.tracking.store_protocols.Tracker`.

    Args:
        client: The store's.
        uri: The store.
        experiment: The id of the study's experiment.
        link: The way to the store.
    """

    def __init__(self, client: MlflowClient, uri: str, experiment: str, link: Link = DIRECT) -> None:
        self.uri, self.link = uri, link
        self.prompts: PromptRegistry = MlflowPrompts(client, experiment, link)
        self.models: ModelStore = MlflowModels(client, experiment, link)
        self.pages: StudyPages = MlflowPages(client, experiment, link)
        self._client, self._experiment = client, experiment
        self._writer = RunWriter(client, experiment)
        self._listed: dict[str, Owner] = {}
        """Runs as they were last listed, if nothing was told of them since: to ask for each again takes long."""

    @classmethod
    def open(cls, address: StudyAddress, link: Link = DIRECT) -> MlflowTracker:
        """Open a study's experiment by a way to its store, creating both where they are missing.

        Raises:
            StoreError: The store cannot be reached, or its experiment was deleted or is another study's.
        """
        client = connect(address.store)
        return MlflowTracker(client, address.store, open_experiment(client, address), link)

    @asked
    def runs(self, *, phase: Phase | None = None, removed: bool = False) -> list[Run]:
        owners: list[Owner] = []
        token = None
        while True:
            with collection_paused():  # a page is some hundred thousand small objects of the database's
                page = self._client.search_runs(
                    [self._experiment],
                    filter_string=f"tags.{Tags.PHASE} = '{phase}'" if phase else "",
                    run_view_type=ViewType.DELETED_ONLY if removed else ViewType.ACTIVE_ONLY,
                    max_results=1000,
                    order_by=["attributes.start_time ASC"],
                    page_token=token,
                )
                owners += [Owner.of(run) for run in page]
            token = page.token
            if not token:
                break
        if not is_server(self.uri):
            self._listed |= {owner.run.id: owner for owner in owners}
        return self.link.to_own(owner.run for owner in owners)

    @asked
    def run(self, run: str) -> Run:
        return run_from(self._client.get_run(run))

    @asked
    def histories(self, runs: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, dict[int, float]]]:
        pairs = [(run, name) for run in runs for name in names]
        histories: dict[str, dict[str, dict[int, float]]] = {run: {} for run in runs}
        with ThreadPoolExecutor(READERS if is_server(self.uri) else 1) as pool:
            answers = pool.map(lambda pair: self._client.get_metric_history(self.link.server(pair[0]), pair[1]), pairs)
            for (run, name), points in zip(pairs, answers, strict=True):
                ordered = sorted(points, key=lambda point: point.timestamp)
                histories[run][name] = {point.step: measured(point.value) for point in ordered}
        return histories

    @asked
    def files(self, run: str, folder: Path, into: str) -> None:
        write_folder(self._client, self.link.server(run), folder, into)

    @asked
    def fetch(self, run: str, file: str) -> str:
        with suppress(DamagedError):  # another process may have written it meanwhile
            if run in self._listed:
                return read_text(self._listed[run], self.uri, file)
        return read_text(Owner.of(self._client.get_run(self.link.server(run))), self.uri, file)

    def size(self, run: str) -> int:
        """Return the bytes of a run's files, 0 where they are on a server."""
        return size_of(self._client.get_run(run).info.artifact_uri)

    def remove(self, run: str) -> int:
        """Delete a run and its local artifacts; return the bytes freed."""
        location = self._client.get_run(run).info.artifact_uri
        self._client.delete_run(run)  # first: a run that a kill leaves without its files would be taken for whole
        return remove_files(location, run)

    def start(
        self, name: str, *, phase: Phase, parent: str | None, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        above = {Tags.PARENT: parent} if parent else {}
        run = self._start({"name": name, "tags": {Tags.PHASE: phase, **origin_tags(), **tags, **above}, "time": _now()})
        self.params(run, params)
        return run

    def reopen(self, run: str) -> None:
        self._write(run, "update", {"status": "RUNNING"})

    def mark(self, run: str, *, phase: Phase, name: str) -> None:
        self._write(run, "update", {"name": name})  # first: without its phase the run is marked again
        self.tags(run, {Tags.PHASE: phase})

    def params(self, run: str, values: Mapping[str, Any]) -> None:
        self._log(run, params={key: str(value)[:PARAM_LIMIT] for key, value in values.items()})

    def tags(self, run: str, values: Mapping[str, str]) -> None:
        self._log(run, tags=values)

    def metrics(self, run: str, values: Mapping[str, float], step: int = 0) -> None:
        self._log(run, metrics=values, step=step)

    def inputs(self, run: str, used: Sequence[DataUse]) -> None:
        self._write(run, "inputs", {"used": [one._asdict() for one in used]})

    def text(self, run: str, text: str, file: str) -> None:
        self._text(run, text, file, {})

    def _text(self, run: str, text: str, file: str, tags: Mapping[str, str]) -> None:
        """Store a text, then what tells of it; a kill in between leaves no digest that speaks of another text."""
        tag, now = Tags.file_digest(file), text_digest(text.encode())
        held = self._listed[run].run.tags if run in self._listed else self.run(run).tags
        if {tag: now, **tags}.items() <= held.items() and holds_text(self, run, text, file):
            return
        if held.get(tag, now) != now:
            self.tags(run, {tag: ""})
        self._write(run, "text", {"text": text, "file": file})
        self.tags(run, {tag: now, **tags})

    def table(self, run: str, columns: Mapping[str, Sequence[Any]], file: str) -> None:
        # MLflow's own call adds to a table that is there; this one says all of it, and so may be said twice.
        frame = pd.DataFrame({name: list(values) for name, values in columns.items()})
        tables, own = json.loads(self.run(run).tags.get(Tags.TABLES, "[]")), {"path": file, "type": "table"}
        listed = tables if own in tables else [*tables, own]
        text = frame.to_json(orient="split", index=False, date_format="iso")
        self._text(run, text, file, {Tags.TABLES: json.dumps(listed)})

    def end(
        self,
        run: str,
        status: Status = "FINISHED",
        *,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        self._log(run, tags=tags or {}, metrics=metrics or {})
        self._write(run, "update", {"status": status, "time": _now()}, lasting=True)

    def _log(
        self,
        run: str,
        *,
        params: Mapping[str, str] = NOTHING,
        tags: Mapping[str, str] = NOTHING,
        metrics: Mapping[str, float] = NOTHING,
        step: int = 0,
    ) -> None:
        """Record params, tags and metrics, in as few batches as may be."""
        now = _now()
        points = [[key, float(value), step, now] for key, value in metrics.items() if not math.isnan(value)]
        parts = _parts(params.items(), ENTRIES), _parts(tags.items(), ENTRIES), _parts(points, TOTAL - 2 * ENTRIES)
        for some_params, some_tags, some_points in zip_longest(*parts, fillvalue=()):
            content = {"params": dict(some_params), "tags": dict(some_tags), "metrics": list(some_points)}
            self._write(run, "log", {name: part for name, part in content.items() if part})

    def _start(self, content: Mapping[str, Any]) -> str:
        if self.link is DIRECT:
            return self._writer.start(content)
        return self.link.ask(self._writer.starting(content))

    def _write(self, run: str, kind: Kind, content: Mapping[str, Any], *, lasting: bool = False) -> None:
        """Tell one thing of a run; ``lasting``: it is on disk when the call returns, since Optuna may be told next."""
        self._listed.pop(run, None)
        self.link.ask(lambda: getattr(self._writer, kind)(run, content))


class MlflowPages:
    """See `harness.tracking.store_protocols.StudyPages`; the pages read tags of the experiment."""

    def __init__(self, client: MlflowClient, experiment: str, link: Link = DIRECT) -> None:
        self.experiment, self.link = experiment, link
        self._client = client

    @asked
    def shown(self, run: str) -> str:
        return self.link.server(run)

    @asked
    def label(self, values: Mapping[str, str]) -> None:
        values = translate_values(values, self.link.servers)
        held = self._client.get_experiment(self.experiment).tags
        changed = {key: value for key, value in values.items() if key != Tags.NOTE}
        if Tags.NOTE in values:
            changed |= described(values[Tags.NOTE], held)
        for key, value in changed.items():
            if held.get(key) != value:
                self._client.set_experiment_tag(self.experiment, key, value)  # there is no call for several


def _now() -> int:
    return int(time.time() * 1000)  # milliseconds since 1970


def _parts(items: Iterable[Any], size: int) -> list[list[Any]]:
    """Return items in lists of so many; none where there are none."""
    everything = list(items)
    return [everything[start : start + size] for start in range(0, len(everything), size)]
