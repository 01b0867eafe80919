"""Tracking store and search store that do not fit each other: what either holds counts, and is not run again."""

from __future__ import annotations

import shutil
from collections.abc import Set
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from optuna.trial import FrozenTrial

from harness.runner.search.optuna_search import CellSearch
from tests.support.study_fixture import Place, Places

CELL = ("--set", "prompts=[bare]", "--set", "tuning=[head]", "--set", "search.sampler=gp", "--set", "final.seeds=[11]")
TWO, FOUR = (*CELL, "--set", "search.trials=2"), (*CELL, "--set", "search.trials=4")
TOLD = (
    "tracking store and search store differed: {} finished trials were missing in the search store, {} in the tracking"
)


@pytest.fixture(scope="module")
def two(places: Places) -> Place:
    """Two trials of a cell."""
    place = places()
    place.run(*TWO)
    return place


@pytest.fixture(scope="module")
def four(two: Place, places: Places) -> Place:
    """The same study, later: four trials."""
    place = places.copy(two)
    place.run(*FOUR)
    return place


def trials(place: Place, file: str = "optuna.db") -> list[FrozenTrial]:
    url = f"sqlite:///{place.folder / file}"
    studies = optuna.get_all_study_names(url)
    return [trial for name in studies for trial in optuna.load_study(study_name=name, storage=url).trials]


def searched(place: Place) -> dict[str, tuple[str, str, float]]:
    """Return the trials in tracking: hyperparameters, outcome and objective by index."""
    found = place.runs("search")
    told = {run.data.tags["trial"]: run.data for run in found}
    assert len(told) == len(found)
    return {
        index: (data.params["learning_rate"], data.tags["outcome"], data.metrics["objective"])
        for index, data in told.items()
    }


def beside(tracking: Place, search: Place, places: Places) -> Place:
    """Return a place with the tracking store of one and the search store of another."""
    place = places.copy(tracking)
    for file in place.folder.glob("optuna.db*"):  # sqlite would read its own log into the other database
        file.unlink()
    for file in search.folder.glob("optuna.db*"):
        shutil.copy(file, place.folder / file.name)
    return place


@pytest.mark.slow
def test_an_older_tracking_store_is_given_what_the_search_store_holds(two: Place, four: Place, places: Places) -> None:
    place = beside(two, four, places)
    done = place.run(*FOUR)
    assert TOLD.format(0, 2) in done.out
    assert len(trials(place)) == 4
    assert searched(place) == searched(four)
    assert place.results() == four.results()
    costs = [[run.data.metrics["cost/train_seconds"] for run in place.runs("search")] for place in (place, four)]
    assert sorted(costs[0]) == sorted(costs[1])
    place.clean()
    again = place.run(*FOUR)
    assert "2 cells, 0 runs to do" in again.out
    assert "differed" not in again.out


def test_an_older_search_store_is_given_what_tracking_holds(two: Place, four: Place, places: Places) -> None:
    place = beside(four, two, places)
    before = {run.info.run_id for run in place.runs()}
    done = place.run(*FOUR)
    assert TOLD.format(2, 0) in done.out
    assert "2 cells, 0 runs to do" in done.out
    assert {run.info.run_id for run in place.runs()} == before
    assert [trial.value for trial in trials(place)] == [trial.value for trial in trials(four)]
    assert [t.intermediate_values for t in trials(place)] == [t.intermediate_values for t in trials(four)]
    assert place.results() == four.results()


def test_another_search_store_is_given_all(four: Place, places: Places) -> None:
    place = places.copy(four)
    done = place.run(*FOUR, "--set", "search.storage=sqlite:///other.db")
    assert TOLD.format(4, 0) in done.out
    assert "2 cells, 0 runs to do" in done.out
    assert len(trials(place, "other.db")) == 4
    assert place.results() == four.results()


@pytest.mark.slow
def test_a_tracking_store_from_before_the_study_is_given_its_trials(four: Place, places: Places) -> None:
    place = beside(places(), four, places)
    done = place.run(*FOUR)
    assert TOLD.format(0, 4) in done.out
    assert len(trials(place)) == 4
    assert searched(place) == searched(four)
    assert place.results() == four.results()


@pytest.mark.slow
def test_a_fresh_start_takes_nothing_from_the_search_store(four: Place, places: Places) -> None:
    place = beside(places(), four, places)
    assert "differed" not in place.run(*FOUR, "--fresh").out
    assert len(trials(place)) == 8


@pytest.mark.slow
def test_an_edited_study_takes_nothing_from_the_search_store(four: Place, places: Places) -> None:
    place = beside(places(), four, places)
    assert "differed" not in place.run(*FOUR, "--set", "training.epochs=1").out
    assert len(trials(place)) == 8


@pytest.mark.slow
def test_trials_that_diverged_are_copied_as_such(places: Places) -> None:
    grid = ("--set", "search.sampler=grid", "--set", "search.trials=3", "--set", "search.learning_rate.high=1.0e+38")
    options = (*CELL, *grid)
    whole = places()
    whole.run(*options)
    told = {run.data.tags["trial"]: (run.info.status, run.data.tags["outcome"]) for run in whole.runs("search")}
    assert len({outcome for _, outcome in told.values()}) > 1
    without_tracking, without_search = beside(places(), whole, places), places.copy(whole)
    (without_search.folder / "optuna.db").unlink()
    for place in (without_tracking, without_search):
        assert "differed" in place.run(*options).out
        again = {run.data.tags["trial"]: (run.info.status, run.data.tags["outcome"]) for run in place.runs("search")}
        assert again == told
        assert [(t.state, t.value) for t in trials(place)] == [(t.state, t.value) for t in trials(whole)]
        assert place.results() == whole.results()


@pytest.mark.slow
@example(tracked=set(), told={3})
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(tracked=st.sets(st.integers(0, 3)), told=st.sets(st.integers(0, 3)))
def test_what_either_store_holds_is_not_run_again(
    four: Place, places: Places, tracked: Set[int], told: Set[int]
) -> None:
    place = places.copy(four)
    for run in place.runs("search"):
        if int(run.data.tags["trial"]) not in tracked:
            place.client().delete_run(run.info.run_id)
    keep(place.folder / "optuna.db", told)
    kept = {run.info.run_id for run in place.runs("search")}
    place.run(*FOUR)
    assert kept <= {run.info.run_id for run in place.runs("search")}
    restored = {int(run.data.tags["trial"]) for run in place.runs("search") if "restored" in run.data.tags}
    assert restored == told - tracked
    # The sampler sums over trials in the order of its store, so its last draw may differ in the last digits.
    again, whole = searched(place), searched(four)
    assert again.keys() == whole.keys()
    for index, (rate, outcome, value) in whole.items():
        assert again[index][1] == outcome
        assert (float(again[index][0]), again[index][2]) == (pytest.approx(float(rate)), pytest.approx(value))
    place.clean()


@pytest.mark.slow
def test_two_trials_of_one_index_both_stay_though_it_is_killed_over_them(two: Place, places: Places) -> None:
    place = places.copy(two)
    keep(place.folder / "optuna.db", {0, 1}, elsewhere={0})
    add = CellSearch.add

    def killed(*arguments: Any) -> int:
        add(*arguments)
        raise KeyboardInterrupt

    with mock.patch.object(CellSearch, "add", killed):
        place.command("run", "study.yaml", *FOUR)
    assert len(trials(place)) == 3, "the test needs it"
    place.run(*FOUR)
    indexes = [trial.user_attrs["index"] for trial in trials(place)]
    assert sorted(indexes) == [0, 1, 2, 3]
    assert len({trial.params["learning_rate"] for trial in trials(place)}) == 4, "one was counted twice"
    rates = {str(trial.user_attrs["index"]): trial.params["learning_rate"] for trial in trials(place)}
    assert {index: float(rate) for index, (rate, _, _) in searched(place).items()} == pytest.approx(rates)


def keep(file: Path, indexes: Set[int], elsewhere: Set[int] = frozenset()) -> None:
    """Have a search store forget all trials but some, and hold some of them at half their learning rate."""
    old = f"sqlite:///{file}"
    (name,) = optuna.get_all_study_names(old)
    study = optuna.load_study(study_name=name, storage=old)
    fresh = file.with_name("fresh.db")
    made = optuna.create_study(study_name=name, storage=f"sqlite:///{fresh}", direction=study.direction)
    left = [trial for trial in study.trials if trial.user_attrs["index"] in indexes]
    for trial in left:
        if trial.user_attrs["index"] in elsewhere:
            trial.params = {**trial.params, "learning_rate": trial.params["learning_rate"] / 2}
    made.add_trials(left)
    for old_file in file.parent.glob("optuna.db*"):
        old_file.unlink()
    fresh.rename(file)
