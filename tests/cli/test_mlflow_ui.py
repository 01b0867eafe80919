"""The pages are started on the store alone: nothing that lies in the working folder is imported or made there."""

from __future__ import annotations

import signal
import urllib.request
from pathlib import Path

from tests.support.canary import Canaries
from tests.support.study_fixture import Places


def test_modules_of_the_working_folder_are_left_alone(places: Places, tmp_path: Path) -> None:
    place, canaries = places(), Canaries(tmp_path / "sang")
    for module in ("mlflow.py", "calendar.py", "uvicorn.py", "fastapi/__init__.py", "sitecustomize.py"):
        canaries.module(place.folder / module)
    before = place.files()
    pages = place.process("ui")  # on the default store, which has a relative name
    try:
        assert pages.stdout is not None
        line = pages.stdout.readline()
        assert line.startswith("MLflow UI on sqlite:///mlflow.db: http://127.0.0.1:"), line
        address = line.split()[-1]
        urllib.request.urlopen(f"{address}/health", timeout=10).close()
        asked = urllib.request.Request(
            f"{address}/api/2.0/mlflow/experiments/search",
            b'{"max_results": 5}',
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert b"Default" in answer.read()
    finally:
        pages.send_signal(signal.SIGINT)
        out, err = pages.communicate(timeout=60)
    assert pages.returncode == 130, out + err
    assert canaries.sang() == []
    assert {name for name in place.files() - before if not name.startswith("mlflow.db")} <= {
        ".harness",
        ".harness/.lock",
    }
