"""The grid for any number of axes: ids, order, what does not show, baselines, neighbors, digests."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.data.template import Template
from harness.study.cell_digests import cell_digests, edition
from harness.study.further_axes import Axis
from harness.study.grid import Cell, baseline_cell, cell_study, expand, neighbor
from harness.study.spec import StudySpec
from tests.support.made_up_axes import Setting, added, training_axis

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,3}", fullmatch=True)
levels = st.lists(names, min_size=1, max_size=3, unique=True)
further = st.lists(levels, max_size=3)
TUNINGS = st.lists(st.sampled_from(["none", "head", "full"]), min_size=1, unique=True)


def study_of(prompts: list[str], tuning: list[Any], **more: Any) -> StudySpec:
    return StudySpec.model_validate({"name": "s", "task": "t", "prompts": prompts, "tuning": tuning, **more})


def grid(study: StudySpec) -> list[Cell]:
    return expand(study, [Template(prompt.name, f"{prompt.name} {{{{ source }}}}") for prompt in study.prompts])


def axes_of(further: list[list[str]]) -> list[Axis]:
    """Return made-up axes with levels of these names, which change the weight decay."""
    return [
        training_axis(f"axis{number}", "weight_decay", [Setting(name, 0.01 * (1 + at)) for at, name in enumerate(own)])
        for number, own in enumerate(further)
    ]


@given(levels, TUNINGS, further)
def test_cells_are_the_product_of_all_axes_prompts_outside(
    prompts: list[str], tuning: list[str], further: list[list[str]]
) -> None:
    study = study_of(prompts, tuning)
    with added(*axes_of(further)):
        cells = grid(study)
    shown = [own for own in further if len(own) > 1]
    wanted = list(product(prompts, [one.name for one in study.tunings()], *shown))
    assert [tuple(cell.levels.values()) for cell in cells] == wanted
    assert [cell.id for cell in cells] == ["/".join(combination) for combination in wanted]
    assert len({cell.id for cell in cells}) == len(cells) == len(set(cells))
    with added(*axes_of(further)):
        assert grid(study) == cells


@settings(deadline=None)
@given(levels, TUNINGS, further, names, st.integers(0, 3))
def test_an_axis_of_one_level_shows_nowhere(
    prompts: list[str], tuning: list[str], further: list[list[str]], only: str, place: int
) -> None:
    study, axes = study_of(prompts, tuning, search={"warm_start": "neighbor"}), axes_of(further)
    single = training_axis("single", "clip", [Setting(only, study.training.clip)])
    with added(*axes):
        cells, digests = grid(study), cell_digests(grid(study), study, {})
    with added(*axes[:place], single, *axes[place:]):
        assert grid(study) == cells
        assert cell_digests(cells, study, {}) == digests


@given(levels, TUNINGS, further)
def test_cells_that_train_form_one_tree_in_grid_order(
    prompts: list[str], tuning: list[str], further: list[list[str]]
) -> None:
    study = study_of(prompts, tuning, search={"warm_start": "neighbor"})
    with added(*axes_of(further)):
        cells = grid(study)
    trained = [cell for cell in cells if cell.tuning.trains]
    parents = [neighbor(cell, study, cells) for cell in trained]
    assert [parent is None for parent in parents] == [True, *[False] * (len(trained) - 1)][: len(trained)]
    for cell, parent in zip(trained[1:], parents[1:], strict=True):
        assert parent is not None
        assert cells.index(parent) < cells.index(cell)
        assert sum(parent.levels[axis] != level for axis, level in cell.levels.items()) == 1


def test_a_level_acts_and_is_part_of_what_a_cell_is() -> None:
    study = study_of(["bare"], ["full"])
    plain, only = grid(study), [Setting("1", 0.1)]
    assert cell_study(study, plain[0]) is study
    with added(training_axis("decay", "weight_decay", [*only, Setting("2", 0.2)])):
        cells = grid(study)
        assert [cell.id for cell in cells] == ["bare/none/1", "bare/none/2", "bare/full/1", "bare/full/2"]
        assert [cell_study(study, cell).training.weight_decay for cell in cells] == [0.1, 0.2, 0.1, 0.2]
        digests = cell_digests(cells, study, {})
        assert len(set(digests.values())) == 4
        assert not set(digests.values()) & set(cell_digests(plain, study, {}).values())
    with added(training_axis("decay", "weight_decay", only)):
        assert [cell_study(study, cell).training.weight_decay for cell in grid(study)] == [0.1, 0.1]


def test_a_baseline_names_as_many_axes_as_it_likes() -> None:
    axes = axes_of([["s", "t"], ["u", "v"]])
    with added(training_axis("single", "clip", [Setting("1", 1.0)]), *axes):
        ids = {}
        for more in ({"single": 1}, {"axis1": "v"}, {"axis0": "t", "axis1": "v"}):
            study = study_of(["a", "b"], ["head"], final={"baseline": {"prompt": "b", "tuning": "head", **more}})
            ids[baseline_cell(study, grid(study)).id] = edition(study, {})
        assert list(ids) == ["b/head/s/u", "b/head/s/v", "b/head/t/v"]
        assert len(set(ids.values())) == 3
        unnamed = study_of(["a", "b"], ["head", "full"])
        assert baseline_cell(unnamed, grid(unnamed)).id == "a/full/s/u"
        headless = study_of(["a", "b"], ["head"])
        assert baseline_cell(headless, grid(headless)).id == "a/head/s/u", "the first that trains"
        with pytest.raises(ValidationError, match="unknown key 'axis2'.*did you mean 'axis1'"):
            study_of(["a"], ["head"], final={"baseline": {"prompt": "a", "tuning": "head", "axis2": "v"}})


@pytest.mark.parametrize(
    ("search", "known"),
    [
        (
            {"learning_rate": {"low": 1e-4, "high": 1e-2}},
            ["555e87e6339e9685", "3db83762b028f737", "6fc5444805ad79b9", "bdaf0b6692083d20"],
        ),
        (
            {"learning_rate": {"low": 1e-4, "high": 1e-2}, "sampler": "grid", "trials": 5},
            ["555e87e6339e9685", "15c0bb01f3c47414", "511b28d3c9fc5bbd", "b19c510564493a89"],
        ),
        (
            {
                "learning_rate": {"low": 1e-5, "high": 1e-1, "scale": "log"},
                "warm_start": "neighbor",
                "sampler": "tpe",
                "metric": "loss",
            },
            ["555e87e6339e9685", "a182d9e6268248e7", "9a28cd915c2f2cb3", "23a9e249447431d7"],
        ),
        (
            {"learning_rate": {"low": 1, "high": 10}, "pruner": "median"},
            ["555e87e6339e9685", "489319dee661ce50", "5b86cc58afeb7ea8", "6ae67c4ca5496a1b"],
        ),
    ],
)
def test_a_study_that_names_a_learning_rate_alone_has_the_cells_it_always_had(
    search: dict[str, Any], known: list[str]
) -> None:
    """What commit 34e51bf called them."""
    study = study_of(["p", "q"], ["head", {"last_blocks": 2}, "full"], search=search)
    cells = expand(study, [Template("p", "{{ source }}", "source"), Template("q", "q {{ source }}", "source")])
    digests = cell_digests(cells, study, {})
    assert [digests["p/none"], digests["p/head"], digests["p/full"], edition(study, digests)] == known


def test_what_is_searched_over_and_what_is_tried_first_is_part_of_a_cell() -> None:
    rates = {"low": 1e-4, "high": 1e-2}
    searches: list[dict[str, Any]] = [
        {"learning_rate": rates},
        {"learning_rate": rates, "first": [{"learning_rate": 1e-3}]},
        {"learning_rate": rates, "space": {"training.epochs": [1, 2]}},
        {"learning_rate": rates, "space": {"training.epochs": [2, 1]}},
        {"space": {"learning_rate": {**rates, "scale": "linear"}}},
        {"space": {"learning_rate": [1e-4, 1e-2]}},
    ]
    found = []
    for search in searches:
        study = study_of(["p"], ["head"], search=search)
        found.append(cell_digests(grid(study), study, {}))
    assert len({digests["p/head"] for digests in found}) == len(searches)
    assert len({digests["p/none"] for digests in found}) == 1
    short = study_of(["p"], ["head"], search={"space": {"learning_rate": rates}})
    assert cell_digests(grid(short), short, {}) == found[0]
