"""A database server that is stopped in the middle of a run: one sentence, status 2, and the same command finishes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from benchmarks.tracking_server import Cluster
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
    stores: str, cluster: Cluster, places: Places, tmp_path: Path
) -> None:
    whole, place = places(), places(store=False)
    whole.run(*STUDY[2:])
    command = (*STUDY, "--set", f"search.storage={new_database(cluster.address)}")  # each library has its own
    store = cluster.address if stores == "both" else f"sqlite:///{tmp_path}/mlflow.db"
    process = place.process(*command, env={"MLFLOW_TRACKING_URI": store})
    end = time.monotonic() + 120
    while process.poll() is None and not searching(store):
        assert time.monotonic() < end
        time.sleep(0.05)
    cluster.stop()
    _, error = process.communicate(timeout=300)
    cluster.start()
    assert process.returncode == 2, error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) == 1
    assert "127.0.0.1" in error
    assert "the same command goes on" in error
    done = place.command(*command, env={"MLFLOW_TRACKING_URI": store})
    assert done.status == 0, done.err
    assert place.results() == whole.results()


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
