"""The search of one cell: its draws, its budget, its winner, and what a kill may not change."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Literal

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.storages import BaseStorage, InMemoryStorage

from harness.core.errors import StoreError
from harness.runner.search.ended_trial import EndedTrial
from harness.runner.search.optuna_search import CellSearch, OpenTrial
from harness.runner.search.optuna_storage import open_storage, reach_storage
from harness.runner.search.samplers import sampler_of, startup_points
from harness.study.dimension import Dimension
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.study.spec import Search
from tests.support.first_of_kind import first_of_kind
from tests.support.search_spaces import choices, learning_rates, rate, small_spaces

SAMPLERS = ["grid", "random", "tpe", "gp"]
ALONE = learning_rates(1e-5, 1e-1)
MIXED = SearchSpace(
    (
        *ALONE.dimensions,
        choices("training.schedule", "linear", "cosine"),
        Dimension("training.weight_decay", 0.0, 0.1),
        Dimension("training.epochs", 1, 4, integer=True),
    )
)
ROOM = {"grid": 9, "random": 5, "tpe": 5, "gp": 5}
"""Trials, of which a grid over `MIXED` takes eight at least."""
SPACES = {"one dimension": ALONE, "four dimensions": MIXED}

DRAWS = {
    "grid": [
        1e-05,
        4.641588833612779e-05,
        0.00021544346900318834,
        0.001,
        0.004641588833612778,
        0.02154434690031885,
        0.1,
    ],
    "random": [
        0.012956621353637713,
        2.858547562191919e-05,
        0.0021779853084294867,
        0.0010732941379832496,
        0.000706410708148204,
        0.062362343154974645,
        0.0005069869771044194,
    ],
    "tpe": [
        0.022100537190224024,
        1.279978829043495e-05,
        0.013327848028931465,
        0.0004893401523333561,
        0.0033503797412977408,
        1.579144787345938e-05,
        5.280130301966558e-05,
        0.02293399590093504,
        3.684883530785341e-05,
        0.009288538061445532,
        0.000559222851714161,
        0.00046153630319705494,
        0.0004059418877696639,
        0.0004760450369778962,
    ],
    "gp": [
        0.0027443353828071055,
        1.626842844387273e-05,
        0.025017238934064705,
        0.0010291549569484417,
        0.0023335327825453095,
        0.003662063053288063,
        0.0024904759809617543,
    ],
}
"""What commit 0d05755 drew on the curve of `score`: for 7 trials and seed 0, for ``tpe`` 14 and seed 5."""

WARM_DRAWS = {
    "grid": [
        0.0123,
        1e-05,
        6.309573444801933e-05,
        0.00039810717055349735,
        0.00251188643150958,
        0.01584893192461114,
        0.1,
    ],
    "random": [
        0.0123,
        2.858547562191919e-05,
        0.0021779853084294867,
        0.0010732941379832496,
        0.000706410708148204,
        0.062362343154974645,
        0.0005069869771044194,
    ],
    "tpe": [
        0.0123,
        1.279978829043495e-05,
        0.013327848028931465,
        0.0004893401523333561,
        0.0033503797412977408,
        1.579144787345938e-05,
        5.280130301966558e-05,
        0.02293399590093504,
        3.684883530785341e-05,
        0.009288538061445532,
        0.000559222851714161,
        0.00046153630319705494,
        0.0004059418877696639,
        0.0004760450369778962,
    ],
    "gp": [
        0.0123,
        0.0027443353828071055,
        1.626842844387273e-05,
        0.0010031648290774132,
        0.0020692929129830207,
        0.0021213525256767473,
        0.1,
    ],
}
"""The same, where 0.0123 is tried first."""


def spec(sampler: str = "random", **keys: object) -> Search:
    return Search.model_validate({"sampler": sampler, "trials": 5, **keys})


def score(hyperparameters: Hyperparameters) -> float:
    """A curve with its top at 1e-3 and some ripples; other hyperparameters pull a little."""
    place = math.log10(hyperparameters.learning_rate)
    others = [value for value in list(hyperparameters.values())[1:] if isinstance(value, int | float)]
    return -((place + 3) ** 2) + 0.3 * math.sin(7 * place) - 0.1 * sum(others)


def opened(storage: BaseStorage, settings: Search, space: SearchSpace = ALONE) -> CellSearch:
    return CellSearch(storage, "cell", spec=settings, space=space, maximize=True)


def finish(search: CellSearch, start: Hyperparameters | None = None) -> list[Hyperparameters]:
    """Run the rest of a search and return all draws that count, in order."""
    while (trial := search.ask(start)) is not None:
        search.tell(trial.optuna.number, "complete", score(trial.hyperparameters))
    return [search.space.take(trial.params) for trial in search.finished()]


def undisturbed(
    settings: Search, space: SearchSpace = ALONE, start: Hyperparameters | None = None
) -> list[Hyperparameters]:
    return finish(opened(InMemoryStorage(), settings, space), start)


@pytest.mark.parametrize("start", [None, rate(0.0123)], ids=["cold", "warm"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_learning_rates_of_a_study_are_what_they_always_were(sampler: str, start: Hyperparameters | None) -> None:
    settings = spec(sampler, trials=14, seed=5) if sampler == "tpe" else spec(sampler, trials=7, seed=0)
    expected = (DRAWS if start is None else WARM_DRAWS)[sampler]
    drawn = [one.learning_rate for one in undisturbed(settings, start=start)]
    if sampler == "gp":  # behind its first points an optimizer has its say, which rounds as the processor does
        assert drawn[:3] == expected[:3]
        assert drawn == pytest.approx(expected, rel=1e-4)
    else:
        assert drawn == expected


@pytest.mark.parametrize("space", first_of_kind(SPACES.values()), ids=SPACES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_draws_do_not_depend_on_kills(sampler: str, space: SearchSpace, tmp_path: Path) -> None:
    study, storage = spec(sampler, trials=ROOM[sampler]), f"sqlite:///{tmp_path / 'optuna.db'}"
    expected = undisturbed(study, space)
    for kill in range(8):
        search = opened(open_storage(storage, print), study, space)
        search.recover(lambda number: None)
        if (trial := search.ask()) is None:
            break
        if kill % 2:  # every second process lives long enough for one trial, and dies in the next
            search.tell(trial.optuna.number, "complete", score(trial.hyperparameters))
            search.ask()
    search = opened(open_storage(storage, print), study, space)
    search.recover(lambda number: None)
    assert finish(search) == expected
    assert [trial.user_attrs["index"] for trial in search.finished()] == list(range(len(expected)))


@given(
    deaths=st.lists(st.integers(0, 3), min_size=5, max_size=5),
    sampler=st.sampled_from(["grid", "random"]),
    space=small_spaces,
    warm=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_any_pattern_of_kills_changes_nothing(deaths: list[int], sampler: str, space: SearchSpace, warm: bool) -> None:
    study, storage = spec(sampler, trials=9), InMemoryStorage()
    start = space.at([0.4] * len(space.dimensions)) if warm else None
    expected = undisturbed(study, space, start)
    for count in deaths:
        for _ in range(count):
            opened(storage, study, space).ask(start)
            opened(storage, study, space).recover(lambda number: None)
        search = opened(storage, study, space)
        if (trial := search.ask(start)) is not None:
            search.tell(trial.optuna.number, "complete", 1.0)
    assert finish(opened(storage, study, space), start) == expected
    assert opened(storage, study, space).ask(start) is None
    assert opened(storage, study, space).budget(start) == len(expected)


@given(space=small_spaces, sampler=st.sampled_from(SAMPLERS), seed=st.integers(0, 9))
@settings(max_examples=30, deadline=None)
def test_no_draw_lies_outside_its_range(space: SearchSpace, sampler: str, seed: int) -> None:
    study = spec(sampler, trials=9 if sampler == "grid" else 5, seed=seed)
    search = opened(InMemoryStorage(), study, space)
    tried = []
    while (trial := search.ask()) is not None:
        for dimension in space.dimensions:
            value = trial.hyperparameters[dimension.name]
            if dimension.choices:
                assert value in dimension.choices
            else:
                assert dimension.low <= value <= dimension.high  # type: ignore[operator]
                assert isinstance(value, int if dimension.integer else float)
        tried.append(trial.hyperparameters)
        search.tell(trial.optuna.number, "complete", float(len(tried) % 3))
    if sampler == "grid":
        assert len(set(tried)) == len(tried)
        assert tried == space.grid(9)


KINDS = {
    "float": Dimension("training.warmup", 0.0, 0.2),
    "log float": Dimension("training.weight_decay", 1e-4, 1e-1, "log"),
    "integer": Dimension("training.epochs", 1, 3, integer=True),
    "choice": choices("training.clip", None, 1.0, 2.5),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sampler", SAMPLERS)
@given(seed=st.integers(0, 10**6), kills=st.lists(st.booleans(), min_size=6, max_size=6), given=st.booleans())
@settings(max_examples=3, deadline=None)
def test_each_sampler_draws_from_each_kind(sampler: str, kind: str, seed: int, kills: list[bool], given: bool) -> None:
    space, study = SearchSpace((*ALONE.dimensions, KINDS[kind])), spec(sampler, trials=6, seed=seed)
    first = [space.at([0.1, 0.1])] if given else []

    def search(storage: BaseStorage) -> CellSearch:
        return CellSearch(storage, "cell", spec=study, space=space, maximize=True, first=first)

    drawn = finish(search(InMemoryStorage()))
    assert all(dimension.has(one[dimension.name]) for one in drawn for dimension in space.dimensions)
    assert drawn[: len(first)] == first
    assert len(set(drawn)) == len(drawn) or sampler != "grid"
    storage = InMemoryStorage()
    for is_told in kills:
        if (trial := search(storage).ask()) is not None and is_told:
            search(storage).tell(trial.optuna.number, "complete", score(trial.hyperparameters))
        search(storage).recover(lambda number: None)
    assert finish(search(storage)) == drawn


def test_optuna_alone_tries_the_same() -> None:
    """A loop of one's own: random draws by Optuna's sampler, and a grid by hand."""
    space = SearchSpace((*ALONE.dimensions, KINDS["integer"], KINDS["float"]))
    plain = optuna.create_study(direction="maximize")
    for index in range(6):
        plain.sampler = sampler_of(spec("random", trials=6, seed=4), index)
        trial = plain.ask()
        trial.suggest_float("learning_rate", 1e-5, 1e-1, log=True)
        trial.suggest_int("training.epochs", 1, 3)
        trial.suggest_float("training.warmup", 0.0, 0.2)
        plain.tell(trial, 0.0)
    assert [dict(one) for one in undisturbed(spec("random", trials=6, seed=4), space)] == [
        t.params for t in plain.trials
    ]
    points = {"learning_rate": (1e-5, 1e-1), "training.epochs": (1, 3), "training.warmup": (0.0, 0.2)}
    by_hand = [dict(zip(points, values, strict=True)) for values in product(*points.values())]
    assert [dict(one) for one in undisturbed(spec("grid", trials=8), space)] == by_hand


def test_a_start_from_another_space_is_drawn_into_this_one() -> None:
    start = rate(3.0)
    for sampler in SAMPLERS:
        assert undisturbed(spec(sampler), start=start)[0] == rate(1e-1)


def test_the_pruner_compares_runs_of_equal_length() -> None:
    space = SearchSpace((*ALONE.dimensions, choices("training.epochs", 2, 4)))
    given = [
        space.at([place, epochs]) for place, epochs in ((0.1, 0.0), (0.2, 0.0), (0.3, 0.9), (0.4, 0.9), (0.5, 0.0))
    ]
    study = spec("random", pruner="median")
    search = CellSearch(InMemoryStorage(), "cell", spec=study, space=space, maximize=True, first=[*given])
    stopped = []
    for first_epoch in (5.0, 5.0, 1.0, 1.0, 4.0):  # the long ones rise late: among these alone 4 is a poor start
        trial = search.ask()
        assert trial is not None
        trial.optuna.report(first_epoch, 1)
        stopped.append(trial.optuna.should_prune())
        search.tell(trial.optuna.number, "complete", first_epoch)
    assert stopped == [False, False, False, False, True]


@pytest.mark.parametrize("sampler", ["grid", "gp"])
def test_what_the_tracking_store_knows_of_a_killed_trial_counts(sampler: str) -> None:
    study, storage = spec(sampler), InMemoryStorage()
    expected = undisturbed(study)
    for drawn in expected[:3]:
        trial = opened(storage, study).ask()
        assert trial is not None
        assert trial.hyperparameters == drawn
        opened(storage, study).recover(lambda number, drawn=drawn: ("complete", score(drawn)))
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
        trial.optuna.report(0.5 if end == "complete" else 9.0, 1)
        if end == "diverged":
            search.fail(trial, "loss is nan at step 3")
        else:
            search.tell(trial.optuna.number, end, 0.5 if end == "complete" else None)
    assert search.ask() is None
    best = search.best()
    assert best is not None
    assert (best.value, best.trial) == (0.5, 0)


@given(held=st.sets(st.integers(0, 4)), sampler=st.sampled_from(["grid", "random"]))
@settings(max_examples=30, deadline=None)
def test_trials_of_another_store_are_added_and_the_rest_is_drawn(held: set[int], sampler: str) -> None:
    expected = undisturbed(spec(sampler))
    search = opened(InMemoryStorage(), spec(sampler))
    for index in sorted(held):
        search.add(index, expected[index], EndedTrial("complete", score(expected[index]), {1: 0.5}), {})
    assert [int(trial.user_attrs["index"]) for trial in search.finished()] == sorted(held)
    assert finish(search) == expected


@pytest.mark.parametrize("outcome", ["pruned", "diverged"])
def test_a_trial_that_did_not_complete_is_added_as_such(outcome: Literal["pruned", "diverged"]) -> None:
    search = opened(InMemoryStorage(), spec(trials=2))
    number = search.add(0, rate(3.0), EndedTrial(outcome, None, {1: 0.5}, "loss is nan"), {})  # beyond the range: warm
    (trial,) = search.finished()
    assert trial.number == number
    assert EndedTrial.of(trial) == (outcome, None, {1: 0.5}, "loss is nan" if outcome == "diverged" else "")
    assert search.best() is None
    assert len(finish(search)) == 2


def test_more_trials_go_on_where_fewer_ended() -> None:
    for sampler in ("random", "tpe", "gp"):
        storage = InMemoryStorage()
        first = finish(opened(storage, spec(sampler, trials=3)))
        assert finish(opened(storage, spec(sampler, trials=5))) == undisturbed(spec(sampler))
        assert first == undisturbed(spec(sampler))[:3]


@given(seed=st.integers(0, 10**6), low=st.floats(1e-7, 1e-3), factor=st.floats(1.5, 1e5))
def test_a_gaussian_process_begins_in_every_third(seed: int, low: float, factor: float) -> None:
    found = startup_points(learning_rates(low, low * factor), seed)
    places = sorted(math.log(one.learning_rate / low, factor) for one in found)
    assert all(part / 3 - 1e-9 <= place <= (part + 1) / 3 + 1e-9 for part, place in enumerate(places))
    assert len(places) == 3


def test_the_order_of_the_thirds_is_drawn() -> None:
    first = [startup_points(ALONE, seed)[0].learning_rate for seed in range(60)]
    thirds = [int(3 * (math.log10(rate) + 5) / 4) for rate in first]
    assert all(8 <= thirds.count(third) <= 36 for third in range(3))
    assert undisturbed(spec("gp"))[:3] == startup_points(ALONE, 0)


def test_the_grid_is_searched_in_its_order() -> None:
    assert undisturbed(spec("grid")) == ALONE.grid(5)
    assert undisturbed(spec("grid", trials=16), MIXED) == MIXED.grid(16)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_start_of_many_dimensions_is_tried_first_and_counts(sampler: str) -> None:
    start = MIXED.at([0.1, 0.9, 0.4, 0.9])
    budget = spec(sampler, trials=ROOM[sampler])
    warm, cold = undisturbed(budget, MIXED, start), undisturbed(budget, MIXED)
    assert warm[0] == start
    assert len(warm) <= budget.trials
    if sampler == "grid":
        assert warm[1:] == MIXED.grid(8)
    if sampler == "random":
        assert warm[1:] == cold[1:]
    if sampler == "gp":  # the startup point that is most like the start gives way to it
        shared = [sum(a == b for a, b in zip(thirds(start), thirds(one), strict=True)) for one in cold[:3]]
        assert warm[1:3] == [one for index, one in enumerate(cold[:3]) if index != shared.index(max(shared))]


def thirds(hyperparameters: Hyperparameters) -> list[int]:
    return MIXED.parts_of(hyperparameters, 3)


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp"])
def test_another_hyperparameter_leaves_the_first_learning_rates(sampler: str) -> None:
    first = 3 if sampler == "gp" else 1  # then what was found has its say
    alone, mixed = (undisturbed(spec(sampler), space)[:first] for space in (ALONE, MIXED))
    assert [one.learning_rate for one in mixed] == [one.learning_rate for one in alone]


def test_a_winner_is_carried_whole() -> None:
    search = opened(InMemoryStorage(), spec("random"), MIXED)
    drawn = finish(search)
    best = search.best()
    assert best is not None
    assert best.hyperparameters == drawn[best.trial] == max(drawn, key=score)
    assert tuple(best.hyperparameters) == MIXED.names


@pytest.mark.parametrize("sampler", ["random", "tpe", "gp"])
def test_seeds_decide_the_draws(sampler: str) -> None:
    assert undisturbed(spec(sampler, seed=1)) == undisturbed(spec(sampler, seed=1))
    assert undisturbed(spec(sampler, seed=1)) != undisturbed(spec(sampler, seed=2))
    draws = undisturbed(spec(sampler))
    assert len(set(draws)) == 5
    assert all(1e-5 <= one.learning_rate <= 1e-1 for one in draws)


@pytest.mark.parametrize("maximize", [True, False])
def test_the_earliest_of_equals_wins(maximize: bool) -> None:
    search = CellSearch(InMemoryStorage(), "cell", spec=spec("grid"), space=ALONE, maximize=maximize)
    values = iter([0.0, 1.0, 1.0, 0.0, 1.0] if maximize else [1.0, 0.0, 0.0, 1.0, 0.0])
    while (trial := search.ask()) is not None:
        search.tell(trial.optuna.number, "complete", next(values))
    best = search.best()
    assert best is not None
    assert (best.trial, best.hyperparameters) == (1, ALONE.grid(5)[1])


@settings(deadline=None)
@given(script=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2)), min_size=1, max_size=5), maximize=st.booleans())
def test_of_equals_the_one_of_lowest_loss_wins(script: list[tuple[int, int]], maximize: bool) -> None:
    search = CellSearch(InMemoryStorage(), "cell", spec=spec(trials=len(script)), space=ALONE, maximize=maximize)
    losses = {}
    for value, loss in script:
        trial = search.ask()
        assert trial is not None
        search.tell(trial.optuna.number, "complete", float(value))
        losses[trial.optuna.number] = float(loss)
    best = search.best(losses)
    assert best is not None
    order = [((-value if maximize else value), loss, index) for index, (value, loss) in enumerate(script)]
    assert best.trial == min(order)[2]


def test_nothing_wins_where_all_diverged() -> None:
    search = opened(InMemoryStorage(), spec(trials=2))
    for trial in asked(search):
        search.fail(trial, "loss is inf at step 1")
    assert search.best() is None


def asked(search: CellSearch) -> Iterator[OpenTrial]:
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
