"""The server's end of a journal: each record as one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from harness.tracking.mlflow.dataset_inputs import log_inputs
from harness.tracking.mlflow.http import answers
from harness.tracking.schema import Tags
from harness.tracking.store_protocols import DataUse

__all__ = ["MlflowServer"]


class MlflowServer:
    """Tells records to a study's experiment, one request each.

    Args:
        client: The server's; another thread's.
        experiment: The id of the study's experiment.
    """

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        self._client = client
        self._experiment = experiment
        self._uri = str(client.tracking_uri)

    def start(self, key: str, content: Mapping[str, Any]) -> str:
        """Start a run that carries a key, and return the server's id of it."""
        tags = {**content["tags"], Tags.RECORD: key}
        with answers(self._uri):
            run = self._client.create_run(self._experiment, content["time"], tags, content["name"])
        return str(run.info.run_id)

    def find(self, key: str) -> str | None:
        """Return the server's id of the run that carries a key."""
        with answers(self._uri):
            runs = self._client.search_runs([self._experiment], f"tags.`{Tags.RECORD}` = '{key}'", max_results=1)
        return runs[0].info.run_id if runs else None

    def log(self, run: str, content: Mapping[str, Any]) -> None:
        """Record params, tags and metric points."""
        params = [Param(key, value) for key, value in content["params"].items()]
        tags = [RunTag(key, value) for key, value in content["tags"].items()]
        metrics = [Metric(key, value, time, step) for key, value, step, time in content["metrics"]]
        with answers(self._uri):
            self._client.log_batch(run, metrics=metrics, params=params, tags=tags)

    def update(self, run: str, content: Mapping[str, Any]) -> None:
        """Set name or status."""
        with answers(self._uri):
            if "time" in content:
                self._client.set_terminated(run, content["status"], content["time"])
            else:
                self._client.update_run(run, status=content.get("status"), name=content.get("name"))

    def text(self, run: str, content: Mapping[str, Any]) -> None:
        """Store a text as an artifact."""
        with answers(self._uri):
            self._client.log_text(run, content["text"], content["file"])

    def inputs(self, run: str, content: Mapping[str, Any]) -> None:
        """Record what a run read."""
        with answers(self._uri):
            log_inputs(self._client, run, [DataUse(**used) for used in content["used"]])
