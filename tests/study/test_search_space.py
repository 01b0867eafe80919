"""The search space: what may be drawn, how it is spread, and how it is written into a run's params and read back."""

from __future__ import annotations

import copy
import json
import math
import pickle
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.absent_value import NONE
from harness.core.errors import UserError
from harness.data.template import Template
from harness.study.cell_digests import cell_digests
from harness.study.dimension import Dimension, Value, format_value, parse_value
from harness.study.grid import expand
from harness.study.search_space import (
    HYPERPARAMETERS,
    Hyperparameter,
    Hyperparameters,
    SearchSpace,
    applied,
)
from harness.study.spec import StudySpec
from tests.support.search_spaces import choices, combinations, learning_rates, rate, smallest_grid, spaces

values: st.SearchStrategy[Value] = st.one_of(
    st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(), st.text(max_size=12)
)


def made(**sections: Any) -> StudySpec:
    return StudySpec.model_validate({"name": "s", "task": "t", "prompts": ["p"], "tuning": ["head"], **sections})


@given(values)
def test_a_value_comes_back_from_its_text_as_it_was(value: Value) -> None:
    back = parse_value(format_value(value))
    assert (type(back), back) == (type(value), value)
    assert str(back) == str(value)  # the sign of a zero, too


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-05, "1e-05"), (0.1, "0.1"), (100.0, "100.0"), (3, "3"), ("cosine", "cosine"), ("a b", "a b")],
)
def test_plain_values_are_written_plainly(value: Value, text: str) -> None:
    assert format_value(value) == text


@pytest.mark.parametrize("text", ["3", "1e-3", "nan", "Infinity", " 7 ", "1_000", NONE, "null", '"', '"quoted"'])
def test_a_text_that_looks_like_something_else_stays_a_text(text: str) -> None:
    assert format_value(text) not in (text, NONE)
    assert parse_value(format_value(text)) == text


@given(data=st.data(), space=spaces)
def test_params_are_read_back_whole(data: st.DataObject, space: SearchSpace) -> None:
    drawn = space.at([data.draw(st.floats(0, 1)) for _ in space.dimensions])
    params = space.format(drawn)
    assert tuple(params) == space.names
    back = space.parse({"seed": "3", "training.epochs": "7", **params})
    assert (back, list(back), [type(value) for value in back.values()]) == (
        drawn,
        list(drawn),
        [type(value) for value in drawn.values()],
    )


def test_what_trains_nothing_has_none_of_them() -> None:
    space = SearchSpace((*learning_rates(1e-4, 1e-2).dimensions, choices("training.epochs", 1, 2)))
    assert space.format(Hyperparameters()) == {"learning_rate": NONE, "training.epochs": NONE}
    assert space.parse(space.format(Hyperparameters())) == space.parse({}) == Hyperparameters()
    with pytest.raises(KeyError):
        _ = Hyperparameters().learning_rate


@given(st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_hyperparameters_are_a_value(content: dict[str, Value]) -> None:
    before = dict(content)
    one, other = Hyperparameters(content), Hyperparameters(dict(reversed(content.items())))
    assert (one, hash(one)) == (other, hash(other))
    assert pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) == one == before
    assert list(one) == list(content)
    content["another"] = 1
    assert one == before
    with pytest.raises(AttributeError):
        one.chosen = {}  # type: ignore[misc]


def test_they_are_worded_for_people() -> None:
    drawn = Hyperparameters({"learning_rate": 0.012345, "training.epochs": 3, "training.schedule": "linear"})
    assert drawn.in_words() == "learning rate 0.012, training.epochs 3, training.schedule linear"


@given(space=spaces, places=st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_no_place_lies_outside_its_range(space: SearchSpace, places: list[float]) -> None:
    for dimension, value in zip(space.dimensions, space.at(places[: len(space.dimensions)]).values(), strict=True):
        assert_inside(value, dimension)
        assert 0 <= dimension.place(value) <= 1


def assert_inside(value: Value, dimension: Dimension) -> None:
    if dimension.choices:
        assert value in dimension.choices
    else:
        assert isinstance(value, int if dimension.integer else float)
        assert dimension.has(value)


@given(space=spaces, trials=st.integers(1, 40))
def test_a_grid_has_no_point_twice_both_ends_and_no_more_than_the_budget(space: SearchSpace, trials: int) -> None:
    fewest, least = combinations(space), smallest_grid(space)
    if least > trials:
        what = f"{fewest} combinations of choices" if fewest > trials else ".*ranges, of which one alone"
        with pytest.raises(UserError, match=f"{trials} trials are no grid of {what}.*raise .* to at least {least}$"):
            space.grid(trials)
        return
    grid = space.grid(trials)
    assert len(set(grid)) == len(grid) <= trials
    axes = {name: list(dict.fromkeys(point[name] for point in grid)) for name in space.names}
    assert len(grid) == math.prod(len(points) for points in axes.values())
    for dimension in space.dimensions:
        points = axes[dimension.name]
        for point in points:
            assert_inside(point, dimension)
        if dimension.choices:
            assert points == list(dimension.choices)
        elif len(points) > 1:
            assert (points[0], points[-1]) == (dimension.low, dimension.high)
        else:
            assert points == list(dimension.points(1))
        assert points == sorted(points, key=dimension.place)
    assert sum(len(axes[d.name]) == 1 for d in space.dimensions if not d.choices) <= 1


@given(space=spaces, trials=st.integers(1, 40))
def test_no_range_of_a_grid_could_have_one_point_more(space: SearchSpace, trials: int) -> None:
    ranges = [dimension for dimension in space.dimensions if not dimension.choices and not dimension.integer]
    if smallest_grid(space) > trials or len(ranges) + sum(bool(d.choices) for d in space.dimensions) < len(
        space.dimensions
    ):
        return  # whole numbers may run out
    grid = space.grid(trials)
    for dimension in ranges:
        points = len({point[dimension.name] for point in grid})
        assert len(grid) // points * (points + 1) > trials


def test_a_grid_of_several_dimensions() -> None:
    space = SearchSpace(
        (
            *learning_rates(1e-4, 1e-2).dimensions,
            choices("training.schedule", "linear", "cosine"),
            Dimension("training.weight_decay", 0.0, 0.1),
        )
    )
    assert [tuple(point.values()) for point in space.grid(8)] == [
        (1e-4, "linear", 0.0),
        (1e-4, "linear", 0.1),
        (1e-4, "cosine", 0.0),
        (1e-4, "cosine", 0.1),
        (1e-2, "linear", 0.0),
        (1e-2, "linear", 0.1),
        (1e-2, "cosine", 0.0),
        (1e-2, "cosine", 0.1),
    ]
    with pytest.raises(UserError, match="3 trials are no grid of 2 combinations of choices and 2 ranges"):
        space.grid(3)
    assert [tuple(point.values()) for point in SearchSpace(space.dimensions[:2]).grid(3)] == [
        (1e-3, "linear"),
        (1e-3, "cosine"),
    ]


@given(points=st.integers(1, 12), low=st.floats(1e-7, 1e-3), factor=st.floats(1.5, 1e5))
def test_grid_points_are_evenly_spaced_in_the_logarithm(points: int, low: float, factor: float) -> None:
    high = low * factor
    grid = [point.learning_rate for point in learning_rates(low, high).grid(points)]
    assert len(grid) == points
    assert all(low <= rate <= high for rate in grid)
    if points > 1:
        assert (grid[0], grid[-1]) == (low, high)
        gaps = [math.log(b) - math.log(a) for a, b in zip(grid, grid[1:], strict=False)]
        assert gaps == pytest.approx([math.log(factor) / (points - 1)] * (points - 1))
    else:
        assert math.log(grid[0]) == pytest.approx((math.log(low) + math.log(high)) / 2)


def test_whole_numbers_are_spread_and_never_repeated() -> None:
    assert Dimension("n", 1, 9, integer=True).points(3) == (1, 5, 9)
    assert Dimension("n", 1, 3, integer=True).points(8) == (1, 2, 3)
    assert Dimension("n", 1, 64, "log", integer=True).points(4) == (1, 4, 16, 64)
    assert Dimension("n", 1, 4, integer=True).points(1) == (3,)
    shares = [Dimension("n", 1, 4, integer=True).at(place / 400) for place in range(400)]
    assert [shares.count(number) for number in (1, 2, 3, 4)] == [100] * 4


@given(space=spaces, parts=st.integers(1, 6), seed=st.integers(0, 99))
def test_a_latin_hypercube_has_a_point_in_each_part(space: SearchSpace, parts: int, seed: int) -> None:
    points = space.latin_hypercube(parts, random.Random(seed))
    assert points == space.latin_hypercube(parts, random.Random(seed))
    assert len(points) == parts
    for dimension in space.dimensions:
        if not dimension.choices and not dimension.integer:  # a handful of values does not fill all parts
            places = sorted(dimension.place(point[dimension.name]) for point in points)
            assert all(part / parts - 1e-6 <= p <= (part + 1) / parts + 1e-6 for part, p in enumerate(places))


def test_another_dimension_behind_leaves_the_draws_of_the_first() -> None:
    alone = learning_rates(1e-4, 1e-2)
    both = SearchSpace((*alone.dimensions, Dimension("training.weight_decay", 0.0, 0.1)))
    points = both.latin_hypercube(3, random.Random(0))
    assert [rate(point.learning_rate) for point in points] == alone.latin_hypercube(3, random.Random(0))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"low": 2.0, "high": 1.0}, "x needs low < high, but low=2.0 and high=1.0; swap them"),
        ({"low": 0.0, "scale": "log"}, "x begins at 0.0, which has no logarithm"),
        ({"low": 0.5, "high": 3, "integer": True}, "x takes whole numbers, but its ends are 0.5 and 3; round them"),
        ({"choices": (1, 2, 1)}, r"x has a choice more than once, \[1, 2, 1\]"),
    ],
)
def test_a_range_that_is_none_is_refused(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Dimension("x", **keys)


@given(space=spaces)
def test_a_space_comes_back_from_the_store(space: SearchSpace) -> None:
    assert SearchSpace.from_record(json.loads(json.dumps(space.record())), {}) == space


def test_a_store_from_before_there_were_spaces_says_the_range_in_its_search_section() -> None:
    search = made(search={"learning_rate": {"low": 1e-4, "high": 1e-2}}).search.model_dump(mode="json")
    assert SearchSpace.from_record(None, search) == learning_rates(1e-4, 1e-2)


def test_a_study_searches_over_the_learning_rate() -> None:
    study = made(search={"learning_rate": {"low": 1e-4, "high": 1e-2}})
    assert SearchSpace.of(study) == learning_rates(1e-4, 1e-2)
    assert applied(study, rate(1e-3)) is study  # `fit` is handed it


def decay(study: StudySpec) -> Dimension | None:
    return Dimension("training.weight_decay", 0.0, 0.1) if study.training.weight_decay == 0 else None


def decayed(study: StudySpec, value: Value) -> StudySpec:
    return study.model_copy(update={"training": study.training.model_copy(update={"weight_decay": value})})


def test_one_entry_of_the_table_is_one_more_dimension(monkeypatch: pytest.MonkeyPatch) -> None:
    study, fixed = made(), made(training={"weight_decay": 0.3})
    monkeypatch.setitem(HYPERPARAMETERS, "training.weight_decay", Hyperparameter(decay, decayed))
    assert SearchSpace.of(study).names == ("learning_rate", "training.weight_decay")
    assert SearchSpace.of(fixed).names == ("learning_rate",)
    drawn = SearchSpace.of(study).at([0.5, 1.0])
    assert applied(study, drawn).training.weight_decay == 0.1
    assert applied(study, drawn).search == study.search


def test_another_space_makes_another_cell_of_all_that_train(monkeypatch: pytest.MonkeyPatch) -> None:
    study = made()
    cells = expand(study, [Template("p", "{{ source }}", "source")])
    before = cell_digests(cells, study, {})
    monkeypatch.setitem(HYPERPARAMETERS, "training.weight_decay", Hyperparameter(decay, decayed))
    after = cell_digests(cells, study, {})
    assert after["p/none"] == before["p/none"]
    assert after["p/head"] != before["p/head"]
    wider = Hyperparameter(lambda study: Dimension("training.weight_decay", 0.0, 0.2), decayed)
    monkeypatch.setitem(HYPERPARAMETERS, "training.weight_decay", wider)
    assert cell_digests(cells, study, {})["p/head"] not in (before["p/head"], after["p/head"])
