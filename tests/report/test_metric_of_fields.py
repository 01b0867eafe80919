"""A metric of one's own may read any field of an example, in a run as in what is made of the store afterwards."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from harness.core.errors import DamagedError
from harness.core.example import Example, Prediction
from harness.tracking.prediction_table import read_examples, read_predictions, write_predictions
from harness.tracking.schema import Artifacts
from harness.tracking.stored_run import Run
from tests.support.study_fixture import SIZES, Places, rows, write_rows

OWN = """
import numpy as np
from harness.metrics.base import Metric, mean

def near(prediction, example):
    return np.array([example.fields["weight"] / (1.0 + abs(len(prediction.text) - example.fields["length"]))])

NEAR = Metric("near", True, near, mean, lambda: "near|1", range=(0, 9))

"""


RUN = Run("run", "seed 1", "FINISHED", None, {}, {}, {}, 0.0, math.nan)


class Store:
    """As much of a store as tables need."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, list[object]]] = {}

    def table(self, run: str, columns: dict[str, list[object]], name: str) -> None:
        self.tables[name] = columns

    def fetch(self, run: str, name: str) -> str:
        columns = self.tables[name]
        return json.dumps({"columns": [*columns], "data": [*zip(*columns.values(), strict=True)]})


def test_fields_beside_the_source_are_kept_with_their_types() -> None:
    fields = {"source": "a", "weight": 2, "tags": ["x", None], "is_new": True}
    store, said = Store(), [Prediction("1", "b", 1.0, 1)]
    write_predictions(store, "run", "test", [Example("1", fields, "c")], said)  # type: ignore[arg-type]
    write_predictions(store, "run", "validation", [Example("1", {"source": "a"}, "c")], said)  # type: ignore[arg-type]
    assert store.tables[Artifacts.predictions("test")]["fields"] == [
        '{"source": "a", "weight": 2, "tags": ["x", null], "is_new": true}'
    ]
    assert "fields" not in store.tables[Artifacts.predictions("validation")]
    (again,) = read_examples(store, RUN, "test")  # type: ignore[arg-type]
    assert again.fields == fields


@pytest.mark.parametrize("fields", ["{", "[1]", "null", 5, None, "[" * 100_000])
def test_fields_that_are_none_are_damage_of_the_table(fields: object) -> None:
    store, said = Store(), [Prediction("1", "b", 1.0, 1)]
    write_predictions(store, "run", "test", [Example("1", {"source": "a", "weight": 2}, "c")], said)  # type: ignore[arg-type]
    store.tables[Artifacts.predictions("test")]["fields"] = [fields]
    for read in (read_examples, read_predictions):
        with pytest.raises(DamagedError, match=r"predictions/test\.json of run seed 1 \(run\) is damaged"):
            read(store, RUN, "test")  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_metric_that_reads_other_fields_has_intervals(places: Places) -> None:
    place = places()
    for split in SIZES:
        known = [{**row, "weight": 1 + n % 3, "length": len(row["target"])} for n, row in enumerate(rows(split))]
        write_rows(place.folder / "data" / f"{split}.jsonl", known)
    task = place.folder / "task.py"
    text = task.read_text(encoding="utf-8").replace('metrics=["chrf", ', "metrics=[NEAR, ")
    task.write_text(OWN + text, encoding="utf-8")
    place.run("--set", "search.trials=1", "--set", "tuning=[none, head]", "--set", "generality.text=null")
    told = place.command("report", "study.yaml")
    assert told.status == 0, told.err
    report = Path(place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert "95% interval" in report
    assert "Nothing is claimed" not in report
