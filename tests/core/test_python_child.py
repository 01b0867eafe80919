"""Children import what this process would, and nothing that merely lies in the working folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.python_child import child_environment, python
from tests.support.canary import Canaries

MODULES = ("calendar.py", "mlflow.py", "uvicorn.py", "yaml.py", "pickle.py", "harness/__init__.py", "sitecustomize.py")


@pytest.fixture
def canaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Canaries:
    canaries = Canaries(tmp_path / "sang")
    for module in MODULES:
        canaries.module(tmp_path / "work" / module)
    monkeypatch.chdir(tmp_path / "work")
    return canaries


@pytest.mark.parametrize("before", [None, "", os.pathsep, f"{os.pathsep}/nowhere"])
def test_the_working_folder_is_on_no_path(
    before: str | None, canaries: Canaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", ["", *(before or "").split(os.pathsep), *sys.path])
    asked = "import calendar, yaml, harness, json, sys; print(json.dumps([sys.path, yaml.__file__, harness.__file__]))"
    grandchild = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {asked!r}], check=True)"
    import yaml

    import harness

    for command in (python("-c", asked), python("-c", grandchild)):
        done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        path, found, own = json.loads(done.stdout)
        assert canaries.sang() == []
        assert found == yaml.__file__
        assert own == harness.__file__
        assert not {"", ".", os.getcwd()} & set(path)


def test_the_code_of_a_stored_model_is_not_taken_for_this(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    canaries = Canaries(tmp_path / "sang")
    canaries.module(tmp_path / "code" / "harness" / "__init__.py")
    monkeypatch.setattr(sys, "path", [str(tmp_path / "code"), *sys.path])
    command = python("-c", "import harness.core")
    done = subprocess.run(command, cwd=tmp_path, env=child_environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, canaries.sang()) == (0, []), done.stderr


@pytest.mark.parametrize("how", [("-m", "harness"), ("-c", "from harness.cli.main import main; main()")])
def test_the_command_itself_imports_nothing_from_it(how: tuple[str, str], tmp_path: Path) -> None:
    canaries = Canaries(tmp_path / "sang")
    for module in ("rich.py", "typer.py", "yaml.py"):
        canaries.module(tmp_path / "work" / module)
    root = str(Path(__file__).parents[2])
    flags = [] if how[0] == "-m" else ["-P"]
    done = subprocess.run(
        [sys.executable, *flags, *how, "tasks"],
        cwd=tmp_path / "work",
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert canaries.sang() == []
    assert done.returncode == 0, done.stderr
    assert "summarization" in done.stdout
