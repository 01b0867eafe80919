"""Ray: the table of one process from two machines, whichever of them is lost or joins, and whoever is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.core.quiet_libraries import keep_quiet
from tests.support.ray_machines import RayMachines, left_over
from tests.support.study_fixture import Done, Place, Places

pytestmark = pytest.mark.slow

TASK = """\
import os
import time
import traceback

import numpy as np

from harness import Metric, Task, Template


def patient(prediction, example):
    is_tried = any(frame.name == "try_metrics" for frame in traceback.extract_stack())
    while not is_tried and (gate := os.environ.get("GATE")) and not os.path.exists(gate):
        time.sleep(0.05)
    return np.array([len(prediction.text)])


task = Task(
    name="tiny_task",
    data="data",
    prompts=[Template("bare", "{{ source }}\\n", shorten="source")],
    metrics=["perplexity", Metric("patient", True, patient, lambda found: float(np.mean(found)), lambda: "patient|1")],
    max_target_tokens=12,
    stop=["\\n"],
)
"""
"""Whose runs wait, on machines of a cluster, until a gate is open: a file."""

STUDY = (
    "--set",
    "tuning=[none, head]",
    "--set",
    "search.metric=perplexity",
    "--set",
    "search.sampler=random",
    "--set",
    "search.trials=3",
)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Return the table of one process on this machine."""
    place = patient(Places(tmp_path_factory.mktemp("alone")))
    assert ended(place.process("run", "study.yaml", *STUDY)).status == 0
    return place.results()


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RayMachines]:
    """Yield a cluster whose first machine has one CPU."""
    keep_quiet()
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # sockets' paths are short
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # what the machines keep
    monkeypatch.setenv("RAY_worker_niceness", "0")  # beside whatever else this machine does
    monkeypatch.setenv("GATE", str(tmp_path / "gate"))
    made = RayMachines()
    try:
        yield made
    finally:
        made.close()


def patient(places: Places) -> Place:
    """Return a place whose task is the one above."""
    place = places()
    (place.folder / "task.py").write_text(TASK, encoding="utf-8")
    return place


def ended(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=400)
    return Done(process.returncode, out, err)


def wait_for(moment: Callable[[], object], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 300
    while not moment():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def begun(place: Place, number: int) -> int:
    """Return how many jobs a worker began, by its log."""
    log = place.folder / ".harness" / "tiny" / f"worker-{number}.log"
    return log.read_text(encoding="utf-8").count(": begun") if log.exists() else 0


def over_ray(place: Place, machines: RayMachines, *arguments: str, address: str = "") -> subprocess.Popen[str]:
    command = ("run", "study.yaml", *STUDY, "--executor", "ray", "--address", address or machines.address)
    return place.process(*command, *arguments, env={"GATE": ""})


def test_a_machine_that_is_lost_costs_nothing_but_time(
    machines: RayMachines, alone: bytes, places: Places, tmp_path: Path
) -> None:
    place = patient(places)
    machines.add()
    process = over_ray(place, machines, "--workers", "2")
    wait_for(lambda: begun(place, 1) and begun(place, 2), process)
    machines.lose()
    (tmp_path / "gate").touch()
    done = ended(process)
    assert done.status == 0, done.err
    place.clean()
    assert place.results() == alone
    assert "was lost with its machine" in done.out
    assert len(place.runs("search")) == 6
    assert len(place.runs("interrupted")) == 1
    assert "raylet" not in done.out, "what Ray prints"
    assert left_over(tmp_path) == []


def test_a_machine_that_joins_is_used(machines: RayMachines, alone: bytes, places: Places, tmp_path: Path) -> None:
    place = patient(places)
    process = over_ray(place, machines)
    wait_for(lambda: begun(place, 1), process)
    machines.add()
    wait_for(lambda: begun(place, 2), process)
    (tmp_path / "gate").touch()
    done = ended(process)
    assert done.status == 0, done.err
    place.clean()
    assert place.results() == alone
    assert begun(place, 2) >= 1
    assert begun(place, 1) + begun(place, 2) == 12


def test_the_driver_is_killed_and_the_same_command_goes_on(
    machines: RayMachines, alone: bytes, places: Places, tmp_path: Path
) -> None:
    place = patient(places)
    machines.add()
    process = over_ray(place, machines, "--workers", "2")
    wait_for(lambda: begun(place, 1) and begun(place, 2), process)
    process.kill()
    process.communicate()
    end = time.monotonic() + 20
    while left_over(tmp_path):
        assert time.monotonic() < end, left_over(tmp_path)
        time.sleep(0.1)
    assert any(run.info.status == "RUNNING" for run in place.runs("search"))
    (tmp_path / "gate").touch()
    done = ended(over_ray(place, machines, "--workers", "2"))
    assert done.status == 0, done.err
    place.clean()
    assert place.results() == alone
    assert len(place.runs("search")) == 6


def test_a_cluster_that_can_take_no_worker_is_said_to_be_too_small(machines: RayMachines, places: Places) -> None:
    place = places()
    impatient = "from harness.runner.executors import ray_workers as r; r.WAITING, r.HOPELESS = 1, 3"
    arguments = ["run", "study.yaml", "--executor", "ray", "--address", machines.address]
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", f"{impatient}; from harness.__main__ import main; main()", *arguments],
        cwd=place.folder,
        env={**os.environ, "OMP_NUM_THREADS": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    done = ended(process)
    assert done.status == 2
    assert done.err.startswith(
        "1 of 1 workers wait to begin, each for 3 CPUs on one machine; the cluster has 1 machines"
    )
    assert done.err.rstrip().endswith("add such a machine, or ask for less: OMP_NUM_THREADS, --devices cpu")
    assert "1 of 1 workers wait to begin" in done.out
    assert not (place.folder / "optuna.db").exists()


def test_by_its_client_a_cluster_is_reached_from_outside(
    machines: RayMachines, alone: bytes, places: Places, tmp_path: Path
) -> None:
    place = patient(places)
    (tmp_path / "gate").touch()
    process = over_ray(place, machines, "--workers", "1", address=machines.client_address)
    done = ended(process)
    assert done.status == 0, done.err
    place.clean()
    assert place.results() == alone
    assert done.err == ""
