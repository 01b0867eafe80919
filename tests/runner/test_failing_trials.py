"""Failed trials: one is told with its rate and costs nothing else, a run of them ends the study before its budget."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.storages import InMemoryStorage

from harness.core.errors import UserError
from harness.core.failures import STARVED
from harness.runner.search.failing_trials import FailureWatch
from harness.runner.search.optuna_search import CellSearch
from harness.study.search_space import Hyperparameters
from harness.study.spec import Search
from tests.support.search_spaces import learning_rates, rate
from tests.support.study_fixture import Places

SPACE = learning_rates(1e-4, 1e-1)
CELLS = ("bare/head", "bare/full")


def watch(*cells: str) -> FailureWatch:
    storage = InMemoryStorage()
    spec = Search.model_validate({"sampler": "random", "trials": 9})
    return FailureWatch({cell: CellSearch(storage, cell, spec=spec, space=SPACE, maximize=True) for cell in cells})


def believed(outcomes: list[tuple[str, int, float, bool]]) -> bool:
    """Return whether the study was stopped by one of some trials: cell, index, learning rate, whether it failed."""
    failures = watch(*CELLS)
    for cell, index, value, failed in outcomes:
        try:
            if failed:
                failures.failed(cell, index, rate(value), "loss is nan at step 3")
            else:
                failures.ended(cell)
        except UserError:
            return True
    return False


@given(
    outcomes=st.lists(
        st.tuples(st.sampled_from(CELLS), st.integers(0, 6), st.sampled_from([1e-4, 1e-3, 1e-2]), st.booleans()),
        max_size=14,
        unique_by=lambda one: one[:2],
    )
)
def test_a_study_stops_where_three_in_a_row_or_all_cells_failed_and_never_where_one_of_them_did_not(
    outcomes: list[tuple[str, int, float, bool]],
) -> None:
    stops = False
    for number in range(len(outcomes)):
        seen = outcomes[: number + 1]
        sound = {cell for cell, _, _, failed in seen if not failed}
        failed = {cell: {i: r for c, i, r, f in seen if f and c == cell} for cell in CELLS}
        rows = [
            {one.get(first), one.get(first + 1), one.get(first + 2)} - {None}
            for cell, one in failed.items()
            if cell not in sound
            for first in range(7)
        ]
        everywhere = not sound and all(failed.values()) and sum(map(len, failed.values())) >= 3
        stops = stops or (outcomes[number][3] and (any(len(row) == 3 for row in rows) or everywhere))
    assert believed(outcomes) == stops


def test_what_ran_out_of_memory_says_nothing_of_other_trials() -> None:
    failures = watch(*CELLS)
    for index in range(9):
        failures.failed("bare/full", index, rate(10.0 ** -(index + 1)), f"{STARVED}: no more")
    for index in (9, 10):
        failures.failed("bare/full", index, rate(10.0 ** -(index + 1)), "loss is nan at step 1")
    with pytest.raises(UserError, match="trials 9 to 11 of bare/full failed one after the other"):
        failures.failed("bare/full", 11, rate(1e-12), "loss is nan at step 1")


def test_a_cell_that_came_to_an_end_in_an_earlier_command_is_believed_in() -> None:
    storage = InMemoryStorage()
    spec = Search.model_validate({"sampler": "random", "trials": 9})
    search = CellSearch(storage, "bare/head", spec=spec, space=SPACE, maximize=True)
    trial = search.ask()
    assert trial is not None
    search.tell(trial.optuna.number, "complete", 0.5)
    failures = FailureWatch({"bare/head": search})
    for index in range(1, 9):
        failures.failed("bare/head", index, Hyperparameters({"learning_rate": 0.1 / index}), "loss is nan at step 1")


@pytest.mark.slow
def test_a_study_whose_rates_all_explode_stops_after_three_and_goes_on_when_asked(places: Places) -> None:
    place = places()
    study = ("--set", "prompts=[bare]", "--set", "tuning=[full]", "--set", "search.trials=7", "--set", "final.seeds=[]")
    place.edit("learning_rate: {low: 1.0e-3, high: 1.0e-1}", "learning_rate: {low: 1.0e+6, high: 1.0e+9}")
    done = place.command("run", "study.yaml", *study)
    assert done.status == 2, done.out
    assert len(done.err.splitlines()) == 1
    assert "trials 0 to 2 of bare/full failed one after the other, at learning rates" in done.err
    assert "loss is" in done.err
    assert "at step" in done.err
    assert "bare/full trial 0 failed, at learning rate" in done.out
    place.clean()
    assert [run.info.status for run in place.runs("search")] == ["FAILED"] * 3
    again = place.command("run", "study.yaml", *study)
    assert "trials 3 to 5 of bare/full failed" in again.err
    assert len(place.runs("search")) == 6
