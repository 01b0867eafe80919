"""A study of labels on its whole way: checked, run in parts, scored, reported, stored, and asked."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, f1_score

from harness.metrics.classification import BINS
from harness.runner.result import Result
from tests.support.labelled_study import LABELS, data, labelled_place, rows
from tests.support.study_fixture import Place, Places, write_rows
from tests.support.whole_way import go, succeed

pytestmark = pytest.mark.slow

OPTIONS = (
    *("--set", "data.labels={early: [early, in advance], late: [late], cold: [cold, left late]}"),
    *("--set", "final.models=cells", "--set", "generality=none"),
    *("--set", "prompts=[bare, {name: cue, text: '{{ source }} was', answers: generate}]"),
)


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    made = labelled_place(places)
    go(made, *OPTIONS, part="bare/*")
    return made


def table(place: Place, run: str, split: str = "test") -> list[dict[str, Any]]:
    folder = place.folder / "fetched"
    folder.mkdir(exist_ok=True)
    found = json.loads(
        Path(place.client().download_artifacts(run, f"predictions/{split}.json", str(folder))).read_text()
    )
    return [dict(zip(found["columns"], row, strict=True)) for row in found["data"]]


def test_scores_are_those_of_scikit_learn_on_what_is_stored(place: Place) -> None:
    for cell in ("bare/none", "bare/head", "cue/last_blocks-1"):
        for run in place.runs("final", cell=cell):
            said = table(place, run.info.run_id)
            pairs = [row["reference"] for row in said], [row["prediction"] for row in said]
            scores = run.data.metrics
            assert scores["test/accuracy"] == pytest.approx(accuracy_score(*pairs))
            macro = f1_score(*pairs, labels=sorted(set(pairs[0])), average="macro", zero_division=0.0)
            assert scores["test/macro_f1"] == pytest.approx(macro)
            assert ("probabilities" in said[0]) == cell.startswith("bare")


def test_the_loss_and_the_calibration_error_are_of_the_stated_probabilities(place: Place) -> None:
    (run, *_) = place.runs("final", cell="bare/last_blocks-1")
    said = table(place, run.info.run_id)
    stated = [json.loads(row["probabilities"]) for row in said]
    right = [shares[row["reference"]] for shares, row in zip(stated, said, strict=True)]
    assert run.data.metrics["test/loss"] == pytest.approx(-np.log(right).mean(), rel=1e-6)
    best = np.array([max(shares.values()) for shares in stated])
    hit = np.array([row["prediction"] == row["reference"] for row in said])
    bins = np.minimum(np.ceil(best * BINS).astype(int) - 1, BINS - 1)
    error = sum(abs(hit[bins == b].mean() - best[bins == b].mean()) * (bins == b).mean() for b in set(bins))
    assert run.data.metrics["test/calibration_error"] == pytest.approx(error)


def test_a_stored_model_says_what_its_run_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    file = place.folder / "asked.jsonl"
    file.write_text("".join(json.dumps({"id": row["id"], "source": row["source"]}) + "\n" for row in rows("test")))
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    (model,) = [model for model in models if model.tags["cell"] == "bare/last_blocks-1"]
    succeed(place, "predict", model.model_uri, "--input", file.name, "--output", "said.jsonl")
    wanted = table(place, str(model.source_run_id))
    for line, row in zip((place.folder / "said.jsonl").read_text().splitlines(), wanted, strict=True):
        found = json.loads(line)
        assert found["prediction"] == row["prediction"]
        assert found["probabilities"] == pytest.approx(json.loads(row["probabilities"]), abs=1e-6)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    mlflow.set_tracking_uri(place.uri)
    served = mlflow.pyfunc.load_model(model.model_uri)
    frame = pd.DataFrame([{"source": row["source"]} for row in rows("test")])
    assert served.predict(frame) == [row["prediction"] for row in wanted]
    shares = served.predict(frame, params={"probabilities": True})
    assert [max(each, key=each.__getitem__) for each in shares] == [row["prediction"] for row in wanted]


def test_where_labels_say_nothing_intervals_cover_chance(places: Places) -> None:
    made, drawn = labelled_place(places), random.Random(5)
    for split in ("train", "validation", "test"):
        each = [{**row, "id": f"{row['id']}-{n}"} for n in range(3) for row in rows(split)]
        for row in each:
            row["source"] = f"{row['source']} {row['id'][-1]}"
        targets = [row["target"] for row in each]
        drawn.shuffle(targets)
        write_rows(data(made, split), [{**row, "target": target} for row, target in zip(each, targets, strict=True)])
    succeed(made, "run", "study.yaml", "--set", "generality=none", "--set", "final.models=none")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(made.folder)
        patch.setenv("MLFLOW_TRACKING_URI", made.uri)
        verdicts = Result.load("tiny").verdicts
    assert len(verdicts.scores) == 6
    for estimate in verdicts.scores.values():
        assert estimate.low <= 1 / len(LABELS) <= estimate.high
