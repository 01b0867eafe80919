"""A tracking server that is killed, or a database that stops, while two workers train with checkpoints.

Nothing is lost: the study waits, or trains on, and ends by itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from mlflow import MlflowClient
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.tracking_server import Cluster, TrackingServer
from tests.support.clusters import a_cluster, new_database
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


def stored(database: str, study: str, phase: str) -> int:
    """Return how many runs of a phase a database holds, 0 while its tables are made."""
    query = """select count(*) from runs join experiments using (experiment_id) join tags using (run_uuid)
        where experiments.name = :study and tags.key = 'phase' and tags.value = :phase"""
    engine = create_engine(database)
    try:
        with engine.connect() as connection:
            return int(connection.execute(text(query), {"study": study, "phase": phase}).scalar() or 0)
    except SQLAlchemyError:
        return 0
    finally:
        engine.dispose()


def through_two_outages(
    place: Place, name: str, uri: str, database: str, stop: Callable[[], None], start: Callable[[], None], *more: str
) -> str:
    """Run the study while something is away twice, once in its searches and once in its final runs; return its words.

    Args:
        place: Where it runs.
        name: The study's.
        uri: The tracking store.
        database: Where that keeps the study's runs.
        stop: Takes something away.
        start: Brings it back.
        more: Arguments.
    """
    options = ("--workers", "2", "--set", f"name={name}", *more)
    process = place.process(*COMMAND, *options, env={"MLFLOW_TRACKING_URI": uri})
    try:
        for phase in ("search", "final"):
            end = time.monotonic() + 600
            while not stored(database, name, phase):
                assert process.poll() is None, "".join(process.communicate())
                assert time.monotonic() < end
                time.sleep(0.1)
            stop()
            time.sleep(AWAY)
            start()
        out, err = process.communicate(timeout=900)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0, out + err
    return out


def lost_nothing(place: Place, name: str, uri: str, quiet: Place) -> None:
    """See that a study is as the one that nothing disturbed."""
    assert (place.folder / "reports" / name / "results.csv").read_bytes() == quiet.results()
    assert gone(place)
    assert not checkpoints(place, name)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], max_results=1000)
    assert {run.info.status for run in found} == {"FINISHED"}
    assert sorted(run.info.run_name for run in found) == sorted(run.info.run_name for run in quiet.runs())


@pytest.mark.parametrize("what", ["server", "database"])
def test_a_study_on_a_server_outlives_two_outages(
    what: str, server: TrackingServer, cluster: Cluster, quiet: Place, places: Places
) -> None:
    away = (server.kill, server.start) if what == "server" else (cluster.stop, cluster.start)
    place = places()
    assert "answers again" in through_two_outages(place, what, server.uri, cluster.address, *away)
    lost_nothing(place, what, server.uri, quiet)
    assert not list((place.folder / ".harness" / ".journals").glob("*.jsonl"))


def test_a_study_on_a_database_outlives_two_stops(cluster: Cluster, quiet: Place, places: Places) -> None:
    place, runs = places(store=False), new_database(cluster.address, "direct")
    searches = ("--set", f"search.storage={new_database(cluster.address)}")
    said = through_two_outages(place, "direct", runs, runs, cluster.stop, cluster.start, *searches)
    assert "the database server answers again" in said
    lost_nothing(place, "direct", runs, quiet)
