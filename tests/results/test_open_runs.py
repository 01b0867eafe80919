"""Runs that are under way, or that a kill left: results are read from those that ended."""

from __future__ import annotations

import math
from dataclasses import replace
from unittest import mock

import pytest

from harness.results.collect import collect
from harness.study.find_study import known_study
from harness.tracking.schema import Tags
from harness.tracking.stored_run import Run
from tests.support.study_fixture import Place


def test_a_run_that_has_not_ended_is_no_result(finished: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.uri)
    tracker = known_study("tiny")[1]
    runs, whole = tracker.runs(), collect(tracker, "tiny")

    def more(*, removed: bool = False) -> list[Run]:
        return [] if removed else [*runs, *map(cut_short, runs)]

    def cut_short(run: Run) -> Run:
        tags = {name: value for name, value in run.tags.items() if name != Tags.OUTCOME}
        phase = run.phase if run.phase in ("search", "final") else "interrupted"
        return replace(run, id=f"{run.id}-2", status="RUNNING", seconds=math.nan, tags={**tags, Tags.PHASE: phase})

    with mock.patch.object(tracker, "runs", more):
        cut = collect(tracker, "tiny")
    assert [(len(cell.trials), len(cell.finals), cell.seconds) for cell in cut.cells] == [
        (len(cell.trials), len(cell.finals), cell.seconds) for cell in whole.cells
    ]
    assert all(trial.state == "complete" for cell in cut.cells for trial in cell.trials)
    assert cut.curves == whole.curves
