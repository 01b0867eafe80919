"""Final models asked under other prompts: the answers of their stored folders, once, resumed, and in the report."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.entities import Run

from harness.results.collect import Results, collect
from harness.results.prompt_transfer import prompt_transfer
from harness.serving.generator import Generator
from harness.study.find_study import known_study
from tests.support.labelled_study import labelled_place
from tests.support.study_fixture import Place, Places, rows

ASKED = (
    *("prompts=[bare, colon]", "search.trials=1", "training.epochs=1", "final.transfer=true", "final.models=cells"),
    "tuning=[none, head]",
)


@pytest.fixture(scope="module")
def asked(places: Places) -> Place:
    place = places()
    place.run(*ASKED)
    return place


def table(place: Place, run: Run, file: str) -> dict[str, list[Any]]:
    path = Path(place.client().download_artifacts(run.info.run_id, f"predictions/{file}.json", str(place.folder)))
    content = json.loads(path.read_text())
    return dict(zip(content["columns"], zip(*content["data"], strict=True), strict=True))


def results(place: Place) -> Results:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        patch.setenv("MLFLOW_TRACKING_URI", place.uri)
        return collect(known_study("tiny")[1], "tiny")


def test_every_final_model_answers_under_the_other_prompt(asked: Place) -> None:
    for run in asked.runs("final"):
        other = {"bare": "colon", "colon": "bare"}[run.data.params["prompt"]]
        names = {name for name in run.data.metrics if name.startswith("transfer/")}
        trained = run.data.params["tuning"] != "none"
        assert names == ({f"transfer/{other}/{name}" for name in own_metrics(run)} if trained else set())
    for cell in asked.runs("cell", cell="bare/head"):
        finals = [run.data.metrics["transfer/colon/chrf"] for run in asked.runs("final", cell="bare/head")]
        assert cell.data.metrics["transfer/colon/chrf"] == pytest.approx(np.mean(finals))


def own_metrics(run: Run) -> set[str]:
    return {name.removeprefix("test/") for name in run.data.metrics if name.startswith("test/")}


def test_it_says_what_the_stored_model_says_under_that_prompt(asked: Place, tmp_path: Path) -> None:
    for model in asked.client().search_logged_models([asked.runs()[0].info.experiment_id]):
        run = asked.client().get_run(model.source_run_id)
        if run.data.params["tuning"] == "none":
            continue
        there = tmp_path / model.model_id
        shutil.copytree(model.artifact_location.removeprefix("file://"), there)
        swapped = next(there.rglob("harness.json")).parent
        said = (swapped / "harness.json").read_text()
        mine, other = {"bare": ("\\n", ":"), "colon": (":", "\\n")}[run.data.params["prompt"]]
        assert said.count(f"{{{{ source }}}}{mine}") == 1
        (swapped / "harness.json").write_text(said.replace(f"{{{{ source }}}}{mine}", f"{{{{ source }}}}{other}"))
        name = {"bare": "colon", "colon": "bare"}[run.data.params["prompt"]]
        predicted = Generator(swapped)([{"source": row["source"]} for row in rows("test")])
        assert predicted == list(table(asked, run, f"test-under-{name}")["prediction"])
        assert predicted != list(table(asked, run, "test")["prediction"])


@pytest.mark.slow
def test_a_second_command_asks_nothing_and_a_further_prompt_is_asked_by_the_same_weights(
    asked: Place, places: Places
) -> None:
    place = places.copy(asked)
    before = place.results()
    place.run(*ASKED)
    assert place.results() == before
    assert len(place.runs("final")) == 6
    place.run(*ASKED, 'prompts=[bare, colon, {name: dash, text: "{{ source }} -"}]')
    head = place.runs("final", cell="bare/head")
    assert all("transfer/dash/chrf" in run.data.metrics for run in head)
    for run in head:  # the test split was not scored again by these weights
        assert run.data.tags["test_scored"] != "yes"
    assert {run.data.metrics["transfer/colon/chrf"] for run in head} == {
        run.data.metrics["transfer/colon/chrf"] for run in asked.runs("final", cell="bare/head")
    }


def test_its_change_is_the_paired_difference(asked: Place) -> None:
    found = prompt_transfer(one := results(asked), one.metric if not isinstance(one.metric, str) else None)
    assert found is not None
    assert found.prompts == ("bare", "colon")
    assert [row.cell for row in found.rows] == ["bare/head", "colon/head"]
    for row in found.rows:
        cell = next(cell for cell in one.cells if cell.id == row.cell)
        other = next(name for name in found.prompts if name != row.prompt)
        assert row.kept is not None
        assert row.kept.change.value == pytest.approx(row.scores[other] - row.scores[row.prompt], abs=1e-9)
        untrained = {cell.prompt: cell.score("test/chrf") for cell in one.cells if cell.tuning == "none"}
        assert row.kept.gain is not None
        assert row.kept.gain_elsewhere is not None
        assert row.kept.gain.value == pytest.approx(cell.score("test/chrf") - untrained[row.prompt], abs=1e-9)
        assert row.kept.gain_elsewhere.value == pytest.approx(row.scores[other] - untrained[other], abs=1e-9)


def test_files_and_page_show_the_matrix(asked: Place) -> None:
    folder = asked.folder / "reports" / "tiny"
    lines = list(csv.DictReader((folder / "transfer.csv").read_text().splitlines()))
    assert [(line["cell"], line["asked_under"]) for line in lines] == [
        (cell, prompt) for cell in ("bare/head", "colon/head") for prompt in ("bare", "colon")
    ]
    own = asked.table()["bare/head"]
    assert lines[0]["test_chrf"] == own["test_chrf"]
    said = json.loads((folder / "verdicts.json").read_text())["transfer"]
    assert said[0]["scores"]["colon"] == pytest.approx(float(lines[1]["test_chrf"]))
    assert "Prompt transfer" in (folder / "report.html").read_text()
    assert "## Prompt transfer" in (folder / "report.md").read_text()
    assert (folder / "figures" / "transfer.png").is_file()


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["prompts=[bare]"], "there is one prompt"),
        (["final.seeds=[]"], "final.seeds is empty"),
        (["tuning=[none]"], "no tuning trains one"),
    ],
)
def test_what_has_nothing_to_transfer_is_refused(places: Places, values: list[str], told: str) -> None:
    done = places().command("check", "study.yaml", *ASKED, *values)
    assert done.status == 2
    assert told in done.err


MIXED = "prompts=[bare, {name: mix, mixture: [bare, colon]}, colon]"


@pytest.mark.slow
def test_a_mixture_is_scored_under_each_of_its_prompts(places: Places) -> None:
    place = places()
    place.run(MIXED, "search.trials=1", "training.epochs=1", "tuning=[head]", "final.seeds=[11]")
    assert [cell for cell in place.table() if "head" in cell] == ["bare/head", "mix/head", "colon/head"]
    (mixed,) = place.runs("final", cell="mix/head")
    own, bare, colon = (table(place, mixed, name) for name in ("test", "test-under-bare", "test-under-colon"))
    for row, said in enumerate(own["prediction"]):
        assert said in (bare["prediction"][row], colon["prediction"][row])
        assert own["nll"][row] == pytest.approx(bare["nll"][row], abs=1e-4) or own["nll"][row] == pytest.approx(
            colon["nll"][row], abs=1e-4
        )
    assert bare["nll"] != colon["nll"]
    (single,) = place.runs("final", cell="bare/head")
    assert not [name for name in single.data.metrics if name.startswith("transfer/")]
    before = place.results()
    place.run(MIXED, "search.trials=1", "training.epochs=1", "tuning=[head]", "final.seeds=[11]")
    assert place.results() == before


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ("{name: mix, mixture: [bare, colo]}", "mixes 'colo', which is no prompt of this study; did you mean 'colon'"),
        ("{name: mix, mixture: [bare]}", "mixes 1 prompts; name two or more"),
        ("{name: mix, mixture: [bare, bare]}", "name each once"),
        ("{name: mix, mixture: [bare, colon], shorten: source}", "knows no shorten"),
        ('{name: mix, mixture: [bare, colon], text: "{{ source }}"}', "keep one of the two"),
    ],
)
def test_a_mixture_of_what_cannot_be_mixed_is_refused(places: Places, prompt: str, told: str) -> None:
    done = places().command("check", "study.yaml", f"prompts=[bare, colon, {prompt}]")
    assert done.status == 2
    assert told in done.err


WRITTEN = '{name: written, text: "{{ source }} =", answers: generate}'
SHOWN = '{name: two, text: "{{ source }}", shots: 2}'


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            [f"prompts=[bare, {WRITTEN}]", "final.transfer=true"],
            "and no two of them are answered alike; name another, or leave it out",
        ),
        (
            [f"prompts=[bare, {WRITTEN}, {{name: mix, mixture: [written, bare]}}]"],
            "prompt 'mix' mixes 'bare', which has answers: likelihood, and a mixture is of prompts that are answered "
            "by texts: say answers: generate with each",
        ),
        (
            [f"prompts=[{WRITTEN}, {SHOWN}, {{name: mix, mixture: [written, two]}}]", "answers=null"],
            "prompt 'mix' mixes 'two', which shows demonstrations, and the prompts of a mixture show none",
        ),
    ],
)
def test_prompts_that_are_answered_otherwise_are_refused_by_name(places: Places, values: list[str], told: str) -> None:
    done = labelled_place(places, store=False).command("check", "study.yaml", *values)
    assert done.status == 2
    assert told in done.err
    assert len(done.err.strip().splitlines()) == 1
