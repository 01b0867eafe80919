"""A study of chats with and without contextual calibration: killed between final runs, it goes on to the same bytes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest

from tests.support.chat_models import chat_model
from tests.support.kill_moments import kill_at, look
from tests.support.labelled_study import LABELS, labelled_place, rows
from tests.support.study_fixture import Place, Places
from tests.support.whole_way import succeed

pytestmark = pytest.mark.slow

TURNS = 'system: "Be brief.", user: "{{ source }}?", assistant: "It is", shorten: source'
OPTIONS = (
    *("--set", f"prompts=[{{name: ask, {TURNS}}}, {{name: fair, {TURNS}, calibration: contextual}}]"),
    *("--set", "tuning=[none, head]", "--set", "search.trials=1", "--set", "training.epochs=1"),
    *("--set", "training.max_source_tokens=100", "--set", "generality=none", "--set", "final.models=cells"),
)


def chat_place(places: Places) -> Place:
    place = labelled_place(places)
    shutil.rmtree(place.folder / "model")
    chat_model("llama3", place.folder / "model")
    return place


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    place = chat_place(places)
    succeed(place, "run", "study.yaml", *OPTIONS)
    return place


def told(place: Place, run: str) -> list[dict[str, Any]]:
    """Return the stored test predictions of a run."""
    folder = place.folder / "fetched"
    folder.mkdir(exist_ok=True)
    table = json.loads(Path(place.client().download_artifacts(run, "predictions/test.json", str(folder))).read_text())
    return [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]


def shares(place: Place, run: str) -> np.ndarray[Any, Any]:
    said = [json.loads(row["probabilities"]) for row in told(place, run)]
    return np.array([[each[label] for label in LABELS] for each in said])


def test_the_probabilities_behind_a_chat_are_divided_by_the_prior(done: Place) -> None:
    (plain,), (fair,) = (done.runs("final", cell=f"{name}/none") for name in ("ask", "fair"))
    names = sorted(LABELS)  # as labels stand that are the targets of train
    prior = np.array([fair.data.metrics[f"label_prior/{names.index(label)}"] for label in LABELS])
    wanted = shares(done, plain.info.run_id) / prior
    wanted /= wanted.sum(axis=1, keepdims=True)
    assert shares(done, fair.info.run_id) == pytest.approx(wanted, abs=1e-6)
    assert np.abs(wanted - shares(done, plain.info.run_id)).max() > 1e-4


def test_mlflow_s_own_loader_gives_the_study_s_answers(done: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", done.uri)
    mlflow.set_tracking_uri(done.uri)
    models = done.client().search_logged_models([done.runs()[0].info.experiment_id])
    stored = {model.tags["cell"]: model for model in models}
    assert {"fair/head", "fair/none"} <= stored.keys()
    frame = pd.DataFrame([{"source": row["source"]} for row in rows("test")])
    for cell in ("fair/head", "fair/none"):
        served = mlflow.pyfunc.load_model(stored[cell].model_uri)
        wanted = told(done, str(stored[cell].source_run_id))
        assert served.predict(frame) == [row["prediction"] for row in wanted]
        found = served.predict(frame, params={"probabilities": True})
        assert np.array([[each[label] for label in LABELS] for each in found]) == pytest.approx(
            shares(done, str(stored[cell].source_run_id)), abs=1e-6
        )


def test_killed_between_final_runs_it_goes_on_to_the_same_bytes(done: Place, places: Places) -> None:
    place = chat_place(places)

    def one_of_two_is_done(one: Place) -> bool:
        query = "select r.status from runs r join tags t using (run_uuid) where t.key = 'phase' and t.value = 'final' "
        found = look(one.folder / "mlflow.db", query + "and r.name like ?", "%seed 11%")
        return any(status == "FINISHED" for (status,) in found)

    assert kill_at(place, one_of_two_is_done, 0.0, OPTIONS)
    assert len([run for run in place.runs("final") if run.info.status == "FINISHED"]) < len(done.runs("final"))
    succeed(place, "run", "study.yaml", *OPTIONS)
    assert place.results() == done.results()
    tables = [
        {(run.data.tags["cell"], run.data.params["seed"]): told(one, run.info.run_id) for run in one.runs("final")}
        for one in (place, done)
    ]
    assert tables[0] == tables[1]
    place.clean()
    written = place.results()
    assert "0 runs to do" in succeed(place, "run", "study.yaml", *OPTIONS)
    assert place.results() == written
