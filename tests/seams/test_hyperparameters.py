"""A second hyperparameter with a range that only this test knows, through a whole study: one entry of the table."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.entities import Run

from harness.core.absent_value import NONE
from harness.study.dimension import Dimension, Value, parse_value
from harness.study.search_space import HYPERPARAMETERS, Hyperparameter
from harness.study.spec import StudySpec
from tests.support.study_fixture import Place, Places, rows

NAME = "training.weight_decay"
HIGH = 40.0
"""Far more than anybody would take, so that a tiny model's losses show it."""

OPTIONS = (
    *("--set", "tuning=[none, head]", "--set", "training.epochs=1", "--set", "final.seeds=[11]"),
    *("--set", "search.trials=3", "--set", "search.metric=perplexity", "--set", "search.warm_start=neighbor"),
)


def decay(study: StudySpec) -> Dimension:
    return Dimension(NAME, 0.0, HIGH)


def decayed(study: StudySpec, value: Value) -> StudySpec:
    return study.model_copy(update={"training": study.training.model_copy(update={"weight_decay": value})})


@pytest.fixture(scope="module", autouse=True)
def entry() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(HYPERPARAMETERS, NAME, Hyperparameter(decay, decayed))
        yield


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    place = places()
    assert place.command("check", "study.yaml", *OPTIONS).status == 0
    place.run(*OPTIONS, "--cells", "bare/*")
    place.run(*OPTIONS)
    return place


def values(run: Run) -> tuple[str, str]:
    return run.data.params["learning_rate"], run.data.params[NAME]


def winner(place: Place, cell: str) -> Run:
    (parent,) = place.runs("cell", cell=cell)
    return next(
        run for run in place.runs("search", cell=cell) if run.data.tags["trial"] == parent.data.tags["best_trial"]
    )


def test_every_trial_has_a_draw_of_its_own(done: Place) -> None:
    done.clean()
    done.count(cell=4, search=6, final=4, summary=1)
    for cell in ("bare/head", "cue/head"):
        drawn = [values(run) for run in done.runs("search", cell=cell)]
        assert len({rate for rate, _ in drawn}) == len({decay for _, decay in drawn}) == 3
        assert all(0.0 <= float(decay) <= HIGH for _, decay in drawn)
        assert all(isinstance(parse_value(text), float) for pair in drawn for text in pair)


def test_a_neighbor_starts_from_the_winner_whole(done: Place) -> None:
    (first,) = (run for run in done.runs("search", cell="cue/head") if run.data.tags["trial"] == "0")
    assert first.data.tags["warm_start"] == "bare/head"
    assert values(first) == values(winner(done, "bare/head"))
    page = (done.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    rate, decay = (float(text) for text in values(first))
    assert f"- cue/head from bare/head: learning rate {rate:.2g}, training.weight_decay {decay:.2g}\n" in page


def test_the_report_tells_the_range(done: Place) -> None:
    page = (done.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert "3 trials, learning rates from 0.001 to 0.1, training.weight_decay from 0 to 40, sampler random" in page


@pytest.mark.slow
def test_a_study_that_was_cut_in_two_ends_as_one_that_was_not(done: Place, places: Places) -> None:
    whole = places()
    whole.run(*OPTIONS)
    assert done.results() == whole.results()
    again = done.run(*OPTIONS)
    assert "0 runs to do" in again.out
    written = done.results()
    assert done.command("report", "tiny").status == 0
    assert done.results() == written == whole.results()


def test_the_winner_is_retrained_and_recorded_whole(done: Place) -> None:
    for cell in ("bare/head", "cue/head"):
        won = winner(done, cell)
        (parent,), (final,) = done.runs("cell", cell=cell), done.runs("final", cell=cell)
        assert values(parent) == values(final) == values(won)
        row = done.table()[cell]
        assert (row["learning_rate"], row[NAME]) == values(won)
    (parent,), (final,) = done.runs("cell", cell="bare/none"), done.runs("final", cell="bare/none")
    assert values(parent) == values(final) == (NONE, NONE)
    assert (done.table()["bare/none"]["learning_rate"], done.table()["bare/none"][NAME]) == ("", "")


def test_a_value_acts_on_training(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    two = Hyperparameter(lambda study: Dimension(NAME, choices=(0.0, HIGH)), decayed)
    monkeypatch.setitem(HYPERPARAMETERS, NAME, two)
    place = places()
    settings = ("search.sampler=grid", "search.trials=2", "search.metric=loss", "final.seeds=[]")
    sets = [part for setting in settings for part in ("--set", setting)]
    place.run("--set", "tuning=[none, head]", "--set", "prompts=[bare]", *sets)
    losses = {values(run): run.data.metrics["objective"] for run in place.runs("search")}
    assert {decay for _, decay in losses} == {"0.0", "40.0"}
    assert len({rate for rate, _ in losses}) == 1
    assert len(set(losses.values())) == 2


def test_a_final_run_is_reproduced_and_its_model_answers_the_same(done: Place) -> None:
    models = done.client().search_logged_models([done.runs()[0].info.experiment_id])
    run = done.client().get_run(models[0].source_run_id)
    again = done.command("reproduce", run.info.run_id)
    assert again.status == 0, again.err
    assert "the same to the last bit" in again.out
    asked, answers = done.folder / "asked.jsonl", done.folder / "answers.jsonl"
    asked.write_text("".join(json.dumps({"id": row["id"], "source": row["source"]}) + "\n" for row in rows("test")))
    done_predicting = done.command("predict", models[0].model_uri, "--input", asked.name, "--output", answers.name)
    assert done_predicting.status == 0, done_predicting.err
    table = json.loads(Path(done.client().download_artifacts(run.info.run_id, "predictions/test.json")).read_text())
    stored = [row[table["columns"].index("prediction")] for row in table["data"]]
    assert [json.loads(line)["prediction"] for line in answers.read_text().splitlines()] == stored


@pytest.mark.slow
def test_without_the_entry_the_cells_are_others(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place, small = places(), ("--set", "prompts=[bare]", *OPTIONS)
    place.run(*small)
    monkeypatch.delitem(HYPERPARAMETERS, NAME)
    place.run(*small)
    place.clean()
    place.count(cell=2, search=3, final=2, summary=1, superseded=1 + 3 + 1)  # zero-shot stays as it is
    assert {run.data.params[NAME] for run in place.runs("search")} == {"0.0"}
    assert NAME not in next(iter(place.table().values()))
