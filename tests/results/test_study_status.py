"""How far a study is, told while a real process runs it, after that was killed, and when it is finished."""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.cli.store_commands import NOBODY
from harness.core.absent_value import NONE
from harness.results.study_status import CellStatus, study_status
from harness.runner.look_up import status_of
from harness.study.find_study import known_study
from harness.tracking.mlflow.study_lease import Holder, boot_of_machine
from harness.tracking.schema import Metrics, PageTags, Tags
from harness.tracking.store_protocols import RunStore
from harness.tracking.stored_run import Run
from tests.support.study_fixture import Place, Places

QUICK = ("prompts=[bare]", "tuning=[head]", "search.trials=6", "final.seeds=[11]", "training.epochs=1")


def told(place: Place, name: str = "tiny") -> dict[str, Any]:
    shown = place.command("status", name, "--json")
    facts: dict[str, Any] = json.loads(shown.out) if shown.status == 0 else {}
    return facts


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    while (said := process.stdout.readline()) and line not in said:
        pass
    assert line in said


def test_a_cell_is_done_when_nothing_of_it_is_missing() -> None:
    assert CellStatus("a", trials=2, trials_wanted=2, finals=1, finals_wanted=1).is_done
    assert CellStatus("a", trials=2, trials_wanted=2, finals=1, finals_wanted=2, failed=1, finals_failed=1).is_done
    assert not CellStatus("a", trials=2, trials_wanted=2, finals=1, finals_wanted=2, failed=1).is_done, "a trial"
    assert not CellStatus("a", trials=1, trials_wanted=2, finals=1, finals_wanted=1).is_done
    assert not CellStatus("a", trials=2, trials_wanted=2, finals_wanted=1).is_done


def test_an_unknown_study_is_refused(finished: Place) -> None:
    shown = finished.command("status", "tinny")
    assert (shown.status, shown.out) == (2, "")
    assert "'tinny'" in shown.err


def test_a_finished_study(finished: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.uri)
    status = status_of("tiny")()
    assert (status.state, status.held_by) == ("finished", None)
    assert status.runs == len(finished.runs("search")) + len(finished.runs("final"))
    assert {cell.cell for cell in status.cells} == finished.table().keys()
    assert all(cell.is_done and not cell.running for cell in status.cells)
    trials = {run.data.tags["cell"]: 0 for run in finished.runs("cell")}
    for run in finished.runs("search"):
        trials[run.data.tags["cell"]] += 1
    assert {cell.cell: cell.trials for cell in status.cells} == trials
    values: dict[str, list[float]] = {cell.cell: [] for cell in status.cells}
    for run in finished.runs("search"):
        values[run.data.tags["cell"]].append(run.data.metrics["validation/chrf"])
    assert {cell.cell: cell.best for cell in status.cells} == {
        cell: max(each) if each else None for cell, each in values.items()
    }
    written = {cell: float(row["validation_chrf"]) for cell, row in finished.table().items()}
    assert {cell.cell: cell.score for cell in status.cells} == pytest.approx(written)


def test_cells_that_were_not_begun_have_their_levels(finished: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(finished.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.uri)
    _, tracker = known_study("tiny")

    class Begun:
        def runs(self) -> list[Any]:
            return [run for run in tracker.runs() if run.phase == "summary"]

        def fetch(self, run: str, file: str) -> bytes:
            return tracker.fetch(run, file)

    cells = study_status(Begun(), "tiny", "7", "").cells  # type: ignore[arg-type]
    assert {cell.cell: (cell.trials_wanted, cell.finals_wanted) for cell in cells} == {
        cell: (0, 1) if cell.endswith("/none") else (1, 1) for cell in finished.table()
    }


class Changed:
    """A store whose runs were changed on the way."""

    def __init__(self, tracker: RunStore, change: Callable[[Run], Run | None], facts: Mapping[str, Any]) -> None:
        self._tracker, self._change, self._facts = tracker, change, facts

    def runs(self) -> list[Run]:
        return [changed for run in self._tracker.runs() if (changed := self._change(run))]

    def fetch(self, run: str, file: str) -> str:
        return json.dumps({**json.loads(self._tracker.fetch(run, file)), **self._facts})


@pytest.fixture
def tracker(finished: Place, monkeypatch: pytest.MonkeyPatch) -> RunStore:
    monkeypatch.chdir(finished.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.uri)
    return known_study("tiny")[1]


def test_a_study_whose_trials_of_a_cell_all_diverged_is_finished(tracker: RunStore) -> None:
    def diverged(run: Run) -> Run | None:
        if run.tags.get(Tags.CELL) != "bare/head":
            return run
        if run.phase == "final":
            return None
        told = {Tags.BEST_TRIAL: NONE} if run.phase == "cell" else {Tags.OUTCOME: "diverged"}
        return replace(run, status="FAILED", tags={**run.tags, **told})

    status = study_status(Changed(tracker, diverged, {}), "tiny", "7", "")  # type: ignore[arg-type]
    head = next(cell for cell in status.cells if cell.cell == "bare/head")
    assert (head.trials, head.failed, head.finals, head.finals_wanted) == (1, 1, 0, 0)
    assert head.is_done
    assert (status.state, status.cells_done) == ("finished", len(status.cells))


def test_the_best_trial_is_the_one_that_the_study_called_better(tracker: RunStore) -> None:
    """As it was recorded: whoever only looks runs no metric of the study's, which may be edited or gone by now."""
    scores = {}

    def twice(run: Run) -> Run:
        if run.phase == "search" and run.tags[Tags.CELL] == "bare/head":
            scores[run.id] = run.metrics[Metrics.OBJECTIVE]
        return run

    class Doubled(Changed):
        def runs(self) -> list[Run]:
            found = super().runs()
            worse = [
                replace(run, id=f"{run.id}-2", metrics={**run.metrics, Metrics.OBJECTIVE: -1.0})
                for run in found
                if run.id in scores
            ]
            return [*found, *worse]

    for maximize in (True, False):
        own = {"maximize": maximize, "lead": "own_metric", "objective": "own_metric"}
        store = Doubled(tracker, twice, own)
        status = study_status(store, "tiny", "7", "")  # type: ignore[arg-type]
        (score,) = scores.values()
        assert next(c.best for c in status.cells if c.cell == "bare/head") == (score if maximize else -1.0)


def test_a_process_elsewhere_that_gives_no_sign_is_gone(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = places()
    client = place.client()
    identity = client.create_experiment("tiny")
    holder = Holder(place.uri, identity)
    assert holder.now() == ""
    client.set_experiment_tag(identity, PageTags.LEASE, "another-boot:1:2 process 7 on elsewhere, 1")
    assert holder.now() == "process 7 on elsewhere"
    monkeypatch.setattr("harness.tracking.mlflow.study_lease.SILENCE", 0.0)
    assert holder.now() == ""
    client.set_experiment_tag(identity, PageTags.LEASE, "another-boot:1:2 process 7 on elsewhere, 2")
    monkeypatch.setattr("harness.tracking.mlflow.study_lease.SILENCE", 90.0)
    assert holder.now() == "process 7 on elsewhere", "it gave a sign"


def test_a_process_of_before_this_machine_was_started_is_gone(places: Places) -> None:
    """What lost its power said no more; a process that has its number by now is another one."""
    place, here = places(), f"process {os.getpid()} on {platform.node()}"
    identity = place.client().create_experiment("tiny")
    for boot, who in ((boot_of_machine(), here), ("another-boot", "")):
        place.client().set_experiment_tag(identity, PageTags.LEASE, f"{boot}:1:2 {here}, 1")
        assert Holder(place.uri, identity).now() == who


@pytest.mark.parametrize("options", [(), ("--json",)], ids=["text", "json"])
def test_watching_ends_when_nobody_reads_on(options: tuple[str, ...], places: Places) -> None:
    """As behind ``| head -1``: a shell waits for all of a pipe."""
    place, sign = places(), f"{boot_of_machine()}:1:2 process {{}} on {platform.node()}, 1"
    client = place.client()
    identity = client.create_experiment("tiny", artifact_location=str(place.folder / "mlruns" / "tiny"))
    client.set_experiment_tag(identity, PageTags.STUDY, "tiny")
    client.set_experiment_tag(identity, PageTags.LEASE, sign.format(os.getpid()))
    with place.process("status", "tiny", "--watch", *options) as watch:
        assert watch.stdout is not None
        assert "running" in watch.stdout.readline()
        watch.stdout.close()
        client.set_experiment_tag(identity, PageTags.LEASE, sign.format(os.getppid()))
        assert watch.wait(timeout=60) == 0


def test_a_study_without_a_record_was_begun(finished: Place) -> None:
    class Empty:
        def runs(self) -> list[Any]:
            return []

    status = study_status(Empty(), "new", "7", "")  # type: ignore[arg-type]
    assert (status.state, status.cells, status.updated) == ("unfinished", (), None)


@pytest.mark.slow
def test_while_it_runs_after_a_kill_and_at_the_end(tmp_path: Path) -> None:
    place = Places(tmp_path)()
    with place.process("run", "study.yaml", *QUICK) as run:
        wait_for(run, "bare/head: trial 1")
        now = told(place)
        assert now["state"] == "running"
        assert f"process {run.pid} on " in now["held_by"]
        head = next(cell for cell in now["cells"] if cell["cell"] == "bare/head")
        assert 2 <= head["trials"] <= head["trials_wanted"] == 6
        assert not head["done"]
        assert head["best"] is not None
        with place.process("status", "tiny", "--watch") as watch:
            wait_for(watch, "tiny: running")
            run.send_signal(signal.SIGKILL)
            run.wait(timeout=60)
            said, _ = watch.communicate(timeout=60)
        assert watch.returncode == 0
        assert said.endswith(f"tiny: {NOBODY}\n")

    killed = told(place)
    assert (killed["state"], killed["held_by"]) == ("unfinished", None)
    with place.process("status", "tiny", "--watch", "--json") as watch:
        assert watch.stdout is not None
        assert json.loads(watch.stdout.readline())["state"] == "unfinished"
        place.run(*QUICK)
        lines = [json.loads(line) for line in watch.communicate(timeout=120)[0].splitlines()]
    assert watch.returncode == 0
    assert lines[-1]["state"] == "finished"
    assert lines[-1] == told(place)


@pytest.mark.slow
def test_watching_ends_with_the_signal_that_ends_it(tmp_path: Path) -> None:
    place = Places(tmp_path)()
    with place.process("run", "study.yaml", *QUICK) as run:
        wait_for(run, "bare/head: trial 0")
        run.send_signal(signal.SIGKILL)
    with place.process("status", "tiny", "--watch") as watch:
        wait_for(watch, "unfinished")
        time.sleep(0.5)
        watch.send_signal(signal.SIGINT)
        watch.communicate(timeout=60)
    assert watch.returncode == 130
