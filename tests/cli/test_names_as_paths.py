"""Names out of command lines, stores and files are never taken as paths that lead elsewhere, by any command."""

from __future__ import annotations

import hashlib
import json
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import app
from tests.support.study_fixture import QUICK, Done, Place, Places

VICTIM = "VICTIM"
"""Stands for the absolute path of a folder that is nobody's business."""

HOSTILE = [
    *(VICTIM, f"{VICTIM}/", "../../victim", "../victim", "..", ".", "", "~", "~/x", "~nobody-here/x", "a/../../victim"),
    *(".tiny.lock", "tiny/", "./tiny", "x" * 150, "x" * 5000, "tiny'", "%", "models:/..", "models:/", "*"),
]

BY_FILE = ("check", "lint-prompts", "plan", "show", "run")
"""Commands that take a study file, which holds the name."""

ARGUMENTS: dict[str, list[str]] = {
    **{command: [command, "study.yaml", "--set"] for command in BY_FILE},
    "report": ["report"],
    "clean": ["clean", "--yes", "--recordings"],
    "ui": ["ui"],
    "compare": ["compare", "tiny:bare/none"],
    "predict": ["predict", "--input", "asked.jsonl", "--output", "answers.jsonl"],
    "serve": ["serve"],
    "reproduce": ["reproduce"],
    "status": ["status"],
    **{order: [order] for order in ("pause", "resume", "stop", "skip")},
    "more": ["more", "--trials", "1"],
}
"""Before a name, for each command that takes one."""

BEHIND = {"skip": ["bare/*"]}
"""Behind it."""

SERVERS = ("ui", "serve")
"""Commands that go on until they are interrupted, once they know the name."""

OTHERS = {"init", "tasks", "list", "schema"}
"""Commands that take a folder to write to, or nothing."""


@pytest.fixture
def place(finished: Place, tmp_path: Path) -> Place:
    """A study in a folder of its own, with a stranger's folder beside it."""
    copied = Places(tmp_path).copy(finished)
    for name in ("model/config.json", "model/harness.json.txt", "artifacts/keep", "figures/mine.png", "a.txt"):
        file = copied.folder.parent / "victim" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"precious {name}")
    return copied


def around(place: Place) -> dict[str, str]:
    """Return all that lies outside a study's folder, and its content."""
    files = [file for file in place.folder.parent.rglob("*") if place.folder not in (file, *file.parents)]
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else "" for file in files}


def named(name: str, place: Place) -> str:
    return name.replace(VICTIM, str(place.folder.parent / "victim"))


def change(place: Place, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(place.folder / "mlflow.db")) as store, store:
        assert store.execute(statement, values).rowcount > 0


def refused(done: Done) -> bool:
    return done.status == 2 and bool(done.err.strip()) and "Traceback" not in done.err


def test_every_command_is_walked() -> None:
    names = {command.name or str(command.callback.__name__) for command in app.registered_commands if command.callback}
    assert names == ARGUMENTS.keys() | OTHERS


@pytest.mark.slow
@pytest.mark.parametrize("command", ARGUMENTS)
def test_no_command_takes_a_name_as_a_path(command: str, place: Place) -> None:
    before = around(place)
    for hostile in HOSTILE:
        name = named(hostile, place)
        if (
            0 < len(name) <= 500 and command not in SERVERS
        ):  # a store that others share has such an experiment, all of it
            change(place, "update experiments set name = ? where experiment_id = 1", name)
        given = f"name={json.dumps(name)}" if command in BY_FILE else name
        shown = place.command(*ARGUMENTS[command], given, *BEHIND.get(command, []))
        # An experiment may be called by a path: what is done then stays in the places of the study whose it is.
        assert shown.status == 0 or refused(shown), (hostile, shown)
        assert around(place) == before, hostile


@pytest.mark.slow
@pytest.mark.parametrize("server", SERVERS)
def test_a_server_of_an_experiment_that_a_path_names_leads_nowhere(server: str, place: Place) -> None:
    before, name = around(place), "../../victim"
    change(place, "update experiments set name = ? where experiment_id = 1", name)
    with place.process(server, name, env={"MLFLOW_TRACKING_URI": place.uri}) as command:
        assert command.stdout is not None
        assert "http://127.0.0.1" in command.stdout.readline()
        command.send_signal(signal.SIGINT)
        command.communicate(timeout=60)
    assert command.returncode == 130
    assert around(place) == before


def test_a_task_file_out_of_a_store_stays_in_its_folder(place: Place) -> None:
    before, target = around(place), place.folder.parent / "victim" / "planted.py"
    summary, final = place.runs("summary")[0], place.runs("final", cell="bare/head")[0]
    facts = place.folder / "mlruns" / "1" / summary.info.run_id / "artifacts" / "study.json"
    for name in (str(target), "../../../../../victim/planted.py", "..", ""):
        text = json.dumps({**json.loads(facts.read_text()), "task_file": name})
        facts.write_text(text)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        place.client().set_tag(summary.info.run_id, "mlflow.harness.digest.study.json", digest)
        shown = place.command("reproduce", final.info.run_id)
        assert refused(shown), shown
        assert around(place) == before


@pytest.mark.slow
@pytest.mark.parametrize("column", ["runs.artifact_uri", "logged_models.artifact_location"])
def test_clean_deletes_no_folder_that_an_address_in_the_store_names(column: str, place: Place) -> None:
    before, (table, field) = around(place), column.split(".")
    place.run(*QUICK, "--fresh")
    for hostile in (VICTIM, f"{VICTIM}/artifacts", f"file://{VICTIM}", f"file://{VICTIM}/artifacts"):
        change(place, f"update {table} set {field} = ?", named(hostile, place))
        place.command("clean", "tiny", "--yes")
        assert around(place) == before
        place.client().restore_run(place.client().search_runs(["1"], run_view_type=2)[0].info.run_id)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "key"),
    [("params", "seed"), ("tags", "cell"), ("tags", "best_cell"), ("tags", "kept_runs"), ("tags", "study")],
)
def test_values_out_of_a_store_lead_nowhere(table: str, key: str, place: Place) -> None:
    before = around(place)
    change(place, f"update {table} set value = ? where key = ?", "../../../../victim", key)
    for arguments in (["report", "tiny"], ["clean", "tiny", "--yes"], ["run", "study.yaml", *QUICK]):
        place.command(*arguments)
        assert around(place) == before, arguments


@pytest.mark.slow
@pytest.mark.parametrize("link", [".harness/tiny", "reports/tiny", "reports/tiny/figures", ".harness/tiny/finals"])
def test_links_lead_nowhere(link: str, place: Place) -> None:
    before, own = around(place), place.folder / link
    own.parent.mkdir(parents=True, exist_ok=True)
    if own.is_dir():
        own.rename(place.folder / "aside")
    own.symlink_to(place.folder.parent / "victim")
    commands = (["report", "tiny"], ["clean", "tiny", "--yes"], ["run", "study.yaml", *QUICK, "--fresh"])
    statuses = [place.command(*arguments).status for arguments in commands]
    assert around(place) == before
    assert 2 in statuses or not own.is_symlink()
    own.unlink(missing_ok=True)
    assert place.command("report", "tiny").status == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["x" * 300, "~no-such-user-here/x", "/".join(["x" * 200] * 40)])
def test_paths_that_no_file_can_have_are_refused(name: str, place: Place) -> None:
    commands = [
        ["init", name],
        ["check", f"{name}.yaml"],
        *(["check", "study.yaml", "--set", f"{key}={json.dumps(name)}"] for key in ("model.name", "data.path")),
        ["check", "study.yaml", "--set", f"task={json.dumps(name + '/task.py')}"],
        ["check", "study.yaml", "--set", f"generality.text={json.dumps(name + '.txt')}"],
        ["compare", "tiny:bare/none", "tiny:cue/none", "--out", name],
        ["predict", "tiny", "--input", name, "--output", "answers.jsonl"],
        ["predict", "tiny", "--input", "asked.jsonl", "--output", name],
    ]
    for arguments in commands:
        shown = place.command(*arguments)
        assert refused(shown), (arguments, shown)


@pytest.mark.slow
def test_a_long_name_of_a_prompt_is_refused_before_anything_is_trained(place: Place) -> None:
    place.edit("name: cue,", f"name: {'x' * 101},")
    assert refused(place.command("run", "study.yaml", *QUICK))
    place.edit("x" * 101, "x" * 100)
    assert place.command("check", "study.yaml").status == 0
