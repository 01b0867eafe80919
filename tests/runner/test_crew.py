"""How many workers there are to be, where, and with how many threads; whether memory has room for them."""

from __future__ import annotations

import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import UserError
from harness.runner.executors.crew import ALONE, Crew, crew_of
from harness.runner.executors.worker_memory import MIB, fitting
from harness.runner.executors.worker_messages import Footprint
from tests.support.study_fixture import Places


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)


@pytest.fixture
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def test_who_asks_for_nothing_gets_this_process_alone() -> None:
    assert crew_of(None, (), "auto") is ALONE
    assert crew_of(1, (), "cpu") is ALONE
    assert ALONE.is_alone
    assert not crew_of(1, ["cpu"], "cpu").is_alone


@pytest.mark.usefixtures("eight_cores")
def test_cores_are_divided_unless_the_environment_says_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    assert crew_of(3, (), "auto") == Crew(3, ("cpu",), 2)
    assert crew_of(20, (), "auto").threads == 1
    assert crew_of("auto", (), "auto") == Crew(8, ("cpu",), 1, is_auto=True)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert crew_of(3, (), "cpu").threads == 4
    assert crew_of("auto", (), "auto") == Crew(2, ("cpu",), 4, is_auto=True)
    assert crew_of(3, (), "cpu").environment(2) == {"OMP_NUM_THREADS": "4", "CUDA_VISIBLE_DEVICES": ""}
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert crew_of("auto", (), "auto") is ALONE


@pytest.mark.usefixtures("four_gpus")
def test_each_worker_sees_its_own_device_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    crew = crew_of("auto", (), "auto")
    assert [crew.environment(number)["CUDA_VISIBLE_DEVICES"] for number in range(1, 5)] == ["0", "1", "2", "3"]
    twice = crew_of(None, "cuda:1, cuda:1,cuda:3", "cuda")
    assert (twice.workers, twice.beside(1), twice.beside(3)) == (3, 2, 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6,7,GPU-8a")
    assert [twice.environment(number)["CUDA_VISIBLE_DEVICES"] for number in (1, 2, 3)] == ["6", "6", "GPU-8a"]
    assert crew_of(6, ["cuda:0", "cuda:2"], "auto").device(6) == "cuda:2"
    assert crew_of(2, ["cpu"], "auto").environment(1)["CUDA_VISIBLE_DEVICES"] == ""


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize(
    ("workers", "devices", "device", "words"),
    [
        (0, (), "auto", "workers is 0"),
        (-2, (), "auto", "workers is -2"),
        (True, (), "auto", "workers is True"),
        ("all", (), "auto", "workers is 'all'"),
        (2, ["cuda:4"], "auto", "device 'cuda:4' is not here"),
        (2, ["cdua:1"], "auto", "did you mean 'cuda:1'"),
        (2, ["cuda:1"], "cpu", "training.device is cpu"),
        (2, ["cuda:1", "cpu"], "auto", "several kinds, cpu, cuda"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    workers: object, devices: list[str], device: str, words: str
) -> None:
    with pytest.raises(UserError, match=words):
        crew_of(workers, devices, device)  # type: ignore[arg-type]


def test_a_command_line_with_no_number_is_refused(places: Places) -> None:
    place = places(store=False)
    done = place.command("run", "study.yaml", "--workers", "some")
    assert done.status == 2
    assert "'some' is no number of workers" in done.err
    assert not (place.folder / ".harness").exists()


@given(own=st.integers(1, 4096), shared=st.integers(0, 4096), free=st.integers(1, 65536), workers=st.integers(2, 64))
def test_no_more_workers_begin_than_memory_has_room_for(own: int, shared: int, free: int, workers: int) -> None:
    taken = Footprint(own * MIB, shared * MIB, free * MIB)
    auto = fitting(taken, Crew(workers, ("cpu",), 1, is_auto=True))
    assert 1 <= auto.workers <= workers
    assert auto.workers == 1 or auto.workers * own + shared <= free
    if workers * own + shared <= free:
        assert auto.workers == workers
        assert fitting(taken, Crew(workers, ("cpu",), 1)).workers == workers
    else:
        with pytest.raises(UserError, match=f"{workers} workers take .* at most {auto.workers} workers"):
            fitting(taken, Crew(workers, ("cpu",), 1))
