"""The data a run read, as MLflow's dataset inputs: the UI shows at a glance which runs read other rows."""

from __future__ import annotations

import json
from collections.abc import Sequence

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag

from harness.tracking.schema import InputTags
from harness.tracking.store_protocols import DataUse

__all__ = ["log_inputs"]

DIGEST_LIMIT = 36
"""MLflow's longest digest, in characters."""


def log_inputs(client: MlflowClient, run: str, used: Sequence[DataUse]) -> None:
    """Record what a run read; recording it again changes nothing."""
    client.log_inputs(run, [DatasetInput(_dataset(data), [InputTag(InputTags.SPLIT, data.split)]) for data in used])


def _dataset(used: DataUse) -> Dataset:
    columns = [{"type": "string", "name": name, "required": True} for name in used.fields]
    return Dataset(
        name=f"{used.name} {used.split}",
        digest=used.digest[:DIGEST_LIMIT],
        source_type=used.source_type,
        source=json.dumps({"path" if used.source_type == "hf" else "uri": used.source}, ensure_ascii=False),
        schema=json.dumps({"mlflow_colspec": columns}),
        profile=json.dumps({"num_rows": used.rows}),
    )
