"""The MLflow store, by `MlflowClient` and explicit run ids; nothing here is ambient."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException

from harness.core.errors import StoreError
from harness.tracking.address import is_server, store_uri
from harness.tracking.mlflow.artifact_files import remove_files
from harness.tracking.mlflow.connect import connect, connect_known
from harness.tracking.mlflow.dataset_inputs import log_inputs
from harness.tracking.mlflow.experiment_tags import MlflowPages
from harness.tracking.mlflow.logged_models import MlflowModels
from harness.tracking.mlflow.metric_history import read_histories
from harness.tracking.mlflow.mlflow_compat import EXISTS
from harness.tracking.mlflow.prompt_registry import MlflowPrompts
from harness.tracking.mlflow.read_run import run_from
from harness.tracking.schema import Tags
from harness.tracking.store_protocols import DataUse, Phase, Run, Status

__all__ = ["PARAM_LIMIT", "MlflowTracker", "find_experiment", "find_run", "open_experiment"]

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
    names = {experiment.experiment_id: experiment.name for experiment in client.search_experiments()}
    runs = client.search_runs(list(names), filter_string=f"attributes.run_id LIKE '{identity}%'")
    owners = [(run.info.experiment_id, run_from(run)) for run in runs]
    return [(names[owner], MlflowTracker(client, store_uri(), owner), run) for owner, run in owners]


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
            if error.error_code != EXISTS:
                raise
            return open_experiment(client, study)  # made meanwhile, perhaps by a call whose answer was lost
    if experiment.lifecycle_stage == "deleted":
        raise StoreError(f"MLflow experiment {study!r} was deleted; restore it or give the study another name")
    return str(experiment.experiment_id)


class MlflowTracker:
    """A study in an MLflow store: the runs of its experiment, and see `harness.tracking.store_protocols.Tracker`.

    Args:
        client: The store's.
        uri: The store.
        experiment: The id of the study's experiment.
    """

    def __init__(self, client: MlflowClient, uri: str, experiment: str) -> None:
        self.uri = uri
        self.prompts = MlflowPrompts(client, experiment)
        self.models = MlflowModels(client, experiment)
        self.pages = MlflowPages(client, experiment)
        self._client = client
        self._experiment = experiment

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
        runs: list[MlflowRun] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                run_view_type=ViewType.DELETED_ONLY if removed else ViewType.ACTIVE_ONLY,
                max_results=1000,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            runs.extend(page)
            token = page.token
            if not token:
                return [run_from(run) for run in runs]

    def run(self, run: str) -> Run:
        """Return one run as it is now."""
        return run_from(self._client.get_run(run))

    def histories(self, runs: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, dict[int, float]]]:
        """Return metrics by run, by name, by step; of a step that was recorded twice, the later value."""
        return read_histories(self._client, runs, names, remote=is_server(self.uri))

    def start(
        self, name: str, *, phase: Phase, parent: str | None, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        """Start a run and return its id."""
        all_tags = {**tags, Tags.PHASE: phase} | ({Tags.PARENT: parent} if parent else {})
        run = self._client.create_run(self._experiment, tags=all_tags, run_name=name)
        identity: str = run.info.run_id
        self.params(identity, params)
        return identity

    def reopen(self, run: str) -> None:
        """Mark an ended run as running again."""
        self._client.update_run(run, status="RUNNING")

    def mark(self, run: str, *, phase: Phase, name: str) -> None:
        """Give a run another phase and name."""
        self._client.set_tag(run, Tags.PHASE, phase)
        self._client.update_run(run, name=name)

    def adopt(self, run: str, parent: str) -> None:
        """Move a run below another parent."""
        self._client.set_tag(run, Tags.PARENT, parent)

    def params(self, run: str, values: Mapping[str, Any]) -> None:
        """Record params; a param that is there keeps its value for good."""
        items = [Param(key, str(value)[:PARAM_LIMIT]) for key, value in values.items()]
        for start in range(0, len(items), 100):
            self._client.log_batch(run, params=items[start : start + 100])

    def tags(self, run: str, values: Mapping[str, str]) -> None:
        """Set tags."""
        self._client.log_batch(run, tags=_tags(values))

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

    def remove(self, run: str) -> int:
        """Delete a run and its local artifacts; return the bytes freed."""
        location = self._client.get_run(run).info.artifact_uri
        self._client.delete_run(run)  # first: a run that a kill leaves without its files would be taken for whole
        return remove_files(location)

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
