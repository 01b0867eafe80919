"""What is told of runs, as one request to MLflow each: at once, or as the records of a journal."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from harness.tracking.mlflow.hidden_tags import as_stored
from harness.tracking.mlflow.run_files import write_text
from harness.tracking.schema import RUN_FORMAT, PageTags, Tags
from harness.tracking.store_protocols import DataUse

__all__ = ["ENTRIES", "TOTAL", "RunWriter"]

ENTRIES, TOTAL = 100, 1000
"""MLflow's limits of one batch: params, and tags; all of it together with metric points."""

DIGEST_LIMIT = 36
"""MLflow's longest digest of data, in characters."""


class RunWriter:
    """Writes runs of a study's experiment; beside `find`, the methods are `harness.tracking.store_protocols.Kind`."""

    def __init__(self, client: MlflowClient, experiment: str) -> None:
        self._client, self._experiment = client, experiment

    def start(self, content: Mapping[str, Any]) -> str:
        """Start a run, and return the store's id of it."""
        tags = {**as_stored(content["tags"]), Tags.FORMAT: str(RUN_FORMAT)}
        run = self._client.create_run(self._experiment, content["time"], tags, content["name"])
        return str(run.info.run_id)

    def starting(self, content: Mapping[str, Any]) -> Callable[[], str]:
        """Return what starts a run once, however often it is called: an earlier call's answer may have been lost."""
        key, calls = uuid.uuid4().hex, itertools.count()
        marked = {**content, "tags": {**content["tags"], Tags.RECORD: key}}
        return lambda: (self.find(key) if next(calls) else None) or self.start(marked)

    def find(self, key: str) -> str | None:
        """Return the store's id of the run whose tag `Tags.RECORD` is a key."""
        runs = self._client.search_runs([self._experiment], f"tags.`{Tags.RECORD}` = '{key}'", max_results=1)
        return runs[0].info.run_id if runs else None

    def log(self, run: str, content: Mapping[str, Any]) -> None:
        params = [Param(key, value) for key, value in content.get("params", {}).items()]
        tags = [RunTag(key, value) for key, value in as_stored(content.get("tags", {})).items()]
        metrics = [Metric(key, value, time, step) for key, value, step, time in content.get("metrics", ())]
        self._client.log_batch(run, metrics=metrics, params=params, tags=tags)

    def update(self, run: str, content: Mapping[str, Any]) -> None:
        if "time" in content:
            self._client.set_terminated(run, content["status"], content["time"])
        else:
            self._client.update_run(run, status=content.get("status"), name=content.get("name"))

    def text(self, run: str, content: Mapping[str, Any]) -> None:
        write_text(self._client, run, content["text"], content["file"])

    def inputs(self, run: str, content: Mapping[str, Any]) -> None:
        used = [DataUse(**one) for one in content["used"]]
        self._client.log_inputs(run, [_dataset_input(data) for data in used])


def _dataset_input(used: DataUse) -> DatasetInput:
    columns = [{"type": "string", "name": name, "required": True} for name in used.fields]
    dataset = Dataset(
        name=f"{used.name} {used.split}",
        digest=used.digest[:DIGEST_LIMIT],
        source_type=used.source_type,
        source=json.dumps({"path" if used.source_type == "hf" else "uri": used.source}, ensure_ascii=False),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps({"num_rows": used.rows}),
    )
    return DatasetInput(dataset, [InputTag(PageTags.SPLIT, used.split)])
