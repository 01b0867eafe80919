"""The same command again, and the same study edited.

Only what is missing is done, and the results are those of a study that was never interrupted or edited.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow.entities import Run

from harness.core.errors import DataError
from harness.runner.study import Study
from tests.support.first_of_kind import first_of_kind
from tests.support.fuse import TASK_WITH_FUSE
from tests.support.search_spaces import learning_rates
from tests.support.study_fixture import PARENT, Place, Places, rows, write_rows

SMALL = ("--set", "tuning=[none, head]")
"""Two cells that train, two that do not."""


@pytest.fixture(scope="module")
def untouched(places: Places) -> Place:
    """The small study, run once; tests read its results alone."""
    place = places()
    place.run(*SMALL)
    return place


def ids(place: Place, phase: str | None = None, cell: str | None = None) -> set[str]:
    return {run.info.run_id for run in place.runs(phase, cell=cell)}


def test_again_does_nothing(untouched: Place) -> None:
    before, there = untouched.results(), ids(untouched)
    untouched.count(cell=4, search=4, final=6, summary=1)
    again = untouched.run(*SMALL)
    assert "4 cells, 0 runs to do" in again.out
    assert ids(untouched) == there
    assert untouched.results() == before
    untouched.clean()


@pytest.mark.slow
def test_a_fresh_start_finds_the_same(untouched: Place, places: Places) -> None:
    place = places.copy(untouched)
    first = ids(place)
    place.run(*SMALL, "--fresh", "--cells", "cue/*")
    place.count(cell=4, search=4, final=6, summary=1, superseded=2 + 2 + 3)
    place.clean()
    assert {run.data.tags["cell"] for run in place.runs("superseded")} == {"cue/none", "cue/head"}
    assert ids(place, "superseded") < first
    assert place.results() == untouched.results()


@pytest.mark.slow
def test_parts_add_up_to_the_whole(untouched: Place, places: Places) -> None:
    place = places()
    place.run(*SMALL, "--cells", "cue/*")
    place.count(cell=2, search=2, final=3, summary=1)
    assert list(place.table()) == ["cue/none", "cue/head"]
    place.run(*SMALL, "--cells", "*/none")
    place.count(cell=3, search=2, final=4, summary=1)
    place.run(*SMALL)
    place.count(cell=4, search=4, final=6, summary=1)
    assert place.results() == untouched.results()
    place.clean()


@pytest.mark.slow
def test_more_trials_and_seeds_extend(places: Places) -> None:
    gp = (*SMALL, "--set", "search.sampler=gp", "--cells", "bare/head", "--set", "search.metric=perplexity")
    three, five = (*gp, "--set", "search.trials=3"), (*gp, "--set", "search.trials=5")
    place, whole = places(), places()
    place.run(*three, "--set", "final.seeds=[11]")
    place.count(cell=1, search=3, final=1, summary=1)
    tried, finals = ids(place, "search"), ids(place, "final")
    winners = {cell: row["learning_rate"] for cell, row in place.table().items()}
    place.run(*five, "--set", "final.seeds=[11, 12]")
    whole.run(*five, "--set", "final.seeds=[11, 12]")
    assert place.results() == whole.results()
    moved = {cell for cell, row in place.table().items() if row["learning_rate"] != winners[cell]}
    assert moved, "the test needs a winner that moves"
    place.clean()
    # A parent says which seeds it holds, so it was replaced; the final run, since the winner moved.
    place.count(cell=1, search=5, final=2, summary=1, superseded=1 + len(moved))
    assert tried < ids(place, "search")
    assert len(finals & ids(place, "superseded")) == len(moved)
    parents = {run.info.run_id: run.data.tags["cell"] for run in place.runs("cell")}
    for run in [*place.runs("search"), *place.runs("final")]:
        assert parents[run.data.tags[PARENT]] == run.data.tags["cell"]


@pytest.mark.slow
def test_more_trials_without_final_runs_extend(places: Places) -> None:
    gp = (*SMALL, "--set", "search.sampler=gp", "--cells", "bare/head", "--set", "search.metric=loss")
    place, whole = places(), places()
    place.run(*gp, "--set", "final.seeds=[]", "--set", "search.trials=2")
    place.run(*gp, "--set", "final.seeds=[]", "--set", "search.trials=4")
    whole.run(*gp, "--set", "final.seeds=[]", "--set", "search.trials=4")
    assert place.results() == whole.results()
    assert all(float(row["validation_loss"]) > 0 for row in place.table().values())
    place.clean()


@pytest.mark.slow
def test_fewer_seeds_leave_no_stale_numbers(untouched: Place, places: Places) -> None:
    place = places.copy(untouched)
    place.run(*SMALL, "--cells", "bare/*", "--set", "final.seeds=[12]")
    place.clean()
    (parent,) = place.runs("cell", cell="bare/head")
    (final,) = place.runs("final", cell="bare/head")
    assert parent.data.metrics["test/chrf"] == final.data.metrics["test/chrf"]
    assert not any(name.endswith("_sd") for name in parent.data.metrics)
    place.run(*SMALL, "--cells", "bare/*", "--set", "final.seeds=[]")
    place.clean()
    for parent in [*place.runs("cell", cell="bare/none"), *place.runs("cell", cell="bare/head")]:
        assert not any(name.startswith("test/") for name in parent.data.metrics), parent.data.tags["cell"]


@pytest.mark.slow
def test_another_grid_is_another_search(places: Places) -> None:
    place = places()
    grid = (*SMALL, "--set", "search.sampler=grid", "--cells", "bare/head")
    for trials in (2, 3):
        place.run(*grid, "--set", f"search.trials={trials}")
    place.clean()
    place.count(cell=1, search=3, final=2, summary=1, superseded=1 + 2 + 2)
    rates = [float(run.data.params["learning_rate"]) for run in place.runs("search")]
    assert rates == [one.learning_rate for one in learning_rates(1e-3, 1e-1).grid(3)]


@pytest.mark.parametrize(
    ("change", "cells", "part"),
    first_of_kind(
        [
            ("prompt", {"cue/none", "cue/head"}, "cue/*"),
            ("training", {"bare/head", "cue/head"}, "*/head"),
            ("data", {"bare/none", "bare/head", "cue/none", "cue/head"}, "bare/*"),
        ]
    ),
)
def test_a_change_supersedes_what_it_touches(
    change: str, cells: set[str], part: str, untouched: Place, places: Places
) -> None:
    place, anew = places.copy(untouched), places()
    before = {cell: ids(place, cell=cell) for cell in place.table()}
    for edited in (place, anew):
        if change == "prompt":
            edited.edit("TL;DR:", "In short:")
        elif change == "training":
            edited.edit("epochs: 2", "epochs: 1")
        else:
            write_rows(edited.folder / "data" / "train.jsonl", rows("train")[1:])
    place.run(*SMALL)
    place.clean()
    superseded = ids(place, "superseded")
    assert superseded == set().union(*(before[cell] for cell in cells))
    for cell in before.keys() - cells:
        assert ids(place, cell=cell) == before[cell]
    place.count(cell=4, search=4, final=6, summary=1, superseded=len(superseded))
    anew.run(*SMALL, "--cells", part)
    assert {cell: place.table()[cell] for cell in anew.table()} == anew.table()
    for cell in before.keys() - cells:
        assert place.table()[cell] == untouched.table()[cell]


@pytest.mark.slow
def test_another_test_split_repeats_the_final_runs_alone(untouched: Place, places: Places) -> None:
    place, anew = places.copy(untouched), places()
    kept, finals = ids(place, "cell") | ids(place, "search"), ids(place, "final")
    for edited in (place, anew):
        write_rows(edited.folder / "data" / "test.jsonl", rows("test")[::-1])
    assert "4 cells, 6 runs to do" in place.run(*SMALL).out
    anew.run(*SMALL)
    assert ids(place, "superseded") == finals
    assert ids(place, "cell") | ids(place, "search") == kept
    assert place.results() == anew.results()
    place.clean()


@pytest.mark.slow
def test_a_lost_optuna_store_is_made_from_tracking(untouched: Place, places: Places) -> None:
    place = places.copy(untouched)
    before = ids(place)
    (place.folder / "optuna.db").unlink()
    assert "4 cells, 0 runs to do" in place.run(*SMALL).out
    place.clean()
    assert ids(place) == before
    assert place.results() == untouched.results()


@pytest.mark.slow
def test_an_exception_leaves_a_store_that_goes_on(places: Places) -> None:
    settings = ("--set", "prompts=[bare]", "--set", "tuning=[none, head]")
    whole, place = places(), places()
    for one in (whole, place):
        (one.folder / "task.py").write_text(TASK_WITH_FUSE, encoding="utf-8")
    whole.run(*settings)
    # 2 trials x 2 epochs x 8 rows, then finals: the fuse burns down in a trial, in a final run, and at a cell's start.
    for length in (20, 30, 40):
        (place.folder / "fuse").write_text(str(length))
        ended = place.command("run", "study.yaml", *settings)
        assert (ended.status, "the fuse has burned down" in ended.err) == (2, True), ended.err
        place.clean()
        assert place.runs("interrupted")
        assert {run.info.status for run in place.runs("interrupted")} == {"FAILED"}
    place.run(*settings)
    place.clean()
    place.count(cell=2, search=2, final=3, summary=1, interrupted=3)
    assert place.results() == whole.results()


def wait_for(process_output: object, part: str) -> None:
    for line in process_output:  # type: ignore[attr-defined]
        if part in line:
            return
    raise AssertionError(f"no line has {part!r}")


@pytest.mark.slow
def test_ctrl_c_leaves_a_clean_store(untouched: Place, places: Places) -> None:
    place = places()
    process = place.process("run", "study.yaml", *SMALL)
    assert process.stdout is not None
    wait_for(process.stdout, "[1/")
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert err.strip() == "interrupted; the same command goes on from here"
    place.clean()
    assert {run.info.status for run in place.runs("interrupted")} <= {"KILLED"}
    assert {run.info.status for run in place.runs("cell")} == {"KILLED"}
    place.run(*SMALL)
    place.clean()
    place.count(
        cell=4, search=4, final=6, summary=1, **({"interrupted": n} if (n := len(place.runs("interrupted"))) else {})
    )
    assert place.results() == untouched.results()


def test_a_search_never_opens_the_test_split(places: Places) -> None:
    place = places()
    assert place.command("check", "study.yaml", *SMALL).status == 0
    file = place.folder / "data" / "test.jsonl"
    file.write_bytes(b"\xff\xfe no rows \x00")
    before = place.files()
    refused = place.command("run", "study.yaml", *SMALL)
    assert refused.status == 2
    assert "test.jsonl:1" in refused.err
    assert place.files() == before
    place.run(*SMALL, "--set", "final.seeds=[]")
    place.count(cell=4, search=4, final=2, summary=1)
    assert "test_chrf" in place.table()["bare/head"]
    assert place.table()["bare/head"]["test_chrf"] == ""


def test_a_test_split_that_changes_after_the_check_is_not_scored(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places()
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    study = Study.load("study.yaml", ["tuning=[none]", "prompts=[bare]"])
    assert study.checked
    file = place.folder / "data" / "test.jsonl"
    file.write_text(file.read_text().replace("note", "word"))
    with pytest.raises(
        DataError, match=r"test data in .* changed: its digest was \w+ when the study was checked and is"
    ):
        study.run()
    assert not place.runs("final")
    place.run("--set", "tuning=[none]", "--set", "prompts=[bare]")


def test_a_second_command_at_the_same_time_is_refused(untouched: Place, places: Places) -> None:
    place = places.copy(untouched)
    with FileLock(place.folder / ".harness" / ".tiny.lock", timeout=0):
        second = place.command("run", "study.yaml", *SMALL)
    assert second.status == 2
    assert "'tiny' is being run by another process" in second.err


@pytest.mark.parametrize("name", first_of_kind(["store", "lock"]))
def test_a_study_may_be_called_like_a_file_of_the_harness(name: str, places: Places) -> None:
    place = places()
    place.run("--set", f"name={name}", "--set", "tuning=[none]", "--set", "prompts=[bare]")
    assert (place.folder / "reports" / name / "results.csv").exists()


def test_the_study_that_ran_is_kept_as_written(untouched: Place) -> None:
    (summary,) = untouched.runs("summary")
    client = untouched.client()
    folder = untouched.folder / "fetched"
    folder.mkdir(exist_ok=True)
    text = Path(client.download_artifacts(summary.info.run_id, "study.yaml", str(folder))).read_text()
    facts = json.loads(Path(client.download_artifacts(summary.info.run_id, "study.json", str(folder))).read_text())
    assert text == untouched.study.read_text()
    assert facts["overrides"] == ["tuning=[none, head]"]


def bare_parent(place: Place, like: Run, *more: str) -> None:
    """Start a parent run as a kill leaves it: made, but not yet described."""
    tags = {key: like.data.tags[key] for key in ("phase", "cell", "mlflow.harness.cell_digest", *more)}
    place.client().create_run(like.info.experiment_id, tags=tags, run_name=tags["cell"])


@pytest.mark.slow
def test_a_parent_that_was_just_made_is_described_and_used(untouched: Place, places: Places) -> None:
    place = places.copy(untouched)
    (parent,) = place.runs("cell", cell="cue/head")
    for run in place.runs(cell="cue/head"):
        place.client().delete_run(run.info.run_id)
    bare_parent(place, parent)
    place.run(*SMALL)
    place.clean()
    place.count(cell=4, search=4, final=6, summary=1)
    (heir,) = place.runs("cell", cell="cue/head")
    assert heir.data.params == parent.data.params
    assert place.results() == untouched.results()


@pytest.mark.slow
def test_a_parent_that_was_being_replaced_hands_its_children_over(untouched: Place, places: Places) -> None:
    place = places.copy(untouched)
    (parent,) = place.runs("cell", cell="cue/head")
    bare_parent(place, parent, "mlflow.harness.search")
    place.run(*SMALL)
    place.clean()
    (heir,) = place.runs("cell", cell="cue/head")
    assert ids(place, "superseded") == {parent.info.run_id}
    assert heir.data.params == parent.data.params
    assert heir.data.metrics == parent.data.metrics
    assert ids(place, "final") == ids(untouched, "final")
    assert place.results() == untouched.results()


@pytest.mark.slow
def test_runs_of_others_in_the_experiment_are_left_alone(untouched: Place, places: Places) -> None:
    place = places.copy(untouched)
    client = place.client()
    other = client.create_run(place.runs()[0].info.experiment_id, run_name="mine").info.run_id
    place.run(*SMALL)
    assert client.get_run(other).info.status == "RUNNING"
    assert place.results() == untouched.results()


def without_a_merge(file: Path) -> None:
    """Take a merge from a tokenizer whose vocabulary stays."""
    content = json.loads(file.read_text(encoding="utf-8"))
    content["model"]["merges"].pop(0)
    file.write_text(json.dumps(content), encoding="utf-8")


def banning(file: Path) -> None:
    """Ban a token from all predictions."""
    settings = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**settings, "bad_words_ids": [[300]]}), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "change"), first_of_kind([("tokenizer.json", without_a_merge), ("generation_config.json", banning)])
)
def test_a_model_that_reads_or_writes_otherwise_starts_over(
    name: str, change: Callable[[Path], None], untouched: Place, places: Places
) -> None:
    place, anew = places.copy(untouched), places()
    before = ids(place) - ids(place, "summary")
    for edited in (place, anew):
        change(edited.folder / "model" / name)
    run = next(iter(place.runs("final")))
    assert place.command("reproduce", run.info.run_id).status == 2
    place.run(*SMALL)
    anew.run(*SMALL)
    assert ids(place, "superseded") == before
    assert place.results() == anew.results()
    place.clean()
