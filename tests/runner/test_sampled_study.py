"""A study whose answers are drawn: the same when it is resumed, done elsewhere, and given by its stored model."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import pandas as pd
import pytest

from tests.support.study_fixture import Place, Places, rows

STUDY = (
    *("prompts=[bare]", "tuning=[none, head]", "search.trials=1", "training.epochs=1", "final.models=cells"),
    *("generation.sample=true", "generation.temperature=1.5", "generation.top_p=0.9", "generation.seed=4"),
    "generation.repetition_penalty=1.2",
)


@pytest.fixture(scope="module")
def drawn(places: Places) -> Place:
    """A sampled study that was run, stopped short of its second seed, and gone on with."""
    place = places()
    place.run(*STUDY, "final.seeds=[11]")
    place.run(*STUDY)
    return place


def told(place: Place, run: str) -> list[str]:
    """Return the test predictions of a run."""
    table = json.loads(
        Path(place.client().download_artifacts(run, "predictions/test.json", str(place.folder))).read_text()
    )
    return [row[table["columns"].index("prediction")] for row in table["data"]]


def first(place: Place, cell: str) -> list[str]:
    """Return the test predictions of a cell's first seed."""
    return told(place, place.runs("final", cell=cell)[0].info.run_id)


@pytest.mark.slow
def test_a_resumed_study_says_what_one_in_one_go_says(drawn: Place, places: Places) -> None:
    other = places()
    other.run(*STUDY, "generation.batch_size=3")
    for cell in ("bare/none", "bare/head"):
        assert first(other, cell) == first(drawn, cell)
    again = places()
    again.run(*STUDY, "generation.seed=5")
    assert first(again, "bare/none") != first(drawn, "bare/none")


@pytest.mark.slow
def test_a_stored_model_draws_what_its_run_drew(drawn: Place) -> None:
    """As a command on a file in another order, and as a model of MLflow's asked one row at a time."""
    asked = [{"id": row["id"], "source": row["source"]} for row in rows("test")]
    (drawn.folder / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked[::-1]))
    for model in drawn.client().search_logged_models([drawn.runs()[0].info.experiment_id]):
        expected = told(drawn, model.source_run_id)
        (drawn.folder / "said.jsonl").unlink(missing_ok=True)
        done = drawn.command("predict", model.source_run_id, "--input", "asked.jsonl", "--output", "said.jsonl")
        assert done.status == 0, done.err
        lines = (drawn.folder / "said.jsonl").read_text().splitlines()
        assert [json.loads(line)["prediction"] for line in lines] == expected[::-1]
        folder = model.artifact_location.removeprefix("file://")
        loaded = mlflow.pyfunc.load_model(folder)
        assert [loaded.predict(pd.DataFrame([{"source": row["source"]}]))[0] for row in asked] == expected
        decoding = json.loads((Path(folder) / "artifacts" / "model" / "harness.json").read_text())["decoding"]
        assert (decoding["sample"], decoding["seed"], decoding["repetition_penalty"]) == (True, 4, 1.2)
