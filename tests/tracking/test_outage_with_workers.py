"""A tracking server that is killed, or whose database stops, while two workers train with checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from sqlalchemy import create_engine, text

from benchmarks.tracking_server import Cluster, TrackingServer
from tests.support.clusters import a_cluster
from tests.support.put_by_runs import checkpoints
from tests.support.study_fixture import Place, Places
from tests.support.worker_processes import gone

pytestmark = pytest.mark.slow

AWAY = 20.0
"""Seconds."""

STUDY = ("prompts=[bare]", "tuning=[none, last_blocks: 1]", "search.sampler=random", "search.trials=4")
STUDY += ("training.epochs=30", "final.seeds=[11, 12, 13]", "training.checkpoint={every: 4}")
COMMAND = ("run", "study.yaml", *(part for change in STUDY for part in ("--set", change)))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with a_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrackingServer]:
    server = TrackingServer(cluster.address, tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def quiet(places: Places) -> Place:
    """The same study, undisturbed and on sqlite."""
    place = places()
    place.run(*COMMAND[2:])
    return place


def stored(cluster: Cluster, study: str, phase: str) -> int:
    """Return how many runs of a phase the database holds."""
    query = """select count(*) from runs join experiments using (experiment_id) join tags using (run_uuid)
        where experiments.name = :study and tags.key = 'phase' and tags.value = :phase"""
    engine = create_engine(cluster.address)
    with engine.connect() as connection:
        found = connection.execute(text(query), {"study": study, "phase": phase}).scalar()
    engine.dispose()
    return int(found or 0)


@pytest.mark.parametrize("what", ["server", "database"])
def test_a_study_outlives_two_outages(
    what: str, server: TrackingServer, cluster: Cluster, quiet: Place, places: Places
) -> None:
    stop: Callable[[], None] = server.kill if what == "server" else cluster.stop
    start: Callable[[], None] = server.start if what == "server" else cluster.start
    place = places()
    options = ("--workers", "2", "--set", f"name={what}")
    process = place.process(*COMMAND, *options, env={"MLFLOW_TRACKING_URI": server.uri})
    try:
        for phase in ("search", "final"):
            end = time.monotonic() + 400
            while not stored(cluster, what, phase):
                assert process.poll() is None, process.communicate()
                assert time.monotonic() < end
                time.sleep(0.1)
            stop()
            time.sleep(AWAY)
            start()
        out, err = process.communicate(timeout=600)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, out + err
    assert "answers again" in out
    assert (place.folder / "reports" / what / "results.csv").read_bytes() == quiet.results()
    assert gone(place)
    assert not checkpoints(place)
    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name(what)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    assert {run.info.status for run in found} == {"FINISHED"}
    assert sorted(run.info.run_name for run in found) == sorted(run.info.run_name for run in quiet.runs())
    assert not list(Path(place.folder / ".harness" / ".journals").glob("*.jsonl"))
