"""A database server that stays away in the middle of a run: one sentence, status 2, and the same command finishes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from benchmarks.tracking_server import Cluster
from harness.core import database_outage
from harness.tracking.address import StudyAddress
from harness.tracking.choose_store import opened
from tests.support.clusters import a_cluster, new_database
from tests.support.study_fixture import Places

pytestmark = pytest.mark.slow

STUDY = ("run", "study.yaml", "--set", "prompts=[bare]", "--set", "tuning=[none, head]")


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with a_cluster() as cluster:
        yield cluster


@pytest.mark.parametrize("stores", ["both", "search alone"])
def test_it_is_named_and_the_same_command_goes_on(
    stores: str, cluster: Cluster, places: Places, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_outage, "PATIENCE", 2.0)
    whole, place = places(), places(store=False)
    whole.run(*STUDY[2:])
    command = (*STUDY, "--set", f"search.storage={new_database(cluster.address)}")  # each library has its own
    store = cluster.address if stores == "both" else f"sqlite:///{tmp_path}/mlflow.db"
    stops = threading.Thread(target=lambda: wait_until(lambda: searching(store)) and cluster.stop())
    stops.start()
    stopped = place.command(*command, env={"MLFLOW_TRACKING_URI": store})
    stops.join()
    cluster.start()
    assert stopped.status == 2, stopped.err
    assert "a database server does not answer; the study waits for it" in stopped.out
    assert "Traceback" not in stopped.err
    assert len(stopped.err.strip().splitlines()) == 1
    assert "127.0.0.1" in stopped.err
    assert "the same command goes on" in stopped.err
    done = place.command(*command, env={"MLFLOW_TRACKING_URI": store})
    assert done.status == 0, done.err
    assert place.results() == whole.results()


def wait_until(reached: Callable[[], bool]) -> bool:
    end = time.monotonic() + 300
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.05)
    return True


def searching(store: str) -> bool:
    """Return whether a trial is under way."""
    if store.startswith("sqlite") and not Path(store.removeprefix("sqlite:///")).exists():
        return False
    try:
        client = MlflowClient(store)
        found = client.get_experiment_by_name("tiny")
        return bool(found and client.search_runs([found.experiment_id], "tags.phase = 'search'"))
    except Exception:  # its tables are being made
        return False


def test_all_is_there_once_that_was_told_while_the_server_came_and_went(cluster: Cluster) -> None:
    over, waits, back = threading.Event(), list[str](), "the database server answers again"

    def come_and_go() -> None:
        while not over.wait(1.0):
            cluster.stop()
            time.sleep(0.5)
            cluster.start()

    with opened(StudyAddress("crowd", "crowd", cluster.address), waits.append) as tracker:
        coming = threading.Thread(target=come_and_go)
        coming.start()
        try:
            above = tracker.start("above", phase="cell", parent=None, params={"n": 1}, tags={})
            count = 0
            while count < 12 or (waits.count(back) < 2 and count < 500):
                number, count = count, count + 1
                run = tracker.start(f"r{number}", phase="search", parent=above, params={"n": number}, tags={})
                for step in range(5):
                    tracker.metrics(run, {"loss": number + step / 7}, step)
                tracker.end(run, metrics={"objective": float(number)})
        finally:
            over.set()
            coming.join()
        found = {run.name: run for run in tracker.runs(phase="search")}
        assert len(found) == len(tracker.runs(phase="search")) == count
        assert waits.count(back) >= 2
        losses = tracker.histories([run.id for run in found.values()], ["loss"])
        for number in range(count):
            run = found[f"r{number}"]
            assert (run.status, run.parent, run.params["n"]) == ("FINISHED", above, str(number))
            assert run.metrics["objective"] == number
            assert losses[run.id]["loss"] == {step: number + step / 7 for step in range(5)}
