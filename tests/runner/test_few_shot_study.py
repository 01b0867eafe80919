"""A study with demonstrations on its whole way: run, resumed, stored, and answered by what it stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.study_fixture import QUICK, Place, Places, rows
from tests.support.whole_way import predict, stored_predictions, succeed

pytestmark = pytest.mark.slow

PROMPTS = (
    '{name: near, text: "{{ source }}:", shorten: source, shots: 2, pick: bm25, shot: "{{ source }} = {{ target }}", '
    'separator: "; "}',
    '{name: mean, text: "{{ source }}:", shorten: source, shots: 1, pick: similar}',
)
OPTIONS = (
    *(
        "--set",
        f"prompts=[bare, {', '.join(PROMPTS)}]",
        "--set",
        "tuning=[none, head, full]",
        "--set",
        "final.models=cells",
    ),
    *("--set", "training.max_source_tokens=90", *QUICK),
)


@pytest.fixture(scope="module")
def place(places: Places) -> Place:
    place = places()
    succeed(place, "run", "study.yaml", *OPTIONS)
    return place


def model_of(place: Place, cell: str) -> Path:
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    (model,) = [model for model in models if model.tags["cell"] == cell]
    return Path(model.artifact_location.removeprefix("file://"))


@pytest.mark.parametrize("cell", ["near/none", "near/full", "mean/none", "mean/full"])
def test_what_is_stored_answers_as_its_final_run_did(cell: str, place: Place) -> None:
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    (model,) = [model for model in models if model.tags["cell"] == cell]
    assert predict(place, model.model_uri) == stored_predictions(place, model.source_run_id)


def test_a_model_keeps_the_rows_that_it_picks_from_and_the_pretrained_embeddings_where_training_moved_them(
    place: Place,
) -> None:
    kept = {
        cell: sorted(file.name for file in model_of(place, cell).glob("artifacts/**/demonstrations.*"))
        for cell in CELLS
    }
    own = "demonstrations.jsonl"
    assert kept == {"bare/full": [], "near/full": [own], "mean/none": [own], "mean/full": [own, "demonstrations.npy"]}
    (file,) = model_of(place, "near/full").rglob(own)
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["fields"]["source"], line["target"]) for line in lines] == [
        (row["source"], row["target"]) for row in rows("train")
    ]


CELLS = ("bare/full", "near/full", "mean/none", "mean/full")


def test_it_is_planned_and_reproduced(place: Place) -> None:
    assert "near/head" in succeed(place, "plan", "study.yaml", *OPTIONS)
    (run,) = place.runs("final", cell="near/head")
    assert run.data.tags["trunk"].startswith("replayed")
    assert "the same to the last bit" in succeed(place, "reproduce", run.info.run_id)


def test_it_resumes_with_nothing_to_do(place: Place) -> None:
    before = {run.info.run_id for run in place.runs()}
    succeed(place, "run", "study.yaml", *OPTIONS)
    assert {run.info.run_id for run in place.runs()} == before


def test_what_fits_is_logged_and_the_cell_is_called_few_shot(place: Place) -> None:
    (cell,) = place.runs("cell", cell="near/none")
    assert cell.data.params["prompt.shots"] == "2"
    assert 0 <= cell.data.metrics["shots/least"] <= cell.data.metrics["shots/mean"] <= 2
    (final,) = place.runs("final", cell="near/none")
    assert "few-shot" in final.info.run_name
    (bare,) = place.runs("cell", cell="bare/none")
    assert "shots/mean" not in bare.data.metrics
    report = (place.folder / "reports" / "tiny" / "report.html").read_text()
    assert "few-shot" in report


def test_the_report_and_show_fill_demonstrations_in(place: Place) -> None:
    page = (place.folder / "reports" / "tiny" / "report.md").read_text()
    filled = page.split("### near")[1].split("```")[3]
    assert rows("validation")[0]["source"] in filled
    assert any(f"{row['source']} = {row['target']}" in filled for row in rows("train"))
    shown = succeed(place, "show", "study.yaml", *OPTIONS)
    assert " = " in shown


def test_texts_that_stay_off_the_store_are_in_no_stored_model(place: Place) -> None:
    done = place.command("check", "study.yaml", *OPTIONS, "--set", "tracking.texts=false")
    assert done.status == 2
    assert "keeps the training rows that it picks from, but tracking.texts is false" in done.err
