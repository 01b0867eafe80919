"""The search of one cell: its draws, its budget, its winner, and what a kill may not change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import BaseStorage, InMemoryStorage

from harness.core.errors import StoreError
from harness.runner.search.optuna_search import CellSearch, grid_points, open_storage, reach_storage, startup_points
from harness.study.spec import Search

SAMPLERS = ["grid", "random", "tpe", "gp"]


def spec(sampler: str = "random", **keys: object) -> Search:
    content = {"sampler": sampler, "trials": 5, "learning_rate": {"low": 1e-5, "high": 1e-1}, **keys}
    return Search.model_validate(content)


def score(rate: float) -> float:
    """A curve with its top at 1e-3 and some ripples."""
    place = math.log10(rate)
    return -((place + 3) ** 2) + 0.3 * math.sin(7 * place)


def opened(storage: BaseStorage, settings: Search) -> CellSearch:
    return CellSearch(storage, "cell", spec=settings, maximize=True)


def finish(search: CellSearch) -> list[float]:
    """Run the rest of a search and return all draws that count, in order."""
    while (trial := search.ask()) is not None:
        search.tell(trial.number, "complete", score(trial.params["learning_rate"]))
    return [trial.params["learning_rate"] for trial in search.finished()]


def undisturbed(settings: Search) -> list[float]:
    return finish(opened(InMemoryStorage(), settings))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_draws_do_not_depend_on_kills(sampler: str, tmp_path: Path) -> None:
    study, storage = spec(sampler), f"sqlite:///{tmp_path / 'optuna.db'}"
    expected = undisturbed(study)
    for kill in range(8):
        search = opened(open_storage(storage), study)
        search.recover(lambda number: None)
        if (trial := search.ask()) is None:
            break
        if kill % 2:  # every second process lives long enough for one trial, and dies in the next
            search.tell(trial.number, "complete", score(trial.params["learning_rate"]))
            search.ask()
    search = opened(open_storage(storage), study)
    search.recover(lambda number: None)
    assert finish(search) == expected
    assert [trial.user_attrs["index"] for trial in search.finished()] == list(range(5))


@given(deaths=st.lists(st.integers(0, 3), min_size=5, max_size=5), sampler=st.sampled_from(["grid", "random"]))
@settings(max_examples=25, deadline=None)
def test_any_pattern_of_kills_changes_nothing(deaths: list[int], sampler: str) -> None:
    study, storage = spec(sampler), InMemoryStorage()
    for count in deaths:
        for _ in range(count):
            opened(storage, study).ask()
            opened(storage, study).recover(lambda number: None)
        search = opened(storage, study)
        trial = search.ask()
        assert trial is not None
        search.tell(trial.number, "complete", score(trial.params["learning_rate"]))
    assert opened(storage, study).ask() is None
    assert finish(opened(storage, study)) == undisturbed(study)


@pytest.mark.parametrize("sampler", ["grid", "gp"])
def test_what_the_tracking_store_knows_of_a_killed_trial_counts(sampler: str) -> None:
    study, storage = spec(sampler), InMemoryStorage()
    expected = undisturbed(study)
    for rate in expected[:3]:
        trial = opened(storage, study).ask()
        assert trial is not None
        assert trial.params["learning_rate"] == rate
        opened(storage, study).recover(lambda number, rate=rate: ("complete", score(rate)))
    assert finish(opened(storage, study)) == expected


def test_a_kill_between_enqueuing_and_asking_leaves_no_trace() -> None:
    study, storage = spec("grid"), InMemoryStorage()
    opened(storage, study)
    optuna.load_study(study_name="cell", storage=storage).enqueue_trial({"learning_rate": 1e-5})
    search = opened(storage, study)
    search.recover(lambda number: None)
    assert finish(search) == undisturbed(study)


def test_pruned_and_diverged_trials_use_the_budget_but_never_win() -> None:
    search = opened(InMemoryStorage(), spec("grid", trials=4, pruner="median"))
    for end in ("complete", "pruned", "diverged", "complete"):
        trial = search.ask()
        assert trial is not None
        trial.report(0.5 if end == "complete" else 9.0, 1)
        if end == "diverged":
            search.fail(trial, "loss is nan at step 3")
        else:
            search.tell(trial.number, end, 0.5 if end == "complete" else None)
    assert search.ask() is None
    best = search.best()
    assert best is not None
    assert (best.value, best.trial) == (0.5, 0)


def test_more_trials_go_on_where_fewer_ended() -> None:
    for sampler in ("random", "tpe", "gp"):
        storage = InMemoryStorage()
        first = finish(opened(storage, spec(sampler, trials=3)))
        assert finish(opened(storage, spec(sampler, trials=5))) == undisturbed(spec(sampler))
        assert first == undisturbed(spec(sampler))[:3]


@given(points=st.integers(1, 12), low=st.floats(1e-7, 1e-3), factor=st.floats(1.5, 1e5))
def test_grid_points_are_evenly_spaced_in_the_logarithm(points: int, low: float, factor: float) -> None:
    space = spec(learning_rate={"low": low, "high": low * factor}).learning_rate
    grid = grid_points(space.low, space.high, points)
    assert len(grid) == points
    assert all(space.low <= rate <= space.high for rate in grid)
    if points > 1:
        assert (grid[0], grid[-1]) == (space.low, space.high)
        gaps = [math.log(b) - math.log(a) for a, b in zip(grid, grid[1:], strict=False)]
        assert gaps == pytest.approx([math.log(factor) / (points - 1)] * (points - 1))
    else:
        assert math.log(grid[0]) == pytest.approx((math.log(space.low) + math.log(space.high)) / 2)


@given(seed=st.integers(0, 10**6), low=st.floats(1e-7, 1e-3), factor=st.floats(1.5, 1e5))
def test_a_gaussian_process_begins_in_every_third(seed: int, low: float, factor: float) -> None:
    found = startup_points(spec("gp", seed=seed, learning_rate={"low": low, "high": low * factor}))
    places = sorted(math.log(rate / low, factor) for rate in found)
    assert all(part / 3 - 1e-9 <= place <= (part + 1) / 3 + 1e-9 for part, place in enumerate(places))
    assert len(places) == 3


def test_the_order_of_the_thirds_is_drawn() -> None:
    first = [startup_points(spec("gp", seed=seed))[0] for seed in range(60)]  # the range is 1e-5 to 1e-1
    thirds = [int(3 * (math.log10(rate) + 5) / 4) for rate in first]
    assert all(8 <= thirds.count(third) <= 36 for third in range(3))
    assert undisturbed(spec("gp"))[:3] == startup_points(spec("gp"))


def test_the_grid_is_searched_in_its_order() -> None:
    assert undisturbed(spec("grid")) == grid_points(spec().learning_rate.low, spec().learning_rate.high, 5)


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp"])
def test_seeds_decide_the_draws(sampler: str) -> None:
    assert undisturbed(spec(sampler, seed=1)) == undisturbed(spec(sampler, seed=1))
    assert undisturbed(spec(sampler, seed=1)) != undisturbed(spec(sampler, seed=2))
    draws = undisturbed(spec(sampler))
    assert len(set(draws)) == 5
    assert all(1e-5 <= rate <= 1e-1 for rate in draws)


@pytest.mark.parametrize("maximize", [True, False])
def test_the_earliest_of_equals_wins(maximize: bool) -> None:
    search = CellSearch(InMemoryStorage(), "cell", spec=spec("grid"), maximize=maximize)
    values = iter([0.0, 1.0, 1.0, 0.0, 1.0] if maximize else [1.0, 0.0, 0.0, 1.0, 0.0])
    while (trial := search.ask()) is not None:
        search.tell(trial.number, "complete", next(values))
    best = search.best()
    assert best is not None
    assert (best.trial, best.learning_rate) == (
        1,
        grid_points(spec().learning_rate.low, spec().learning_rate.high, 5)[1],
    )


def test_nothing_wins_where_all_diverged() -> None:
    search = opened(InMemoryStorage(), spec(trials=2))
    for trial in asked(search):
        search.fail(trial, "loss is inf at step 1")
    assert search.best() is None


def asked(search: CellSearch) -> Iterator[optuna.Trial]:
    while (trial := search.ask()) is not None:
        yield trial


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite:///no/such/folder/x.db", "redis://localhost:9", "postgresql://127.0.0.1:9/x", ""]
)
def test_a_storage_out_of_reach_is_named_and_not_made(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="search.storage .* cannot be reached: .+; check the URL"):
        reach_storage(url)
    assert not list(tmp_path.iterdir())


def test_reaching_a_storage_makes_none(tmp_path: Path) -> None:
    reach_storage(f"sqlite:///{tmp_path / 'optuna.db'}")
    assert not list(tmp_path.iterdir())
