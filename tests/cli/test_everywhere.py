"""What every command takes: a home for all that is written, how much is said; and completion, version, help."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.support.study_fixture import Place, Places

QUICK = ("prompts=[bare]", "tuning=[none, head]", "search.trials=1", "final.seeds=[11]", "training.epochs=1")
STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


def files(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if "__pycache__" not in file.parts}


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> tuple[Place, Path]:
    """A small study that was run with a home elsewhere, and that home."""
    place, home = Places(tmp_path_factory.mktemp("home"))(store=False), tmp_path_factory.mktemp("elsewhere") / "home"
    before = files(place.folder)
    done = command(place, "run", "study.yaml", *QUICK, "--home", str(home))
    assert done.status == 0, done.err
    assert re.search(rf"^{STAMP} 2 cells, 3 runs to do$", done.out, re.MULTILINE)
    assert files(place.folder) == before, "nothing is written elsewhere"
    return place, home


def command(place: Place, *arguments: str, **env: str):  # type: ignore[no-untyped-def]
    return place.command(*arguments, env={"MLFLOW_TRACKING_URI": "", **env})


def test_all_that_is_written_goes_home(away: tuple[Place, Path]) -> None:
    _, home = away
    assert {file.name for file in home.iterdir()} >= {".harness", "reports", "mlflow.db", "mlruns", "optuna.db"}
    assert (home / "reports" / "tiny" / "results.csv").exists()
    assert any((home / "mlruns" / "tiny").rglob("study.yaml"))


def test_other_commands_find_it_there(away: tuple[Place, Path]) -> None:
    place, home = away
    before = files(place.folder)
    (home / "reports" / "tiny" / "report.md").unlink()
    assert command(place, "--home", str(home), "report", "tiny").status == 0, "before the command as well as behind it"
    assert (home / "reports" / "tiny" / "report.md").exists()
    assert "finished" in command(place, "list", HARNESS_HOME=str(home)).out
    assert "2 of 2 cells done" in command(place, "status", "study.yaml", HARNESS_HOME=str(home)).out
    assert str(home) in command(place, "clean", "tiny", "--dry-run", "--home", str(home)).out
    assert command(place, "list", "--home", f"{home}-empty").out.count("has no studies") == 1
    again = command(place, "run", "study.yaml", *QUICK, HARNESS_HOME=str(home))
    assert "0 runs to do, 3 of 3 are there" in again.out
    assert files(place.folder) == before


def test_a_model_at_home_answers(away: tuple[Place, Path]) -> None:
    place, home = away
    (place.folder / "rows.jsonl").write_text('{"source": "one two"}\n', encoding="utf-8")
    answers = home / "answers.jsonl"
    shown = command(place, "predict", "tiny", "--input", "rows.jsonl", "--output", str(answers), "--home", str(home))
    assert shown.status == 0, shown.err
    assert len(answers.read_text().splitlines()) == 1


def test_a_home_that_is_none_is_refused(away: tuple[Place, Path]) -> None:
    shown = command(away[0], "list", "--home", "study.yaml")
    assert shown.status == 2
    assert "--home study.yaml is no folder, and none can be made there: File exists; name another" in shown.err
    shown = command(away[0], "list", HARNESS_HOME="study.yaml")
    assert "HARNESS_HOME study.yaml is no folder" in shown.err


def test_paths_that_are_set_stay_with_the_working_folder(away: tuple[Place, Path]) -> None:
    place, home = away
    shown = command(place, "check", "study.yaml", "data.path=data", "--home", str(home), "--json")
    assert '"source": "data"' in shown.out


def test_quiet_and_verbose(away: tuple[Place, Path]) -> None:
    place, home = away
    usual = command(place, "run", "study.yaml", *QUICK, "--home", str(home))
    quiet = command(place, "run", "study.yaml", *QUICK, "--home", str(home), "-q")
    verbose = command(place, "-v", "run", "study.yaml", *QUICK, "--home", str(home))
    assert "runs to do" in usual.out
    assert "runs to do" not in quiet.out
    assert "next:" not in quiet.out
    assert "bare/head" in quiet.out, "the results are there"
    assert (quiet.err, usual.err) == ("", "")
    for program in ("run", "plan"):
        events = command(place, program, "study.yaml", *QUICK, "--home", str(home), "--json", "-q")
        assert (events.status, events.err) == (0, "")
    line = rf"^{STAMP},\d+ INFO harness: bare/head: 0 trials and 0 final runs to do, 2 there$"
    assert re.search(line, verbose.err, re.MULTILINE)
    assert command(place, "list", "--home", str(home)).err == "", "the next command of a process says no more for it"


def shell(place: Path, *command: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=place, env={**os.environ, **env}, capture_output=True, text=True, check=True, timeout=120
    )


def test_the_version_and_the_help_from_any_folder(tmp_path: Path) -> None:
    python = (sys.executable, "-P", "-m", "harness")
    assert shell(tmp_path, *python, "--version").stdout == f"harness {version('prompt-depth-harness')}\n"
    shown = shell(tmp_path, *python, "--help", COLUMNS="100").stdout
    for words in ("Usage: harness ", "Examples:", "HARNESS_HOME", "MLFLOW_TRACKING_URI", "Exit status:", "130 or 143"):
        assert words in shown
    names = re.findall(r"^│ ([a-z]+) ", shown, re.MULTILINE)
    assert {"list", "status", "schema", "run", "check"} <= set(names)


def test_every_command_has_an_example_and_the_common_options(away: tuple[Place, Path]) -> None:
    place, _ = away
    names = re.findall(r"^│ ([a-z][a-z-]+) ", place.command("--help").out, re.MULTILINE)
    assert len(names) > 12
    for name in names:
        shown = place.command(name, "--help").out
        assert re.search(rf"Example: harness {name}\b", shown), name
        assert all(option in shown for option in ("--home", "--verbose", "--quiet")), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bash", "zsh"])
def test_a_shell_completes(name: str, tmp_path: Path) -> None:
    """The very script that a shell would source, in that shell."""
    import shutil

    if shutil.which(name) is None:
        pytest.skip(f"no {name} is here")
    (tmp_path / "harness").write_text(f'#!/bin/sh\nexec {sys.executable} -P -m harness "$@"\n', encoding="utf-8")
    (tmp_path / "harness").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    script = shell(tmp_path, "./harness", _HARNESS_COMPLETE=f"source_{name}", PATH=path).stdout
    if name == "zsh":
        assert "#compdef harness" in script
        asked = shell(tmp_path, "./harness", _HARNESS_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS="harness st")
        assert "status" in asked.stdout
        return
    function = re.search(r"complete .*-F (\w+) harness", script)
    assert function
    ask = f'{script}\nCOMP_WORDS=(harness sta); COMP_CWORD=1; {function[1]} harness; printf "%s\\n" "${{COMPREPLY[@]}}"'
    assert shell(tmp_path, "bash", "-c", ask, PATH=path).stdout.split() == ["status"]
