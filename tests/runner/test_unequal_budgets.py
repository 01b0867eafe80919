"""Another number of trials or final runs: a cell's result is that of its budget, and unequal ones are told."""

from __future__ import annotations

import csv

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.entities import Run
from optuna.storages import InMemoryStorage

from harness.runner.search.optuna_search import CellSearch
from harness.study.spec import Search
from tests.support.search_spaces import learning_rates
from tests.support.study_fixture import Place, Places

EDIT = ("TL;DR:", "Short:")
CELLS = ("--set", "tuning=[head]", "--set", "search.metric=perplexity", "--set", "final.registered_as=null")


def budget(trials: int, seeds: str = "[11]", *more: str) -> tuple[str, ...]:
    return (*CELLS, "--set", f"search.trials={trials}", "--set", f"final.seeds={seeds}", *more)


def winner(place: Place, cell: str, trials: int) -> Run:
    """Return the best of a cell's first trials, by hand."""
    drawn = sorted(place.runs("search", cell=cell), key=lambda run: int(run.data.tags["trial"]))[:trials]
    complete = [run for run in drawn if run.data.tags["outcome"] == "complete"]
    return min(complete, key=lambda run: run.data.metrics["objective"])


def report(place: Place) -> str:
    return " ".join((place.folder / "reports" / "tiny" / "report.md").read_text().split())


@pytest.fixture(scope="module")
def four(places: Places) -> Place:
    place = places()
    place.run(*budget(4, "[11]", "--set", "search.seed=3"))
    assert winner(place, "bare/head", 4).info.run_id != winner(place, "bare/head", 2).info.run_id, "the test needs it"
    return place


@pytest.mark.slow
def test_an_edited_study_of_fewer_trials_is_as_if_there_never_were_more(four: Place, places: Places) -> None:
    place, undisturbed = places.copy(four), places()
    settings = budget(2, "[11]", "--set", "search.seed=3")
    for one in (place, undisturbed):
        one.edit(*EDIT)
        one.run(*settings)
    assert place.results() == undisturbed.results()
    best = winner(place, "bare/head", 2)
    (final,) = place.runs("final", cell="bare/head")
    (parent,) = place.runs("cell", cell="bare/head")
    for run in (final, parent):
        assert run.data.params["learning_rate"] == best.data.params["learning_rate"]
    assert len(place.runs("search", cell="bare/head")) == 4  # nothing is thrown away
    expected = (place.folder / "reports" / "tiny" / "expected_best.csv").read_text().splitlines()
    assert [row["trials"] for row in csv.DictReader(expected)] == ["1", "2"] * 2
    assert "2 of bare/head." in report(place)
    assert "unequal budgets" not in report(place)
    assert (
        parent.data.metrics["cost/tokens"] == undisturbed.runs("cell", cell="bare/head")[0].data.metrics["cost/tokens"]
    )
    again = place.run(*settings)
    assert "4 cells, 0 runs to do" in again.out
    assert place.results() == undisturbed.results()


@pytest.mark.slow
def test_more_again_is_as_before(four: Place, places: Places) -> None:
    place, before = places.copy(four), four.results()
    place.run(*budget(2, "[11]", "--set", "search.seed=3"))
    assert place.results() != before
    place.run(*budget(4, "[11]", "--set", "search.seed=3"))
    assert place.results() == before
    assert len(place.runs("search")) == 8


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "then", "told"),
    [
        (budget(1), budget(2), "1 trial and 1 final run in cue/head; 2 trials and 1 final run in bare/head"),
        (
            budget(1),
            budget(1, "[11, 12]"),
            "1 trial and 1 final run in cue/head; 1 trial and 2 final runs in bare/head",
        ),
    ],
    ids=["more trials", "more seeds"],
)
def test_cells_of_unequal_budgets_are_told(
    first: tuple[str, ...], then: tuple[str, ...], told: str, places: Places
) -> None:
    place = places()
    assert "unequal budgets" not in place.run(*first).out
    shown = place.run(*then, "--cells", "bare/*")
    parts = told.split("; ")
    for text in (" ".join(shown.out.split()), report(place)):
        assert "Cells of unequal budgets are ranked together" in text
        assert all(part in text for part in parts)
    assert "unequal budgets" not in place.run(*then).out


def test_final_runs_of_a_winner_that_counts_no_more_go(places: Places) -> None:
    """The first trial explodes, the second wins; of one trial, none is left."""
    place = places()
    wide = ("--set", "prompts=[bare]", "--set", "search.learning_rate={low: 1.0e-4, high: 1.0e+7}")
    seed = next(seed for seed in range(99) if first_rates(seed)[0] > 1e4 and first_rates(seed)[1] < 1e-1)
    place.run(*budget(2, "[11]", *wide, "--set", f"search.seed={seed}"))
    assert len(place.runs("final", cell="bare/head")) == 1
    assert place.table()["bare/head"]["learning_rate"]
    place.run(*budget(1, "[11]", *wide, "--set", f"search.seed={seed}"))
    assert not place.runs("final", cell="bare/head")
    row = place.table()["bare/head"]
    assert (row["learning_rate"], row["seeds"], row["test_chrf"]) == ("", "0", "")
    assert "all diverged" in report(place)


def first_rates(seed: int) -> list[float]:
    search = opened(InMemoryStorage(), trials=2, seed=seed, high=1e7)
    rates = []
    while trial := search.ask():
        rates.append(trial.hyperparameters.learning_rate)
        search.tell(trial.optuna.number, "complete", 0.0)
    return rates


def opened(storage: InMemoryStorage, *, trials: int, seed: int = 0, high: float = 1e-1) -> CellSearch:
    spec = Search.model_validate({"sampler": "random", "trials": trials, "seed": seed})
    return CellSearch(storage, "cell", spec=spec, space=learning_rates(1e-4, high), maximize=True)


ends = st.one_of(st.integers(-2, 2).map(float), st.sampled_from(["pruned", "diverged", "killed"]))


@settings(deadline=None)
@given(script=st.lists(ends, min_size=1, max_size=7), fewer=st.integers(1, 7))
def test_the_winner_is_that_of_a_search_that_ended_there(script: list[float | str], fewer: int) -> None:
    storage, short = InMemoryStorage(), opened(InMemoryStorage(), trials=fewer)
    whole = opened(storage, trials=sum(end != "killed" for end in script) or 1)
    for end in script:
        for search in (whole, short):
            trial = search.ask()
            if trial is None:
                continue
            if isinstance(end, float):
                search.tell(trial.optuna.number, "complete", end)
            elif end == "pruned":
                search.tell(trial.optuna.number, "pruned", None)
            elif end == "diverged":
                search.fail(trial, "loss is nan")
            else:
                search.recover(lambda number: None)
    now = opened(storage, trials=fewer)
    assert now.best() == short.best()
    assert len(now.counted()) == len(short.finished())
