"""The MLflow store, by `MlflowClient` and explicit run ids; nothing here is ambient."""

from __future__ import annotations

import logging
import math
import os
import shutil
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelStatus, Metric, Param, RunTag, ViewType
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from harness.errors import StoreError
from harness.stores import LOCK, create, reach, sqlite_file
from harness.tracking.base import Phase, Run, Status

__all__ = ["DEFAULT_STORE", "MlflowTracker", "find_experiment", "reach_store", "store_uri"]

DEFAULT_STORE = "sqlite:///mlflow.db"
PARENT = "mlflow.parentRunId"
READY = LoggedModelStatus.READY
SERVING_PACKAGES = ("mlflow", "prompt-depth-harness", "torch", "transformers", "safetensors")
REMEDY = "check MLFLOW_TRACKING_URI; left out, the store is mlflow.db in the current folder"
FOREIGN = ("file:", "databricks", "uc:")
"""Stores that only MLflow itself can ask."""
PARAM_LIMIT = 6000
"""MLflow's longest param value, in characters."""


def store_uri() -> str:
    """Return the store of this process: ``MLFLOW_TRACKING_URI``, else MLflow's own default."""
    return os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE


def reach_store() -> None:
    """See that the store answers, without writing to it.

    Raises:
        StoreError: It does not.
    """
    uri = store_uri()
    if "://" in uri and not uri.startswith(FOREIGN):
        reach("MLflow store", uri, remedy=REMEDY)


def _client(uri: str) -> MlflowClient:
    """Connect, creating a database that is not there yet.

    Two processes that create one sqlite database at once break each other's migration, so they take turns.
    """
    reach_store()
    for name in ("mlflow.store.db.utils", "alembic.runtime.migration"):
        logging.getLogger(name).setLevel(logging.WARNING)
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        create(uri, _migrated)
        LOCK.parent.mkdir(exist_ok=True)
        with FileLock(LOCK):
            return _migrated(uri)
    except (MlflowException, SQLAlchemyError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise StoreError(f"MLflow store {uri!r} cannot be used: {reason}; {REMEDY}") from error


def _migrated(uri: str) -> MlflowClient:
    client = MlflowClient(uri)
    client.search_experiments(max_results=1)
    return client


def find_experiment(study: str) -> MlflowTracker | None:
    """Return the tracker of a study that was run before, ``None`` where the store does not know it.

    Raises:
        StoreError: The store cannot be reached.
    """
    uri = store_uri()
    reach_store()
    file = sqlite_file(uri)
    if file and not file.exists():
        return None
    client = _client(uri)
    experiment = client.get_experiment_by_name(study)
    return MlflowTracker(client, uri, experiment.experiment_id) if experiment else None


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
        client = _client(uri)
        experiment = client.get_experiment_by_name(study)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            raise StoreError(f"MLflow experiment {study!r} was deleted; restore it or give the study another name")
        identity = experiment.experiment_id if experiment else client.create_experiment(study)
        return cls(client, uri, identity)

    def runs(self) -> list[Run]:
        """Return all runs of the study, oldest first."""
        found: list[MlflowRun] = []
        token = None
        while True:
            page = self._client.search_runs(
                [self.experiment],
                run_view_type=ViewType.ACTIVE_ONLY,
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
        """Return a text artifact."""
        with tempfile.TemporaryDirectory() as folder:
            return Path(self._client.download_artifacts(run, file, folder)).read_text(encoding="utf-8")

    def models(self) -> dict[str, str]:
        """Return the stored models: run id to model URI; one that a kill left unfinished is none."""
        return {run: model.model_uri for run, model in self._logged() if model.status == READY}

    def _logged(self) -> list[tuple[str, LoggedModel]]:
        """Return all stored models, finished or not, with the run that each belongs to."""
        found = self._client.search_logged_models([self.experiment])
        return [(model.source_run_id, model) for model in found if model.source_run_id]

    def model(self, run: str, folder: Path, *, name: str, code: Path) -> str:
        """Store a model that generates text, made by a run, from its files and the code that serves it."""
        for owner, leftover in self._logged():
            if owner == run and leftover.status != READY:
                self.drop_model(leftover.model_uri)
        mlflow.set_tracking_uri(self.uri)  # log_model takes no client
        model = self._client.create_logged_model(self.experiment, name=name, source_run_id=run)
        mlflow.pyfunc.log_model(
            name=name,
            python_model=str(code),
            artifacts={"model": str(folder)},
            pip_requirements=[f"{package}=={version(package)}" for package in SERVING_PACKAGES],
            model_id=model.model_id,
        )
        uri: str = model.model_uri
        return uri

    def drop_model(self, uri: str) -> int:
        """Remove a stored model; return the bytes freed."""
        identity = uri.rpartition("/")[2]
        freed = _remove_files(self._client.get_logged_model(identity).artifact_location)
        self._client.delete_logged_model(identity)
        return freed

    def remove(self, run: str) -> int:
        """Delete a run and its local artifacts; return the bytes freed."""
        freed = _remove_files(self._client.get_run(run).info.artifact_uri)
        self._client.delete_run(run)
        return freed

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
        metrics=dict(run.data.metrics),
        seconds=(run.info.end_time - run.info.start_time) / 1000 if run.info.end_time else math.nan,
    )
