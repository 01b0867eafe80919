"""A study with nothing left to do: its model stays unread, and its report as it is, unless something changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.core.workspace import Workspace
from harness.runner.executors import known_model
from harness.runner.executors.crew import Crew
from harness.runner.executors.executor_table import EXECUTORS
from harness.runner.study import Study
from harness.study.checked_study import Checked
from tests.support.study_fixture import QUICK, Place, Places

OVERRIDES = [value for flag, value in zip(QUICK, QUICK[1:], strict=False) if flag == "--set"]


class Loaded(Exception):
    """The model was asked for."""


def refuse(checked: Checked, workspace: Workspace, say: Callable[[str], None], crew: Crew) -> None:
    raise Loaded


@pytest.fixture
def known(finished: Place, places: Places, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A finished study, run again, whose model is known; whoever loads it from now on is told."""
    place = places.copy(finished)
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    monkeypatch.setattr(known_model, "SETTLED", -1e9)
    again()
    monkeypatch.setitem(EXECUTORS, "local", refuse)
    return place


def again() -> None:
    Study.load("study.yaml", OVERRIDES).run()


def report_times(place: Place) -> dict[str, int]:
    files = (file for file in (place.folder / "reports").rglob("*") if file.is_file())
    return {str(file): file.stat().st_mtime_ns for file in files}


@pytest.mark.slow
def test_nothing_is_loaded_and_nothing_drawn_until_something_changed(known: Place) -> None:
    before = report_times(known)
    again()
    assert report_times(known) == before
    (deleted,) = (known.folder / "reports").rglob("results.csv")
    content = deleted.read_bytes()
    deleted.unlink()
    again()
    assert deleted.read_bytes() == content
    weights = next(Path(Study.load("study.yaml").file.study.model.name).rglob("*.safetensors"))
    times = weights.stat()
    weights.write_bytes(weights.read_bytes())
    os.utime(weights, ns=(times.st_atime_ns, times.st_mtime_ns))  # as whoever hides a change would
    with pytest.raises(Loaded):
        again()


@pytest.mark.slow
@pytest.mark.parametrize("override", ["training.batch_size=3", "search.trials=3", "model.trust_remote_code=true"])
def test_another_study_has_its_model_loaded(override: str, known: Place) -> None:
    with pytest.raises(Loaded):
        Study.load("study.yaml", [*OVERRIDES, override]).run()
