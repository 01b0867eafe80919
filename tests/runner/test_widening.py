"""A winner at an end of its range: a decade more, with as many trials, and never more than twice."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import BaseStorage, InMemoryStorage

from harness.runner.search.optuna_search import CellSearch
from harness.study.dimension import Dimension
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.study.spec import Search
from tests.support.kill_moments import kill_at, running, trials_told
from tests.support.search_spaces import choices, learning_rates
from tests.support.study_fixture import Places

SAMPLERS = ["grid", "random", "tpe", "gp"]
ALONE = learning_rates(1e-4, 1e-2)
WIDE = SearchSpace((*ALONE.dimensions, choices("training.epochs", 1, 2)))

Curve = Callable[[Hyperparameters], float]


def peak(rate: float) -> Curve:
    return lambda drawn: -abs(math.log10(drawn.learning_rate / rate))


def searched(
    sampler: str, curve: Curve, *, space: SearchSpace = ALONE, storage: BaseStorage | None = None, stop: int = 99
) -> tuple[CellSearch, list[Hyperparameters]]:
    """Run a search with what is added to it, or so many trials of it."""
    spec = Search.model_validate({"sampler": sampler, "trials": 6, "edges": "extend", "seed": 3})
    search = CellSearch(storage or InMemoryStorage(), "cell", spec=spec, space=space, maximize=True)
    search.recover(lambda number: None)
    while len(search.finished()) < search.budget() or search.widen(search.best()):
        trial = search.ask()
        if trial is None:  # the budget of what is done was that of an earlier process
            continue
        if stop == 0:
            break
        stop -= 1
        search.tell(trial.optuna.number, "complete", curve(trial.hyperparameters))
    return search, [space.take(trial.params) for trial in search.counted()]


ENDS = {1e-3: (1e-4, 1e-2), 3e-2: (1e-4, 1e-1), 9.0: (1e-4, 1.0), 3e-5: (1e-5, 1e-2), 1e-9: (1e-6, 1e-2)}
"""Best learning rates, and how far a search reaches that sees the end of its range."""


@pytest.mark.parametrize("sampler", ["grid", "gp"])
@pytest.mark.parametrize("rate", ENDS)
def test_an_end_is_widened_where_the_winner_lies_and_at_most_twice(sampler: str, rate: float) -> None:
    search, drawn = searched(sampler, peak(rate))
    rates, added = search.reach.dimensions[0], round(math.log10(ENDS[rate][1] / ENDS[rate][0])) - 2
    assert (rates.low, rates.high) == pytest.approx(ENDS[rate])
    assert (len(search.added), len(drawn)) == (added, 6 * (1 + added))


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("rate", ENDS)
def test_what_is_added_is_drawn_in_its_decade_and_the_winner_is_the_best_of_all(sampler: str, rate: float) -> None:
    search, drawn = searched(sampler, peak(rate))
    assert len(drawn) == 6 * (1 + len(search.added)) <= 18
    for place, decade in enumerate([ALONE, *(decade.space for decade in search.added)]):
        assert all(decade.dimensions[0].has(one.learning_rate) for one in drawn[6 * place : 6 * (place + 1)])
    best = search.best()
    assert best is not None
    assert best.hyperparameters == max(drawn, key=peak(rate))
    assert len(set(drawn)) == len(drawn) or sampler != "grid"
    assert len(search.added) == 2 or not search.reach.dimensions[0].end_at(best.hyperparameters.learning_rate)


@given(stops=st.lists(st.integers(0, 7), max_size=5), sampler=st.sampled_from(SAMPLERS), wide=st.booleans())
@settings(max_examples=12, deadline=None)
def test_kills_change_no_draw(stops: list[int], sampler: str, wide: bool) -> None:
    space, storage = (WIDE if wide else ALONE), InMemoryStorage()
    curve = peak(5.0)
    for stop in stops:
        searched(sampler, curve, space=space, storage=storage, stop=stop)
    again, drawn = searched(sampler, curve, space=space, storage=storage)
    whole, expected = searched(sampler, curve, space=space)
    assert drawn == expected
    assert again.reach == whole.reach


def test_a_choice_and_a_study_that_warns_are_not_widened() -> None:
    fixed = SearchSpace((choices("learning_rate", 1e-4, 1e-2), Dimension("training.warmup", 0.0, 0.1)))
    assert searched("random", peak(1.0), space=fixed)[0].added == []
    spec = Search(trials=1, sampler="grid")
    search = CellSearch(InMemoryStorage(), "cell", spec=spec, space=learning_rates(1e-4, 2e-4), maximize=True)
    assert search.widen(search.best()) is False


EXTEND = (
    *("--set", "prompts=[bare]", "--set", "tuning=[none, head]", "--set", "final.seeds=[11]"),
    *("--set", "search.learning_rate={low: 1.0e-5, high: 1.0e-4}", "--set", "search.sampler=grid"),
    *("--set", "search.metric=perplexity", "--set", "search.edges=extend", "--set", "training.epochs=1"),
)


@pytest.mark.slow
def test_a_study_widens_tells_it_and_goes_on_where_it_was(places: Places) -> None:
    place = places()
    done = place.run(*EXTEND)
    assert (
        "bare/head: the best learning rate lies at an end of its range; 2 further trials from 0.0001 to 0.001"
        in done.out
    )
    place.clean()
    place.count(cell=2, search=6, final=2, summary=1)
    assert float(place.table()["bare/head"]["learning_rate"]) > 1e-3
    page = (place.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert "- bare/head: 4 further trials, learning rates from 1e-05 to 0.01\n" in page
    assert "lies at the high end of the range (0.01)" in page  # twice is enough
    assert "unequal budgets" not in page
    again = place.run(*EXTEND)
    assert "0 runs to do" in again.out
    assert "further trials" not in again.out
    place.count(cell=2, search=6, final=2, summary=1)


@pytest.mark.slow
def test_a_study_that_is_killed_while_it_widens_ends_as_if_it_had_not_been(places: Places) -> None:
    whole, place = places(), places()
    whole.run(*EXTEND)
    for moment in (trials_told(2), running("search", 3), trials_told(4), running("search", 6), trials_told(6)):
        assert kill_at(place, moment, 0.0, EXTEND)
    place.run(*EXTEND)
    place.clean()
    assert place.results() == whole.results()
