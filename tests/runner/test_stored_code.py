"""Task files that a store holds or names run only where the person ran that very text, or says so."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from harness.study.task_files import has_run, prompt_in, remember
from tests.support.canary import Canaries
from tests.support.study_fixture import TASK, Place, Places

SHORT = ("search.trials=1", "final.seeds=[11]", "tuning=[none, head]", "final.models=none")
OWN_METRIC = """
import numpy as np
from harness import Metric
own = Metric("own", True, lambda said, row: np.array([float(len(said.text))]),
             lambda all: float(np.mean(all)), lambda: "own|1")
"""


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    """A study that is ranked by a metric of its task's own."""
    place = places()
    own = TASK.replace('metrics=["chrf"', 'metrics=[own, "chrf"')
    (place.folder / "task.py").write_text(OWN_METRIC + own)
    place.run(*(part for each in SHORT for part in ("--set", each)))
    return place


@pytest.fixture
def elsewhere(done: Place, places: Places, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Place:
    """The same folder in the hands of somebody who has run nothing."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("harness.study.task_files._HERE", set())
    return places.copy(done)


def artifact(place: Place, name: str) -> Path:
    (file,) = (place.folder / "mlruns").rglob(name)
    return file


def put(place: Place, name: str, text: str) -> None:
    """Change a file of the summary's as somebody would who owns the store."""
    artifact(place, name).write_text(text)
    with closing(sqlite3.connect(place.folder / "mlflow.db")) as store, store:
        store.execute("delete from tags where key like ?", (f"%digest.%{name}",))


def run_of(place: Place, cell: str = "cue/head") -> str:
    return str(place.runs("final", cell=cell)[0].info.run_id)


def verdicts(place: Place) -> int:
    told = json.loads((place.folder / "reports" / "tiny" / "verdicts.json").read_text())
    return len(told["comparisons"])


@pytest.mark.slow
def test_whoever_ran_a_study_reads_it_by_its_name(done: Place) -> None:
    assert done.command("report", "tiny").status == 0
    assert verdicts(done)
    assert done.command("compare", "tiny:cue/head", "tiny:bare/head").status == 0
    assert done.command("reproduce", run_of(done)).status == 0


@pytest.mark.slow
@pytest.mark.parametrize("is_old", [False, True])
def test_a_study_that_was_named_by_a_relative_path_is_read_from_any_folder(
    done: Place, places: Places, tmp_path: Path, is_old: bool
) -> None:
    place, other = places.copy(done), Place(tmp_path)
    facts = json.loads(artifact(place, "study.json").read_text())
    assert facts["file"] == "study.yaml"
    assert facts.pop("working_folder") == str(done.folder)
    if is_old:
        put(place, "study.json", json.dumps(facts))
    env = {"MLFLOW_TRACKING_URI": place.uri, "HARNESS_HOME": str(place.folder)}
    before = verdicts(place)
    for file in ("report.md", "verdicts.json"):
        (place.folder / "reports" / "tiny" / file).unlink()
    assert other.command("report", "tiny", env=env).status == 0
    assert verdicts(place) == before > 0
    assert other.command("compare", "tiny:cue/head", "tiny:bare/head", env=env).status == 0
    again = other.command("reproduce", run_of(place), env=env)
    assert again.status == 0, again.err
    assert "task" not in again.out


@pytest.mark.slow
def test_claims_are_not_replaced_by_none_because_the_metric_is_gone(done: Place, places: Places) -> None:
    place = places.copy(done)
    folder = place.folder / "reports" / "tiny"
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    (place.folder / "task.py").unlink()
    report = place.command("report", "tiny")
    assert report.status == 2
    assert "own was own|1 when the study was run; its task file task.py is not there any more" in report.err
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before
    shutil.rmtree(folder)
    assert place.command("report", "tiny").status == 0
    assert verdicts(place) == 0


def test_a_stranger_s_store_runs_nothing(elsewhere: Place, tmp_path: Path) -> None:
    canaries = Canaries(tmp_path / "sang")
    for file in (elsewhere.folder / "task.py", artifact(elsewhere, "task.py")):
        put(elsewhere, "task.py", canaries.python("task") + artifact(elsewhere, "task.py").read_text())
        file.write_text(canaries.python("task") + file.read_text())
    put(elsewhere, "task.py", artifact(elsewhere, "task.py").read_text())
    report, before = elsewhere.command("report", "tiny"), verdicts(elsewhere)
    assert (report.status, before > 0) == (2, True)
    assert "not run as it now stands" in report.err
    shutil.rmtree(elsewhere.folder / "reports")
    assert elsewhere.command("report", "tiny").status == 0
    assert verdicts(elsewhere) == 0
    assert "not run as it now stands" in (elsewhere.folder / "reports" / "tiny" / "report.md").read_text()
    compared = elsewhere.command("compare", "tiny:cue/head", "tiny:bare/head")
    assert compared.status == 2
    assert "name the study's file to allow it" in compared.err
    assert elsewhere.command("compare", "tiny:cue/head", "tiny:bare/head", "--metric", "chrf").status == 0
    again = elsewhere.command("reproduce", run_of(elsewhere))
    assert again.status == 2
    assert "is code that was not run here before; read it, then say --trust-remote-code" in again.err
    assert canaries.sang() == []
    assert elsewhere.command("reproduce", run_of(elsewhere), "--trust-remote-code").status == 0
    assert canaries.sang() == ["task"]


@pytest.mark.slow
def test_naming_the_study_s_file_allows_its_task(elsewhere: Place) -> None:
    shutil.rmtree(elsewhere.folder / "reports")
    assert elsewhere.command("report", "tiny").status == 0
    assert verdicts(elsewhere) == 0
    assert elsewhere.command("report", "study.yaml").status == 0
    assert verdicts(elsewhere)


@pytest.mark.slow
def test_a_store_cannot_name_another_file_or_a_metric_s_script(done: Place, places: Places, tmp_path: Path) -> None:
    place, canaries = places.copy(done), Canaries(tmp_path / "sang")
    (place.folder / "evil.py").write_text(canaries.python("evil"))
    (place.folder / "script.py").write_text(canaries.python("script"))
    facts = json.loads(artifact(place, "study.json").read_text())
    facts["study"]["task"] = "./evil.py"
    facts["study"]["generality"]["tasks"] = ["./evil.py"]
    put(place, "study.json", json.dumps(facts))
    place.command("report", "tiny")
    place.command("compare", "tiny:cue/head", "tiny:bare/head")
    place.command("reproduce", run_of(place))
    facts["lead"] = "evaluate:./script.py"
    facts["signatures"]["evaluate:./script.py"] = "any"
    put(place, "study.json", json.dumps(facts))
    place.command("report", "tiny")
    assert canaries.sang() == []


@pytest.mark.slow
def test_the_study_s_text_in_a_store_allows_nothing(done: Place, places: Places, tmp_path: Path) -> None:
    place, canaries = places.copy(done), Canaries(tmp_path / "sang")
    (place.folder / "evil.py").write_text(canaries.python("evil"))
    text = artifact(place, "study.yaml").read_text()
    put(place, "study.yaml", text + "generality: {tasks: [./evil.py]}\n")
    place.command("reproduce", run_of(place))
    assert canaries.sang() == []


def test_files_are_remembered_by_their_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("harness.study.task_files._HERE", set())
    file = tmp_path / "task.py"
    file.write_text("a = 'ü'\r\n")
    assert not has_run(file.read_text())
    remember([file])
    remember([file])
    assert len((tmp_path / "state" / "prompt-depth-harness" / "task_files").read_text().split()) == 1
    assert has_run(file.read_text())
    assert not has_run(file.read_text() + " ")
    monkeypatch.setenv("XDG_STATE_HOME", str(file))  # nothing can be kept there
    (tmp_path / "other.py").write_text("b = 1\n")
    remember([tmp_path / "other.py"])
    assert has_run("b = 1\n")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("Template('bare', '{{ a }}')", "{{ a }}"),
        ("Template(text='{{ a }}', shorten='a', name='bare')", "{{ a }}"),
        ("[Template('cue', 'no'), harness.Template('bare', text='yes')]", "yes"),
        ("Template('bare', 'a' + b)", None),
        ("Template(name, '{{ a }}')", None),
        ("Template('bare'", None),
        ("print('bare')", None),
    ],
)
def test_a_prompt_is_read_and_not_run(source: str, said: str | None) -> None:
    assert prompt_in(source, "bare") == said
