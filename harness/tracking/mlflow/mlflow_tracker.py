"""The MLflow store, by `MlflowClient` and explicit run ids; nothing here is ambient."""

from __future__ import annotations

import math
import shutil
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel, LoggedModelStatus, Metric, Param, RunTag, ViewType
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

from harness.core.errors import StoreError
from harness.data.tokenization import PromptForm
from harness.tracking.address import store_uri
from harness.tracking.mlflow.connect import connect, connect_known
from harness.tracking.mlflow.dataset_inputs import log_inputs
from harness.tracking.mlflow.experiment_tags import label
from harness.tracking.mlflow.logged_models import store_model
from harness.tracking.mlflow.metric_history import measured, read_histories
from harness.tracking.mlflow.model_registry import Registry
from harness.tracking.mlflow.prompt_registry import find_prompt, register_prompt
from harness.tracking.store_protocols import PARENT, DataUse, ModelCard, ModelRegistry, Phase, Registered, Run, Status

__all__ = ["PARAM_LIMIT", "MlflowTracker", "find_experiment", "find_run", "open_experiment"]

READY = LoggedModelStatus.READY
PARAM_LIMIT = 6000
"""MLflow's longest param value, in characters."""


def find_experiment(study: str) -> MlflowTracker | None:
    """Return the tracker of a study that was run before, ``None`` where the store does not know it.

    Raises:
        StoreError: The store cannot be reached.
    """
    client = connect_known()
    experiment = client.get_experiment_by_name(study) if client else None
    return MlflowTracker(client, store_uri(), experiment.experiment_id) if client and experiment else None


def find_run(identity: str) -> list[tuple[str, MlflowTracker, Run]]:
    """Return the runs of any study whose id begins so: the study's name, its tracker, the run.

    Raises:
        StoreError: The store cannot be reached.
    """
    client = connect_known()
    if client is None:
        return []
    names = {one.experiment_id: one.name for one in client.search_experiments()}
    found = client.search_runs(list(names), filter_string=f"attributes.run_id LIKE '{identity}%'")
    places = [(run.info.experiment_id, _run(run)) for run in found]
    return [(names[place], MlflowTracker(client, store_uri(), place), run) for place, run in places]


def open_experiment(client: MlflowClient, study: str) -> str:
    """Return the id of a study's experiment, created where it is missing.

    Raises:
        StoreError: It was deleted.
    """
    experiment = client.get_experiment_by_name(study)
    if experiment is None:
        try:
            return str(client.create_experiment(study))
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                raise
            return open_experiment(client, study)  # made meanwhile, perhaps by a call whose answer was lost
    if experiment.lifecycle_stage == "deleted":
        raise StoreError(f"MLflow experiment {study!r} was deleted; restore it or give the study another name")
    return str(experiment.experiment_id)


class MlflowTracker:
    """One study's runs in an MLflow experiment."""

    def __init__(self, client: MlflowClient, uri: str, experiment: str) -> None:
        self.uri = uri
        self.experiment = experiment
        self._client = client

    @classmethod
    def open(cls, study: str) -> MlflowTracker:
        """Open a study's experiment, creating store and experiment where they are missing.

        Raises:
            StoreError: The store cannot be reached, or its experiment was deleted.
        """
        uri = store_uri()
        client = connect(uri)
        return cls(client, uri, open_experiment(client, study))

    def runs(self, *, removed: bool = False) -> list[Run]:
        """Return all runs of the study, oldest first; or those that were deleted and that the store still knows."""
        found: list[MlflowRun] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self.experiment],
                run_view_type=ViewType.DELETED_ONLY if removed else ViewType.ACTIVE_ONLY,
                max_results=1000,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            found.extend(page)
            token = page.token
            if not token:
                return [_run(run) for run in found]

    def run(self, run: str) -> Run:
        """Return one run as it is now."""
        return _run(self._client.get_run(run))

    def histories(self, runs: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, dict[int, float]]]:
        """Return metrics by run, by name, by step; of a step that was recorded twice, the later value."""
        return read_histories(self._client, runs, names, remote=self.uri.startswith("http"))

    def start(
        self, name: str, *, phase: Phase, parent: str | None, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        """Start a run and return its id."""
        all_tags = {**tags, "phase": phase} | ({PARENT: parent} if parent else {})
        run = self._client.create_run(self.experiment, tags=all_tags, run_name=name)
        identity: str = run.info.run_id
        self.params(identity, params)
        return identity

    def reopen(self, run: str) -> None:
        """Mark an ended run as running again."""
        self._client.update_run(run, status="RUNNING")

    def mark(self, run: str, *, phase: Phase, name: str) -> None:
        """Give a run another phase and name."""
        self._client.set_tag(run, "phase", phase)
        self._client.update_run(run, name=name)

    def adopt(self, run: str, parent: str) -> None:
        """Move a run below another parent."""
        self._client.set_tag(run, PARENT, parent)

    def params(self, run: str, values: Mapping[str, Any]) -> None:
        """Record params; a param that is there keeps its value for good."""
        items = [Param(key, str(value)[:PARAM_LIMIT]) for key, value in values.items()]
        for start in range(0, len(items), 100):
            self._client.log_batch(run, params=items[start : start + 100])

    def tags(self, run: str, values: Mapping[str, str]) -> None:
        """Set tags."""
        self._client.log_batch(run, tags=_tags(values))

    def shown(self, run: str) -> str:
        """Return the id by which the store's pages know a run."""
        return run

    def label(self, values: Mapping[str, str]) -> None:
        """Set tags of the study as a whole, its description and its ready-made views among them."""
        label(self._client, self.experiment, values)

    def inputs(self, run: str, used: Sequence[DataUse]) -> None:
        """Record which data a run read."""
        log_inputs(self._client, run, used)

    def metrics(self, run: str, values: Mapping[str, float], step: int = 0) -> None:
        """Record metrics at a step, in one call; what is no number (an undefined score) is left out."""
        self._client.log_batch(run, metrics=_points(values, step))

    def text(self, run: str, text: str, file: str) -> None:
        """Store a text as an artifact."""
        self._client.log_text(run, text, file)

    def table(self, run: str, columns: Mapping[str, Sequence[Any]], file: str) -> None:
        """Store a table, column by column, as an artifact that the UI can show."""
        self._client.log_table(run, {name: list(values) for name, values in columns.items()}, file)

    def files(self, run: str, folder: Path, into: str) -> None:
        """Store all files of a folder as artifacts."""
        self._client.log_artifacts(run, str(folder), into)

    def fetch(self, run: str, file: str) -> str:
        """Return a text artifact.

        By its address: asked by run, MLflow first looks for models of that run, which takes longer than the rest.
        """
        address = f"{self._client.get_run(run).info.artifact_uri}/{file}"
        with tempfile.TemporaryDirectory() as folder:
            path = download_artifacts(address, dst_path=folder, tracking_uri=self.uri)
            return Path(path).read_text(encoding="utf-8")

    def register(self, prompt: PromptForm, *, task: str, study: str) -> Registered:
        """Return the version that holds a prompt's text and contract, registered where there is none."""
        return register_prompt(self._client, prompt, task=task, study=study, experiment=self.experiment)

    def registered(self, uri: str) -> Registered:
        """Return the version that an address stands for now."""
        return find_prompt(self._client, uri)

    def alias(self, prompt: Registered, alias: str) -> None:
        """Give a version an alias, and take it from the version that had it."""
        self._client.set_prompt_alias(prompt.name, alias, prompt.version)

    def models(self) -> dict[str, str]:
        """Return the stored models: run id to model URI; one that a kill left unfinished is none."""
        return {run: model.model_uri for run, model in self._logged() if model.status == READY}

    def _logged(self) -> list[tuple[str, LoggedModel]]:
        """Return all stored models, finished or not, with the run that each belongs to."""
        found = self._client.search_logged_models([self.experiment])
        return [(model.source_run_id, model) for model in found if model.source_run_id]

    def model(self, run: str, folder: Path, card: ModelCard) -> str:
        """Store a model that generates text, made by a run, from its files; its scores are the run's."""
        for owner, leftover in self._logged():
            if owner == run and leftover.status != READY:
                self.drop_model(leftover.model_uri)
        return store_model(self._client, self.experiment, run, folder=folder, card=card)

    @property
    def model_registry(self) -> ModelRegistry:
        """The registered models of the store, whatever study they came from."""
        return Registry(self._client, read=_run)

    def drop_model(self, uri: str) -> int:
        """Remove a stored model; return the bytes freed."""
        identity = uri.rpartition("/")[2]
        freed = _remove_files(self._client.get_logged_model(identity).artifact_location)
        self._client.delete_logged_model(identity)
        return freed

    def remove(self, run: str) -> int:
        """Delete a run and its local artifacts; return the bytes freed."""
        location = self._client.get_run(run).info.artifact_uri
        self._client.delete_run(run)  # first: a run that a kill leaves without its files would be taken for whole
        return _remove_files(location)

    def end(
        self,
        run: str,
        status: Status = "FINISHED",
        *,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """End a run; what is only known by then is recorded before, metrics first."""
        if tags or metrics:
            self._client.log_batch(run, tags=_tags(tags or {}), metrics=_points(metrics or {}, 0))
        self._client.set_terminated(run, status=status)


def _tags(values: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(key, value) for key, value in values.items()]


def _points(values: Mapping[str, float], step: int) -> list[Metric]:
    now = int(time.time() * 1000)
    return [Metric(key, value, now, step) for key, value in values.items() if not math.isnan(value)]


def _remove_files(location: str) -> int:
    """Delete a local artifact folder; return the bytes freed, 0 where artifacts live on a server."""
    parts = urllib.parse.urlparse(location)
    folder = Path(urllib.request.url2pathname(parts.path))
    if parts.scheme not in ("", "file") or not folder.is_dir():
        return 0
    freed = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    shutil.rmtree(folder)
    return freed


def _run(run: MlflowRun) -> Run:
    return Run(
        id=run.info.run_id,
        name=run.info.run_name,
        status=run.info.status,
        parent=run.data.tags.get(PARENT),
        params=dict(run.data.params),
        tags=dict(run.data.tags),
        metrics={name: measured(value) for name, value in run.data.metrics.items()},
        started=run.info.start_time / 1000,
        seconds=(run.info.end_time - run.info.start_time) / 1000 if run.info.end_time else math.nan,
    )
