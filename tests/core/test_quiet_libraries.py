"""Only the named store is contacted: no library tells anybody of its use, in our processes and their children."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.core.quiet_libraries import SWITCHES, keep_quiet
from tests.support.study_fixture import Place, Places

TESTED = ("PYTEST_CURRENT_TEST", "CI", "GITHUB_ACTIONS", "BUILD_NUMBER", "JENKINS_URL", "TRAVIS", "TF_BUILD")
"""By these MLflow takes a process for a test, and says nothing of its own accord."""

WATCH = """
import os, socket

def told(call):
    def look(self, address, *rest):
        host = address[0] if isinstance(address, tuple) else str(address)
        if self.family in (socket.AF_INET, socket.AF_INET6) and host not in ("127.0.0.1", "::1", "localhost"):
            with open(os.environ["WATCHED"], "a") as file:
                file.write(f"{host}\\n")
            raise OSError("watched")
        return call(self, address, *rest)
    return look

socket.socket.connect = told(socket.socket.connect)
socket.socket.connect_ex = told(socket.socket.connect_ex)
look_up = socket.getaddrinfo

def asked(host, *rest, **more):
    if host not in ("127.0.0.1", "::1", "localhost", None, "", b"127.0.0.1") and str(host) != socket.gethostname():
        with open(os.environ["WATCHED"], "a") as file:
            file.write(f"{host}\\n")
        raise OSError("watched")
    return look_up(host, *rest, **more)

socket.getaddrinfo = asked
"""
"""A ``sitecustomize`` under which a process, and every Python that it starts, says whom it looks for."""

STUDY = ("final.seeds=[11]", "prompts=[bare]", "tuning=[none]")


@pytest.fixture
def watched(tmp_path: Path) -> dict[str, str]:
    """The environment of a process that is watched; what it looks for is in the file ``WATCHED``."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WATCH)
    (tmp_path / "watched").touch()
    path = os.pathsep.join([str(tmp_path / "site"), str(Path(__file__).parents[2])])
    plain = {name: value for name, value in os.environ.items() if name not in (*TESTED, *SWITCHES)}
    return {**plain, "PYTHONPATH": path, "WATCHED": str(tmp_path / "watched"), "OMP_NUM_THREADS": "1"}


def run(place: Place, watched: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", "from harness.cli.main import main; main()", *arguments],
        cwd=place.folder,
        env=watched,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return Path(watched["WATCHED"]).read_text()


def test_the_watch_sees_what_mlflow_would_tell(watched: dict[str, str]) -> None:
    asked = (
        "import mlflow, time; client = mlflow.MlflowClient('sqlite://'); client.create_experiment('a');"
        "client.create_logged_model('1', name='m'); mlflow.telemetry.get_telemetry_client().flush()"
    )
    subprocess.run([sys.executable, "-c", asked], env=watched, capture_output=True, check=False, timeout=120)
    assert "mlflow" in Path(watched["WATCHED"]).read_text()


@pytest.mark.slow
def test_run_and_predict_contact_nobody(places: Places, watched: dict[str, str]) -> None:
    place = places()
    assert run(place, watched, "run", "study.yaml", *(part for each in STUDY for part in ("--set", each))) == ""
    (place.folder / "in.jsonl").write_text(json.dumps({"source": "a note"}) + "\n")
    assert run(place, watched, "predict", "tiny", "--input", "in.jsonl", "--output", "out.jsonl") == ""


@pytest.mark.parametrize("said", ["1", "true", "yes"])
def test_do_not_track_holds_against_a_library_s_own_switch(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SWITCHES:
        monkeypatch.setenv(name, "mine")
    monkeypatch.delenv("DO_NOT_TRACK", raising=False)
    keep_quiet()
    assert {os.environ[name] for name in SWITCHES} == {"mine"}
    monkeypatch.setenv("DO_NOT_TRACK", said)
    keep_quiet()
    assert {name: os.environ[name] for name in SWITCHES} == SWITCHES


def test_left_alone_all_are_off(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SWITCHES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    keep_quiet()
    assert {name: os.environ[name] for name in SWITCHES} == SWITCHES
