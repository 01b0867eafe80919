"""A database server that is away: told from what else may be wrong, and waited for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import FloatDistribution
from optuna.storages import BaseStorage
from optuna.trial import TrialState
from sqlalchemy import create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from benchmarks.tracking_server import Cluster, free_port
from harness.core import database_outage
from harness.core.database_outage import Patience, is_away
from harness.core.errors import StoreError
from harness.runner.search.patient_storage import patient
from tests.support.clusters import a_cluster


def raised(address: str, query: str = "select 1") -> Exception:
    """Return what SQLAlchemy raises of a query."""
    engine = create_engine(address)
    try:
        with engine.connect() as connection:
            connection.execute(text(query))
    except SQLAlchemyError as error:
        return error
    finally:
        engine.dispose()
    raise AssertionError(query)


def away() -> Exception:
    pytest.importorskip("psycopg2")
    return raised(f"postgresql+psycopg2://nobody@127.0.0.1:{free_port()}/none")


def test_a_server_that_is_not_there_is_away_and_a_file_is_not() -> None:
    error = away()
    assert is_away(error)
    wrapped = StoreError("cannot be used")
    wrapped.__cause__ = error
    assert is_away(wrapped)
    assert not is_away(raised("sqlite:///", "select * from nothing"))
    assert not is_away(raised("sqlite:////no/such/folder/file.db"))
    assert not is_away(ValueError("connection refused"))


@given(failures=st.integers(0, 5))
def test_a_call_is_made_again_until_it_succeeds_and_told_of_once(failures: int) -> None:
    error, told, left = away(), list[str](), [failures]

    def call() -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise error
        return "answer"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database_outage, "BETWEEN", 0.0)
        assert Patience(told.append).ask(call) == "answer"
    waits = "a database server does not answer; the study waits for it"
    assert told == ([waits, "the database server answers again"] if failures else [])


def test_patience_is_had_once_and_for_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_outage, "BETWEEN", 0.01)
    monkeypatch.setattr(database_outage, "PATIENCE", 0.1)
    error, calls, patience = away(), list[int](), Patience(lambda line: None)

    def fails(what: Exception) -> Callable[[], None]:
        def call() -> None:
            calls.append(1)
            raise what

        return call

    with pytest.raises(ValueError, match="no outage"):
        patience.ask(fails(ValueError("no outage")))
    assert len(calls) == 1
    with pytest.raises(SQLAlchemyError):
        patience.ask(fails(error))
    assert len(calls) > 2
    calls.clear()
    with pytest.raises(SQLAlchemyError):
        patience.ask(fails(error))
    assert len(calls) == 1, "the end of a study does not wait again"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with a_cluster() as cluster:
        yield cluster


def search(storage: BaseStorage, between: Callable[[], object]) -> list[tuple[object, ...]]:
    """Draw and end trials, with something between two calls; return what the storage then holds."""
    study = optuna.create_study(storage=storage, study_name="s", sampler=optuna.samplers.RandomSampler(seed=1))
    for number in range(4):
        between()
        trial = study.ask({"x": FloatDistribution(0.0, 1.0)})
        between()
        trial.set_user_attr("index", number)
        trial.report(number / 2, 1)
        between()
        study.tell(trial, trial.params["x"])
    return [(t.number, t.state, t.params, t.value, t.user_attrs, t.intermediate_values) for t in study.get_trials()]


@pytest.mark.slow
def test_a_search_outlives_a_server_that_is_stopped_between_any_two_calls(cluster: Cluster) -> None:
    told, stops = list[str](), iter([False, True] * 6)

    def stop() -> None:
        if next(stops):
            cluster.stop()
            threading.Timer(1.5, cluster.start).start()

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage = patient(optuna.storages.get_storage(cluster.address), told.append)
    found = search(storage, stop)
    assert found == search(optuna.storages.InMemoryStorage(), lambda: None)
    assert {state for _, state, *_ in found} == {TrialState.COMPLETE}
    assert told.count("the database server answers again") == 6


@pytest.mark.slow
def test_what_a_server_refuses_is_no_outage(cluster: Cluster) -> None:
    assert not is_away(raised(cluster.address, "select * from nothing"))
    assert not is_away(raised(cluster.address, "select 1/0"))
    engine = create_engine(cluster.address)
    with engine.connect() as connection:
        connection.execute(text("select 1"))
        cluster.stop()
        with pytest.raises(SQLAlchemyError) as cut:
            connection.execute(text("select 1"))
    engine.dispose()
    assert is_away(cut.value)
    time.sleep(0.1)
    cluster.start()
