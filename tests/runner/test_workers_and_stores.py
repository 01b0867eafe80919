"""The same study with any number of workers on any store: one table, byte by byte."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.clusters import a_cluster, new_database
from tests.support.study_fixture import Place, Places
from tests.support.worker_processes import gone

pytestmark = pytest.mark.slow

STUDY = ("--set", "tuning=[none, head]", "--set", "search.metric=perplexity")
SAMPLERS = {
    "grid": ("--set", "search.sampler=grid", "--set", "search.trials=4"),
    "gp": ("--set", "search.sampler=gp", "--set", "search.trials=5"),
}


@pytest.fixture(scope="module")
def postgresql() -> Iterator[tuple[str, str]]:
    """Yield the addresses of a store for runs and of one for searches; each library has a database of its own."""
    with a_cluster() as cluster:
        yield cluster.address, new_database(cluster.address)


@pytest.fixture(scope="module")
def table(places: Places) -> Callable[[str], bytes]:
    """Return the table of one worker on sqlite, by its sampler; made once each."""
    made: dict[str, bytes] = {}

    def of(sampler: str) -> bytes:
        if sampler not in made:
            made[sampler] = done(places(), "tiny", sampler, "--devices", "cpu")
        return made[sampler]

    return of


def done(place: Place, name: str, sampler: str, *arguments: str, store: str | None = None) -> bytes:
    """Run a study under a name, and return its table."""
    env = {"MLFLOW_TRACKING_URI": store} if store else {}
    named = ("--set", f"name={name}")
    process = place.process("run", "study.yaml", *STUDY, *SAMPLERS[sampler], *named, *arguments, env=env)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert gone(place)
    return Path(place.folder / "reports" / name / "results.csv").read_bytes()


@pytest.mark.parametrize("sampler", list(SAMPLERS))
@pytest.mark.parametrize("workers", [2, 4])
def test_on_sqlite(sampler: str, workers: int, table: Callable[[str], bytes], places: Places) -> None:
    assert done(places(), "tiny", sampler, "--workers", str(workers)) == table(sampler)


@pytest.mark.parametrize("sampler", list(SAMPLERS))
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_on_postgresql(
    sampler: str, workers: int, postgresql: tuple[str, str], table: Callable[[str], bytes], places: Places
) -> None:
    runs, searches = postgresql
    options = ("--devices", "cpu", "--workers", str(workers), "--set", f"search.storage={searches}")
    assert done(places(store=False), f"{sampler}-{workers}", sampler, *options, store=runs) == table(sampler)
