"""A study of one prompt with and without contextual calibration on its whole way, in parts: store, report, models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.entities import Run

from tests.support.labelled_study import LABELS, labelled_place, rows
from tests.support.study_fixture import Place, Places
from tests.support.whole_way import Way, go, succeed

pytestmark = pytest.mark.slow

TEXT = "text: '{{ source }} was', shorten: source"
OPTIONS = (
    *("--set", f"prompts=[{{name: cue, {TEXT}}}, {{name: fair, {TEXT}, calibration: contextual}}]"),
    *("--set", "data.labels={early: [early, in advance], late: [late], cold: [cold, left late]}"),
    *("--set", "final.models=cells", "--set", "generality=none", "--set", "final.transfer=true"),
    *("--set", "tuning=[none, {last_blocks: 1}]"),
)


@pytest.fixture(scope="module")
def made(places: Places) -> tuple[Place, Way]:
    place = labelled_place(places)
    return place, go(place, *OPTIONS, part="cue/*")


def shares(place: Place, run: Run, file: str = "test") -> np.ndarray[Any, Any]:
    """Return the stored probabilities of all labels, shape (rows, labels)."""
    folder = place.folder / "fetched"
    folder.mkdir(exist_ok=True)
    path = place.client().download_artifacts(run.info.run_id, f"predictions/{file}.json", str(folder))
    found = json.loads(Path(path).read_text())
    said = [json.loads(row[found["columns"].index("probabilities")]) for row in found["data"]]
    return np.array([[each[label] for label in LABELS] for each in said])


def prior(run: Run) -> np.ndarray[Any, Any]:
    return np.array([run.data.metrics[f"label_prior/{place}"] for place in range(len(LABELS))])


def test_the_untrained_model_s_probabilities_are_divided_by_what_the_run_says(made: tuple[Place, Way]) -> None:
    place, _ = made
    (plain,), (fair,) = (place.runs("final", cell=f"{name}/none") for name in ("cue", "fair"))
    assert not [name for name in plain.data.metrics if name.startswith("label_prior/")]
    assert prior(fair).sum() == pytest.approx(1)
    wanted = shares(place, plain) / prior(fair)
    wanted /= wanted.sum(axis=1, keepdims=True)
    assert shares(place, fair) == pytest.approx(wanted, abs=1e-6)
    right = [LABELS.index(row["target"]) for row in rows("test")]
    assert fair.data.metrics["test/loss"] == pytest.approx(-np.log(wanted[range(len(right)), right]).mean(), abs=1e-5)


def test_a_prompt_s_calibration_goes_with_it_to_the_models_of_others(made: tuple[Place, Way]) -> None:
    place, _ = made
    for name, other, sign in (("cue", "fair", 1), ("fair", "cue", -1)):
        for run in place.runs("final", cell=f"{name}/last_blocks-1"):
            own, under = shares(place, run), shares(place, run, f"test-under-{other}")
            moved = sign * (np.log(own) - np.log(under))
            moved -= moved.mean(axis=1, keepdims=True)
            assert np.ptp(moved, axis=0).max() < 1e-4, "the same for all rows: the labels' own"
            assert np.abs(moved).max() > 1e-3
            if name == "fair":
                logs = np.log(prior(run))
                assert moved[0] == pytest.approx(logs - logs.mean(), abs=1e-4)


def test_the_report_shows_what_it_did(made: tuple[Place, Way]) -> None:
    place, way = made
    assert "calibrated by the content-free input 'N/A': " in way.show
    folder = place.folder / "reports" / "tiny"
    verdicts = json.loads((folder / "verdicts.json").read_text())
    pairs = [(one["a"], one["b"]) for one in verdicts["comparisons"] if one["family"] == "calibration"]
    assert pairs == [(f"fair/{tuning}", f"cue/{tuning}") for tuning in ("none", "last_blocks-1")]
    (fair,) = place.runs("final", cell="fair/none")
    for page in ("report.md", "report.html"):
        text = (folder / page).read_text()
        assert "Contextual calibration" in text
        assert "the same without calibration" in text
        assert f"{prior(fair)[0]:.3f}" in text


def test_a_stored_model_says_what_its_run_said(made: tuple[Place, Way]) -> None:
    place, _ = made
    asked, said = place.folder / "asked.jsonl", place.folder / "said.jsonl"
    asked.write_text("".join(json.dumps({"id": row["id"], "source": row["source"]}) + "\n" for row in rows("test")))
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    (model,) = [model for model in models if model.tags["cell"] == "fair/last_blocks-1"]
    succeed(place, "predict", model.model_uri, "--input", asked.name, "--output", said.name)
    found = [json.loads(line) for line in said.read_text().splitlines()]
    wanted = shares(place, place.client().get_run(str(model.source_run_id)))
    answered = np.array([[line["probabilities"][label] for label in LABELS] for line in found])
    assert answered == pytest.approx(wanted, abs=1e-6)
    assert [line["prediction"] for line in found] == [LABELS[place] for place in wanted.argmax(axis=1)]
