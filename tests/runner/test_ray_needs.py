"""What is asked of a cluster, and what is refused before one is asked; none of it takes a cluster."""

from __future__ import annotations

import socket
from importlib.machinery import ModuleSpec

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import UserError
from harness.runner.executors import ray_cluster
from harness.runner.executors.crew import Crew, cluster_crew
from harness.runner.executors.executor_table import crew_for
from harness.runner.executors.ray_cluster import LOCAL, Needs, cluster_address
from harness.runner.executors.ray_workers import needs_of
from tests.support.study_fixture import Places

machines = st.lists(
    st.fixed_dictionaries({"CPU": st.integers(0, 64).map(float), "GPU": st.integers(0, 8).map(float)}), max_size=5
)


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


@given(there=machines, workers=st.integers(1, 40))
def test_cores_are_divided_as_far_as_all_workers_find_room(there: list[dict[str, float]], workers: int) -> None:
    needs = needs_of(Crew(workers, ("cpu",), address=LOCAL), there)
    assert (needs.gpus, needs.memory) == (0, 0)

    def room(cpus: int) -> int:
        return sum(int(machine["CPU"]) // cpus for machine in there)

    if room(1) < workers:
        assert needs.cpus == 1
    else:
        assert room(needs.cpus) >= workers > room(needs.cpus + 1)


@given(there=machines, workers=st.integers(0, 9), threads=st.integers(1, 9))
def test_named_threads_are_what_a_worker_gets(there: list[dict[str, float]], workers: int, threads: int) -> None:
    has_gpus = any(machine["GPU"] for machine in there)
    assert needs_of(Crew(workers, (), threads, address="auto"), there) == Needs(threads, int(has_gpus))
    assert needs_of(Crew(workers, ("cpu",), threads, address="auto"), there).gpus == 0
    assert needs_of(Crew(workers, ("cuda",), threads, address="auto"), there).gpus == 1


def test_a_machine_has_room_for_what_is_scarcest() -> None:
    there = {"CPU": 8.0, "GPU": 2.0, "memory": 10.0}
    assert Needs(2, 0).fitting(there) == 4
    assert Needs(2, 1).fitting(there) == 2
    assert Needs(2, 0, memory=4).fitting(there) == 2
    assert Needs(2, 1).fitting({"CPU": 8.0}) == 0


def test_a_crew_of_a_cluster_is_of_one_kind_of_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster_crew(None, (), "auto", "auto") == Crew(0, (), None, is_auto=True, address="auto")
    assert cluster_crew(3, "CUDA", "auto", LOCAL) == Crew(3, ("cuda",), None, address=LOCAL)
    assert cluster_crew("auto", (), "cpu", LOCAL).devices == ("cpu",)
    assert not cluster_crew(1, (), "auto", LOCAL).is_alone
    monkeypatch.setenv("OMP_NUM_THREADS", "4,2")
    assert cluster_crew(1, (), "cpu", LOCAL) == Crew(1, ("cpu",), 4, address=LOCAL)


@pytest.mark.parametrize(
    ("workers", "devices", "device", "words"),
    [
        (0, (), "auto", "workers is 0"),
        (
            2,
            ("cuda:0",),
            "auto",
            "which of a machine's devices a worker has is its cluster's to say; did you mean 'cuda'",
        ),
        (2, ("cpu",), "cuda", "training.device is cuda"),
        (2, ("cpu", "cuda"), "auto", "several kinds"),
        (2, (), "mps", "device 'mps' is no kind of device"),
    ],
)
def test_what_a_cluster_has_not_is_refused(workers: int, devices: tuple[str, ...], device: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        cluster_crew(workers, devices, device, LOCAL)


def test_addresses_are_taken_where_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cluster_address(None) == LOCAL
    assert cluster_address("auto") == "auto"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        assert cluster_address(None) == f"127.0.0.1:{port}"
        assert cluster_address(f"ray://127.0.0.1:{port}") == f"ray://127.0.0.1:{port}"
        assert cluster_address("auto") == "auto"
    with pytest.raises(UserError, match=rf"no cluster answers at ray://127.0.0.1:{port}: Connection refused; see that"):
        cluster_address(f"ray://127.0.0.1:{port}")


@pytest.mark.parametrize("address", ["ray://", "host:port", ":6379", "http://head:8265"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(UserError, match=r"is none of a cluster; give auto, host:6379 or ray://host:10001$"):
        cluster_address(address)


def test_a_command_says_what_it_cannot_do(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = places(store=False)
    done = place.command("run", "study.yaml", "--executor", "rya")
    assert (done.status, done.err) == (2, "unknown executor 'rya'; did you mean 'ray'? Known: local, ray\n")
    done = place.command("run", "study.yaml", "--address", "auto")
    assert done.status == 2
    assert done.err == "address 'auto' is a cluster's, and executor 'local' has none; add --executor ray\n"
    found = ray_cluster.find_spec

    def without_ray(name: str) -> ModuleSpec | None:
        return None if name == "ray" else found(name)

    monkeypatch.setattr(ray_cluster, "find_spec", without_ray)
    done = place.command("run", "study.yaml", "--executor", "ray")
    assert done.status == 2
    assert done.err == "executor ray needs Ray, which is not installed; pip install 'prompt-depth-harness[ray]'\n"
    assert not (place.folder / ".harness").exists()


def test_local_workers_are_as_they_were() -> None:
    assert crew_for("local", 2, ("cpu",), "auto").devices == ("cpu",)
    with pytest.raises(UserError, match="unknown executor 'loacl'; did you mean 'local'"):
        crew_for("loacl", 2, (), "auto")
