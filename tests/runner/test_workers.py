"""Several workers: the table of one, whoever dies on the way; nothing outlives the driver."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.core.progress import Progress
from harness.runner.executors import worker
from harness.runner.executors.protocol import Job
from harness.runner.executors.worker import Worker
from harness.runner.study import Study
from tests.support.fuse import TASK_WITH_FUSE
from tests.support.kill_moments import running
from tests.support.study_fixture import Place, Places
from tests.support.worker_processes import gone, worker_processes

STUDY = ("--set", "tuning=[none, head]", "--set", "search.metric=perplexity")
SAMPLERS = {
    "grid": ("--set", "search.sampler=grid", "--set", "search.trials=4"),
    "random": ("--set", "search.sampler=random", "--set", "search.trials=3"),
    "gp": ("--set", "search.sampler=gp", "--set", "search.trials=5"),
}
RANDOM = (*STUDY, *SAMPLERS["random"])
KEYS = [key for key in RANDOM if key != "--set"]


class Lines(Progress):
    """Keeps what people are told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def say(self, text: str) -> None:
        self.told.append(text)


@pytest.fixture(scope="module")
def alone(places: Places) -> dict[str, bytes]:
    """Tables of one process, by sampler, made as they are asked for."""

    class Tables(dict[str, bytes]):
        def __missing__(self, sampler: str) -> bytes:
            self[sampler] = done(places(), sampler).results()
            return self[sampler]

    return Tables()


def done(place: Place, sampler: str, *arguments: str) -> Place:
    process = place.process("run", "study.yaml", *STUDY, *SAMPLERS[sampler], *arguments)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    place.clean()
    return place


def study_in(place: Place, monkeypatch: pytest.MonkeyPatch, *keys: str) -> Study:
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return Study.load("study.yaml", [*KEYS, *keys])


def logs(place: Place) -> dict[str, str]:
    return {log.name: log.read_text(encoding="utf-8") for log in (place.folder / ".harness" / "tiny").glob("*.log")}


def trials_of(place: Place) -> int:
    return sum(": begun" in line and " trial " in line for text in logs(place).values() for line in text.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("sampler", list(SAMPLERS))
@pytest.mark.parametrize("workers", [2, 4])
def test_the_table_is_that_of_one_process(sampler: str, workers: int, alone: dict[str, bytes], places: Places) -> None:
    place = done(places(), sampler, "--workers", str(workers))
    assert place.results() == alone[sampler]
    assert sorted(logs(place)) == [f"worker-{number}.log" for number in range(1, workers + 1)]
    assert trials_of(place) == 2 * int(SAMPLERS[sampler][-1].rpartition("=")[2])
    assert place.runs("interrupted") == []
    assert gone(place, 0.5)


@pytest.fixture
def started(places: Places) -> Iterator[tuple[Place, subprocess.Popen[str]]]:
    """Yield a study with two workers whose trials are under way, and ends it."""
    place = places()
    process = place.process("run", "study.yaml", *RANDOM, "--workers", "2")
    try:
        end = time.monotonic() + 240
        while process.poll() is None and not running("search", 2)(place):
            assert time.monotonic() < end
            time.sleep(0.01)
        assert process.poll() is None, process.communicate()
        yield place, process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_costs_nothing(
    started: tuple[Place, subprocess.Popen[str]], alone: dict[str, bytes]
) -> None:
    place, process = started
    worker_processes(place)[0].kill()
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    place.clean()
    assert place.results() == alone["random"]
    assert len(place.runs("search")) == 6
    assert len(place.runs("interrupted")) <= 1, "one that had no job just then costs none"
    if place.runs("interrupted"):
        assert "was ended by SIGKILL" in out


@pytest.mark.slow
def test_the_driver_is_killed_and_takes_its_workers_with_it(
    started: tuple[Place, subprocess.Popen[str]], alone: dict[str, bytes]
) -> None:
    place, process = started
    assert len(worker_processes(place)) == 2
    process.kill()
    process.communicate()
    assert gone(place)
    assert any(run.info.status == "RUNNING" for run in place.runs())
    ended = {run.info.run_id for run in place.runs("search") if run.info.status == "FINISHED"}
    assert done(place, "random", "--workers", "2").results() == alone["random"]
    assert ended <= {run.info.run_id for run in place.runs("search")}, "nothing that had ended is done again"
    assert len(place.runs("search")) == 6


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_within_seconds(number: int, started: tuple[Place, subprocess.Popen[str]]) -> None:
    place, process = started
    began = time.monotonic()
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 128 + number, err
    crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # of other processes, which take their share of time
    assert time.monotonic() - began < 10 * crowd
    assert gone(place, 1.0)
    place.clean()
    assert err.splitlines() == ["interrupted; the same command goes on from here"]


def killing(monkeypatch: pytest.MonkeyPatch, job: str, times: int, number: int = signal.SIGKILL) -> list[str]:
    """Have workers get a signal with a job of a name, so many times; return the jobs that were sent."""
    sent, send = list[str](), Worker.send

    def send_and_kill(self: Worker, message: Any) -> None:
        send(self, message)
        if isinstance(message, Job):
            sent.append(message.name)
            if message.name == job and sent.count(job) <= times:
                for process in worker_processes(Place(Path.cwd())):
                    if process.pid in children(self):
                        process.send_signal(number)

    monkeypatch.setattr(Worker, "send", send_and_kill)
    return sent


def children(one: Worker) -> set[int]:
    import psutil

    return {child.pid for child in psutil.Process(one.pid).children()}


@pytest.mark.slow
def test_a_job_that_costs_two_workers_fails_and_the_study_goes_on(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places()
    study, lines = study_in(place, monkeypatch), Lines()
    sent = killing(monkeypatch, "bare/head trial 1", 2)
    study.run(workers=2, progress=lines)
    place.clean()
    assert sent.count("bare/head trial 1") == 2
    (failed,) = [run for run in place.runs("search") if run.info.status == "FAILED"]
    assert failed.data.tags["trial"] == "1"
    assert "it cost 2 workers their lives" in failed.data.tags["error"]
    assert "was ended by SIGKILL: memory may have run out" in failed.data.tags["error"]
    assert [run.data.tags["trial"] for run in place.runs("interrupted")] == ["1"]
    assert len(place.runs("final")) == 6
    assert any("bare/head trial 1: worker" in line and "it is done again" in line for line in lines.told)


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced(
    places: Places, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = places()
    study, lines = study_in(place, monkeypatch), Lines()
    monkeypatch.setattr(worker, "SILENCE", 3.0)
    killing(monkeypatch, "cue/head seed 11", 1, signal.SIGSTOP)
    study.run(workers=2, progress=lines)
    place.clean()
    assert place.results() == alone["random"]
    assert any("cue/head seed 11: worker" in line and "gave no sign of life" in line for line in lines.told)
    assert gone(place, 1.0)


@pytest.mark.slow
def test_rows_that_workers_cannot_read_are_trained_on_in_this_process(
    places: Places, alone: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    place, other = places(), places()
    study, lines = study_in(place, monkeypatch), Lines()
    assert study.checked.cells
    rows = place.folder / "data" / "train.jsonl"
    rows.write_text(rows.read_text().replace("short note", "long note"))
    study.run(workers=2, progress=lines)
    assert place.results() == study_in(other, monkeypatch).run().folder.joinpath("results.csv").read_bytes()
    told = [line for line in lines.told if "in this process" in line]
    assert told == [
        "a worker reads other rows than were read here; so all runs are done in this process, one after the other"
    ]


@pytest.mark.slow
def test_too_many_workers_are_refused_before_anything_is_written(places: Places) -> None:
    place = places()
    process = place.process("run", "study.yaml", *RANDOM, "--workers", "1000")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "1000 workers take" in err
    assert "take at most" in err
    assert not (place.folder / "optuna.db").exists()
    assert gone(place, 1.0)


@pytest.mark.slow
def test_what_a_worker_raises_ends_the_study_as_it_would_here(places: Places) -> None:
    place = places()
    (place.folder / "task.py").write_text(TASK_WITH_FUSE, encoding="utf-8")
    (place.folder / "fuse").write_text("45")
    process = place.process("run", "study.yaml", *RANDOM, "--devices", "cpu")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2, err
    assert "the fuse has burned down" in err
    assert "Traceback" not in err
    place.clean()
    assert gone(place, 1.0)
