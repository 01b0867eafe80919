"""Stores whose folder was moved, copied, emptied or needs escapes in addresses; studies that were deleted in MLflow."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import mlflow
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.tracking.address import address_of, local_folder
from tests.support.old_store import as_it_was
from tests.support.study_fixture import QUICK, Place, Places

NOTHING_TO_DO = "6 cells, 0 runs to do"


@pytest.fixture
def place(finished: Place, tmp_path: Path) -> Place:
    """A study that was run in the folder ``place1``, to be moved about."""
    return Places(tmp_path).copy(finished)


def moved(place: Place, name: str = "elsewhere") -> Place:
    return Place(place.folder.rename(place.folder.with_name(name)))


def copied(place: Place, name: str = "elsewhere") -> Place:
    return Place(Path(shutil.copytree(place.folder, place.folder.with_name(name))))


def content(folder: Path) -> dict[str, str]:
    """Return all files of a folder that a command in it would change, by their digests."""
    files = [file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in str(file)]
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def works(place: Place) -> None:
    """See that commands work on a store, that nothing is made again, and that no address leads out of its folder."""
    before = content(place.folder / "mlruns")
    for arguments in (["report", "tiny"], ["compare", "tiny:bare/head", "tiny:cue/head"]):
        shown = place.command(*arguments)
        assert shown.status == 0, shown
    assert content(place.folder / "mlruns") == before
    assert NOTHING_TO_DO in place.run(*QUICK).out
    answers = place.folder / "answers.jsonl"
    answers.unlink(missing_ok=True)
    shown = place.command("predict", "tiny", "--input", "asked.jsonl", "--output", answers.name)
    assert shown.status == 0, shown
    addresses = [run.info.artifact_uri for run in place.runs()]
    addresses += [model.artifact_location for model in place.client().search_logged_models(["1"])]
    assert [address for address in addresses if place.folder not in Path(address).parents] == []


@pytest.mark.slow
def test_a_moved_store_works_where_it_is_now(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    before, results = place.folder, place.results()
    there = moved(place)
    assert there.command("report", "tiny").status == 0
    assert [str(before) in each.message and str(there.folder) in each.message for each in caplog.records] == [True]
    works(there)
    assert there.results() == results
    assert not before.exists()
    assert len(caplog.records) == 1
    mlflow.set_tracking_uri(there.uri)
    plain = mlflow.pyfunc.load_model("models:/tiny@champion").predict(pd.DataFrame([{"source": "short note about"}]))
    assert plain[0] == json.loads((there.folder / "answers.jsonl").read_text())["prediction"]


@pytest.mark.slow
def test_what_begins_with_run_goes_on_in_the_new_place(place: Place) -> None:
    there = moved(place)
    there.run(*QUICK, "--set", "search.trials=2", "--cells", "bare/head")
    assert not place.folder.exists()
    assert [run for run in there.runs() if str(there.folder) not in run.info.artifact_uri] == []


@pytest.mark.slow
def test_a_copied_store_leaves_the_first_one_alone(place: Place) -> None:
    there = copied(place)
    before = content(place.folder)
    works(there)
    there.run(*QUICK, "--fresh")
    assert there.command("clean", "tiny", "--yes", "--recordings").status == 0
    assert content(place.folder) == before
    works(place)


@pytest.mark.slow
def test_a_store_that_an_earlier_version_wrote_may_have_moved(tmp_path: Path) -> None:
    as_it_was(tmp_path / "new")
    place = Place(tmp_path / "new")
    shown = place.command("report", "finished")
    assert shown.status == 0, shown
    expected = (place.folder / "expected" / "results.csv").read_bytes()
    assert (place.folder / "reports" / "finished" / "results.csv").read_bytes() == expected
    shown = place.command("predict", "models:/finished@champion", "--input", "asked.jsonl", "--output", "answers.jsonl")
    assert shown.status == 0, shown
    assert (place.folder / "answers.jsonl").read_bytes() == (place.folder / "expected" / "answers.jsonl").read_bytes()
    assert not Path("/old-store").exists()


@pytest.mark.slow
@pytest.mark.parametrize("commands", [["report", "tiny"], ["clean", "tiny", "--yes"], ["predict", "tiny"], ["run"]])
def test_a_copy_of_the_database_alone_is_refused(commands: list[str], place: Place) -> None:
    there = copied(place)
    shutil.rmtree(there.folder / "mlruns")
    before, other = content(there.folder), content(place.folder)
    shown = there.command(*completed(commands))
    assert shown.status == 2, shown
    assert "Traceback" not in shown.err
    repair = shown.err.replace("\n", " ").partition("cp -r ")[2].split("'")
    assert changed(before, there) == []
    assert content(place.folder) == other
    shutil.copytree(repair[1], Path(repair[3]) / "mlruns")
    works(there)
    assert content(place.folder) == other


@pytest.mark.slow
@pytest.mark.parametrize("commands", [["report", "tiny"], ["clean", "tiny", "--yes"], ["predict", "tiny"], ["run"]])
def test_a_store_whose_files_are_gone_with_their_folder_is_refused(commands: list[str], place: Place) -> None:
    database = place.folder.parent / "database"
    database.mkdir()
    for file in place.folder.glob("mlflow.db*"):
        file.rename(database / file.name)
    env = {"MLFLOW_TRACKING_URI": f"sqlite:///{database}/mlflow.db"}
    work = place.folder.parent / "work"
    shutil.copytree(place.folder, work, ignore=shutil.ignore_patterns("mlruns"))
    away = place.folder.rename(place.folder.parent / "away")
    before = content(work)
    shown = Place(work).command(*completed(commands), env=env)
    assert shown.status == 2, shown
    assert "Traceback" not in shown.err
    assert changed(before, Place(work)) == []
    assert not place.folder.exists()
    repair = shown.err.replace("\n", " ").partition("ln -s NEW_FOLDER '")[2].partition("'")[0]
    os.symlink(away, repair)
    assert Place(work).command("report", "tiny", env=env).status == 0


def completed(command: list[str]) -> list[str]:
    more = {"run": ["study.yaml", *QUICK], "predict": ["--input", "asked.jsonl", "--output", "answers.jsonl"]}
    return [*command, *more.get(command[0], [])]


def changed(before: dict[str, str], place: Place) -> list[str]:
    """Return the files that a refused command wrote; locks are no writing."""
    after = content(place.folder)
    return [name for name in after if after[name] != before.get(name) and not name.endswith((".lock", "-shm", "-wal"))]


@pytest.mark.slow
def test_only_the_folder_of_the_work_moved(place: Place) -> None:
    database = place.folder.parent / "database"
    database.mkdir()
    for file in place.folder.glob("mlflow.db*"):
        file.rename(database / file.name)
    env = {"MLFLOW_TRACKING_URI": f"sqlite:///{database}/mlflow.db"}
    assert place.command("report", "tiny", env=env).status == 0
    there = moved(place)
    for arguments in (["report", "tiny"], ["run", "study.yaml", *QUICK]):
        shown = there.command(*arguments, env=env)
        assert shown.status == 0, shown
    assert not place.folder.exists()


@pytest.mark.slow
def test_files_that_were_deleted_in_place_are_made_again(place: Place) -> None:
    results = place.results()
    shutil.rmtree(place.folder / "mlruns")
    shown = place.command("report", "tiny")
    assert shown.status == 2, shown
    assert "harness run" in shown.err
    place.run(*QUICK)
    assert place.results() == results
    works(place)


@pytest.mark.slow
def test_a_store_behind_a_link_is_the_same_store(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    link = Place(place.folder.with_name("link"))
    link.folder.symlink_to(place.folder)
    assert link.command("report", "tiny").status == 0
    assert NOTHING_TO_DO in link.run(*QUICK).out
    assert not caplog.records


def test_addresses_of_runs_made_after_a_move_into_the_old_place_stay(place: Place) -> None:
    there = copied(place)
    final = place.runs("final")[0].info.run_id
    shutil.rmtree(there.folder / "mlruns" / "1" / final)  # as if an earlier version had written it into the old folder
    (place.folder / "mlflow.db").unlink()
    assert there.command("report", "tiny").status == 0
    address = there.client().get_run(final).info.artifact_uri
    assert Path(address) == place.folder / "mlruns" / "1" / final / "artifacts"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a#b", "a%25b c?d;e&f=g+h größer 100%"])
def test_a_folder_whose_name_needs_escapes(name: str, tmp_path: Path) -> None:
    fresh = Places(tmp_path)()
    place = Place(fresh.folder.rename(tmp_path / name))
    shown = place.process("run", "study.yaml", *QUICK)
    out, err = shown.communicate(timeout=240)
    assert shown.returncode == 0, out + err
    assert [folder.name for folder in tmp_path.iterdir() if folder.is_dir() and folder.name != "gpt2"] == [name]
    again = place.process("run", "study.yaml", *QUICK)
    out, err = again.communicate(timeout=240)
    assert NOTHING_TO_DO in out, out + err
    (place.folder / "asked.jsonl").write_text('{"source": "short note about"}\n')
    answered = place.process("predict", "tiny", "--input", "asked.jsonl", "--output", "answers.jsonl")
    out, err = answered.communicate(timeout=240)
    assert answered.returncode == 0, out + err
    assert [folder.name for folder in tmp_path.iterdir() if folder.is_dir() and folder.name != "gpt2"] == [name]


@given(st.lists(st.text("ab %#?;ü25", min_size=1, max_size=6), min_size=1, max_size=3).filter(lambda parts: all(parts)))
def test_an_address_leads_back_to_its_folder(parts: list[str]) -> None:
    folder = Path("/", *parts)
    assert local_folder(address_of(folder)) == folder
    assert local_folder(folder.as_uri()) == folder


@pytest.mark.parametrize("address", ["s3://bucket/x", "mlflow-artifacts:/1/x", "http://server/x", "dbfs:/x"])
def test_what_is_on_a_server_is_no_folder(address: str) -> None:
    assert local_folder(address) is None


@contextmanager
def served(place: Place) -> Iterator[str]:
    """Start MLflow's pages with their default store, and yield their address."""
    server = place.process("ui")
    try:
        assert server.stdout is not None
        yield server.stdout.readline().split()[-1]
    finally:
        server.terminate()
        server.communicate(timeout=90)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["elsewhere", "a%20b #c"])
def test_the_pages_show_the_files_of_a_moved_store(name: str, place: Place) -> None:
    summary = place.runs("summary")[0].info.run_id
    with served(moved(place, name)) as address:
        query = urllib.parse.urlencode({"path": "report/report.html", "run_uuid": summary})
        with urllib.request.urlopen(f"{address}/get-artifact?{query}", timeout=30) as page:
            assert b"Does a cue help" in page.read()
    assert not place.folder.exists()


COMMANDS = [
    ["run", "study.yaml", *QUICK],
    ["report", "tiny"],
    ["clean", "tiny", "--yes"],
    ["compare", "tiny:bare/head", "tiny:cue/head"],
    ["predict", "tiny", "--input", "asked.jsonl", "--output", "answers.jsonl"],
    ["serve", "tiny"],
    ["ui", "tiny"],
]


@pytest.mark.slow
def test_a_study_that_was_deleted_in_mlflow_is_left_alone(place: Place) -> None:
    place.client().delete_experiment("1")
    before = content(place.folder / "mlruns")
    for arguments in COMMANDS:
        shown = place.command(*arguments)
        assert shown.status == 2, shown
        assert "mlflow experiments restore --experiment-id 1" in shown.err.replace("\n", " ")
        assert content(place.folder / "mlruns") == before
    place.client().restore_experiment("1")
    works(place)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["summary", "cell", "final", "search", "reference"])
def test_runs_that_were_deleted_in_mlflow(phase: str, place: Place) -> None:
    champion = place.client().get_model_version_by_alias("tiny", "champion")
    for run in place.runs(phase):
        place.client().delete_run(run.info.run_id)
    with closing(sqlite3.connect(place.folder / "mlflow.db")) as store:
        (model,) = store.execute("select artifact_location from logged_models").fetchone()
    for arguments in COMMANDS[1:5]:
        shown = place.command(*arguments)
        assert shown.status in (0, 2), shown
        assert "Traceback" not in shown.err
        assert Path(model).is_dir(), "the best model was deleted"
    place.run(*QUICK)
    assert place.client().get_model_version("tiny", champion.version)
    (place.folder / "answers.jsonl").unlink(missing_ok=True)  # another model may be the best by now
    for arguments in COMMANDS[1:5]:
        shown = place.command(*arguments)
        assert shown.status == 0, shown
