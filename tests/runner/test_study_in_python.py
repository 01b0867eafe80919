"""A study made in Python: the same results as by command, resumed after a kill, done again from the store."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import mlflow
import optuna
import pandas as pd
import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness import Result, Study, Task, Template, compare
from harness.core.errors import UserError
from tests.support.python_study import QUICK, TINY, inside, own_task
from tests.support.study_fixture import QUICK as COMMAND_QUICK
from tests.support.study_fixture import SIZES, Place, Places, rows

FRAMES = {split: pd.DataFrame(rows(split)) for split in SIZES}


@pytest.fixture(scope="module")
def in_python(places: Places) -> Place:
    """A place where a study was run whose rows and task came from memory, and was saved."""
    place = places()
    with inside(place):
        study = Study(**{**QUICK, "task": own_task()}, data=FRAMES)
        study.run()
        study.save("saved/study.yaml")
    return place


def test_rows_from_memory_give_what_a_file_of_them_does(finished: Place, places: Places) -> None:
    place = places()
    held = {
        "train": pd.DataFrame(rows("train")),
        "validation": rows("validation"),
        "test": datasets.Dataset.from_list(rows("test")),
    }
    with inside(place):
        Study(**QUICK, data=held).run()
    assert place.results() == finished.results()


@pytest.mark.slow
def test_a_whole_study_gives_the_same(places: Places) -> None:
    place, by_command = places(), places()
    by_command.run()
    with inside(place):
        Study(**TINY, data={"rows": FRAMES}).run()
    assert place.results() == by_command.results()


@pytest.mark.slow
def test_a_saved_study_runs_alike_by_the_command_wherever_it_is(in_python: Place, places: Places) -> None:
    place = places()
    for file in (in_python.folder / "saved").rglob("*.*"):
        moved = place.folder / "saved" / file.relative_to(in_python.folder / "saved")
        moved.parent.mkdir(parents=True, exist_ok=True)
        moved.write_bytes(file.read_bytes())
    done = place.command("run", "saved/study.yaml")
    assert done.status == 0, done.err
    assert place.results() == in_python.results()


def test_what_came_from_memory_is_stored_with_the_run(in_python: Place) -> None:
    (summary,) = in_python.runs("summary")
    client, id = in_python.client(), summary.info.run_id
    for split in SIZES:
        text = Path(client.download_artifacts(id, f"rows/{split}.jsonl")).read_text()
        assert [json.loads(line) for line in text.splitlines()] == rows(split)
    record = json.loads(Path(client.download_artifacts(id, "study.json")).read_text())
    assert [Path(file).name for file in record["rows"].values()] == [
        Path(file).name for file in map(str, record["study"]["data"]["splits"].values())
    ]
    source = Path(client.download_artifacts(id, f"task/{record['task_file']}")).read_text()
    assert "def example(row: Mapping[str, Any], id: str) -> Example:" in source


def final(place: Place, cell: str) -> str:
    (run,) = place.runs("final", cell=cell)
    return str(run.info.run_id)


def forget(place: Place) -> None:
    for file in (place.folder / ".harness" / ".memory").iterdir():
        file.unlink()


def test_a_run_is_reproduced_from_the_store_alone(in_python: Place, places: Places) -> None:
    place = places.copy(in_python)
    forget(place)
    shown = place.command("reproduce", final(place, "cue/head"))
    assert shown.status == 0, shown.out + shown.err
    assert "the same to the last bit" in shown.out


def test_what_cannot_be_rebuilt_is_said(places: Places) -> None:
    place = places()
    with inside(place):
        Study(**{**QUICK, "tuning": ["none"], "tracking": {"texts": False}}, data=FRAMES).run()
    (summary,) = place.runs("summary")
    assert not [file for file in place.client().list_artifacts(summary.info.run_id) if file.path == "rows"]
    assert place.command("reproduce", final(place, "bare/none")).status == 0  # the workspace still has them
    forget(place)
    shown = place.command("reproduce", final(place, "bare/none"))
    assert shown.status == 2
    assert "the rows of train came from memory and were kept off the store (tracking.texts: false), and" in shown.err


def finished_runs(place: Place) -> set[str]:
    """Return the ids of the trials and final runs that ended well."""
    runs = [*place.runs("search"), *place.runs("final")]
    return {run.info.run_id for run in runs if run.info.status == "FINISHED"}


SCRIPT = """
import os, signal, sys
import pandas as pd
from harness import Study
from tests.support.python_study import QUICK, own_task
from tests.support.study_fixture import SIZES, rows

left = int(sys.argv[1])

def on_event(event):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)

study = Study(**{**QUICK, "task": own_task()}, data={split: pd.DataFrame(rows(split)) for split in SIZES})
study.run(on_event=on_event)
"""


def in_a_process(place: Place, events: int) -> int:
    """Run the study of `in_python` in a process of its own, which kills itself after some events; none: it does not."""
    root = Path(__file__).parents[2]
    env = {**os.environ, "PYTHONPATH": str(root), "MLFLOW_TRACKING_URI": place.uri, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", SCRIPT, str(events)]
    return subprocess.run(command, cwd=place.folder, env=env, capture_output=True, text=True, check=False).returncode


@pytest.mark.slow
@pytest.mark.parametrize("events", [2, 9])
def test_a_second_process_resumes_what_was_killed(events: int, in_python: Place, places: Places) -> None:
    place = places()
    assert in_a_process(place, events) == -signal.SIGKILL
    before = finished_runs(place)
    assert bool(before) == (events > 2)
    assert in_a_process(place, 0) == 0
    assert place.results() == in_python.results()
    after = finished_runs(place)
    assert before <= after, "what was done stays"
    assert len(after) == len(finished_runs(in_python)), "and is done once"
    place.clean()


@pytest.mark.slow
def test_an_interrupt_leaves_a_study_that_resumes(in_python: Place, places: Places) -> None:
    place = places()
    study = {**QUICK, "task": own_task()}

    def interrupt(event: Mapping[str, Any]) -> None:
        if event["event"] == "final":
            raise KeyboardInterrupt

    with inside(place):
        with pytest.raises(KeyboardInterrupt):
            Study(**study, data=FRAMES).run(on_event=interrupt)
        assert {run.info.status for run in place.runs()} <= {"FINISHED", "KILLED"}
        result = Study(**study, data=FRAMES).run()
    assert place.results() == in_python.results()
    assert result.first is not None


def test_events_are_those_of_the_command_in_the_order_of_each_job(places: Places) -> None:
    place, heard = places(), list[Mapping[str, Any]]()
    with inside(place):
        result = Study(**QUICK, data=FRAMES).run(on_event=heard.append)
    json.dumps(heard, allow_nan=False)
    jobs: dict[str, list[str]] = {}
    for event in heard[1:-1]:
        jobs.setdefault(event["job"], []).append(event["event"])
    assert (heard[0]["event"], heard[-1]["event"]) == ("started", "finished")
    assert jobs["bare/head trial 0"] == ["epoch", "trial"]
    assert jobs["bare/head seed 11"][-1] == "final"
    assert {event["cell"] for event in heard[1:-1]} == {cell.id for cell in result.cells} == set(heard[0]["cells"])
    assert heard[-1]["result"]["best"] == result.first
    done = places().command("run", "study.yaml", *COMMAND_QUICK, "--json")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    told = [json.loads(line) for line in lines]
    shape = [(event["event"], event.get("job"), sorted(event)) for event in heard]
    assert [(event["event"], event.get("job"), sorted(event)) for event in told] == shape


@pytest.mark.slow
def test_a_listener_that_fails_does_not_lose_the_study(finished: Place, places: Places) -> None:
    place, calls = places(), list[object]()

    def fail(event: Mapping[str, Any]) -> None:
        calls.append(event)
        raise OSError("no route to the tracker")

    with inside(place):
        Study(**QUICK, data=FRAMES).run(on_event=fail)
    assert len(calls) == 1
    assert place.results() == finished.results()


def test_trials_name_their_metric_rate_and_run(in_python: Place) -> None:
    storage = f"sqlite:///{in_python.folder / 'optuna.db'}"
    runs = {run.info.run_id: run for run in in_python.runs("search")}
    searches = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
    trials = [trial for search in searches for trial in search.trials]
    assert {trial.user_attrs["mlflow_run_id"] for trial in trials} == set(runs)
    for trial in trials:
        rate = float(runs[trial.user_attrs["mlflow_run_id"]].data.params["learning_rate"])
        assert rate == trial.user_attrs["learning_rate"] == trial.params["learning_rate"]
        assert trial.user_attrs["metric"] == "chrf"


@pytest.mark.slow
def test_a_model_from_memory_is_saved_once_and_goes_by_its_folder(places: Places, finished: Place) -> None:
    place = places()
    with inside(place):
        pair = AutoModelForCausalLM.from_pretrained("model"), AutoTokenizer.from_pretrained("model")
        studies = [Study(**{**QUICK, "model": pair}, data=FRAMES) for _ in range(2)]
        assert len({study.file.study.model.name for study in studies}) == 1
        studies[0].run()
    assert place.results() == finished.results()


def test_a_task_s_own_data_are_found_from_the_working_folder(places: Places) -> None:
    place = places()
    task = Task("tiny_task", "data", [Template("bare", "{{ source }}\n", shorten="source")], ["chrf"], 12)
    with inside(place):
        assert len(Study(**{**QUICK, "task": task}).check().examples["train"]) == SIZES["train"]


def test_sizes_hold_beside_rows(places: Places) -> None:
    place = places()
    with inside(place):
        checked = Study(**QUICK, data={"train": rows("train"), "validation": 4, "test": 5}).check()
        other = Study(**QUICK, data={"rows": FRAMES, "train": 7}).check()
    assert {split: len(examples) for split, examples in checked.examples.items()} == {"train": 15, "validation": 4}
    assert len(other.examples["train"]) == 7


def test_nothing_is_written_before_it_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Study(**{**QUICK, "task": own_task()}, data=FRAMES)
    assert list(tmp_path.iterdir()) == []


def test_a_study_runs_again_whose_workspace_was_cleared(places: Places) -> None:
    place = places()
    with inside(place):
        study = Study(**{**QUICK, "tuning": ["none"]}, data=FRAMES)
        before = study.run().table()
        shutil.rmtree(".harness")
        assert study.run().table().equals(before)


def test_other_rows_are_other_data(places: Places) -> None:
    place = places()
    with inside(place):
        changed = FRAMES["train"].assign(target=FRAMES["train"]["target"] + " again")
        names = [
            Study(**QUICK, data={**FRAMES, "train": frame}).file.memory["train"] for frame in (FRAMES["train"], changed)
        ]
        assert names[0] != names[1]


def test_a_study_s_store_stays_its_own(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = places()
    with inside(place):
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        before = mlflow.get_tracking_uri()
        tracking = {"uri": place.uri, "experiment": "tiny"}
        result = Study(**{**QUICK, "tuning": ["none", "head"], "tracking": tracking}, data=FRAMES).run()
        assert mlflow.get_tracking_uri() == before
        assert {"MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID"}.isdisjoint(os.environ)
        assert len(result.predictions("cue/none")) == SIZES["test"]
        assert result.best.predict(["short note"])


def test_a_workspace_is_the_command_s_home(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is written goes there, and is found there, by Python and by the command; nothing is left in force."""
    place = places(store=False)
    before = place.files()
    with inside(place):
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        few = {**QUICK, "tuning": ["none", "head"], "prompts": ["bare"]}
        study = Study(**few, data=FRAMES, workspace="runs")
        result = study.run()
        assert result.best.predict(["short note"])
        assert len(result.predictions("bare/none")) == SIZES["test"]
        assert repr(Result.load("tiny", workspace="runs")) == repr(result)
        (other,) = {"bare/none", "bare/head"} - {result.first}
        assert compare(f"tiny:{other}", Study(**few, data=FRAMES, workspace="runs")).b.name == f"tiny:{result.first}"
        assert "HARNESS_HOME" not in os.environ
        with pytest.raises(UserError, match="knows no study 'tiny'"):
            Result.load("tiny")
    new = {file for file in place.files() - before if not file.startswith("runs")}
    assert new == set()
    assert {"runs/mlflow.db", "runs/optuna.db", "runs/reports/tiny/report.md"} <= place.files()
    assert "finished" in place.command("status", "tiny", "--home", "runs", env={"MLFLOW_TRACKING_URI": ""}).out
