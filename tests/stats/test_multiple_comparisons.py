"""Families of comparisons: bounds, groups, effects of planted grids."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics.base import mean
from harness.stats import (
    Trained,
    all_pairs,
    effects,
    estimate,
    holm,
    not_distinguishable,
    resample,
    runs,
    to_baseline,
    with_best,
)

EXAMPLES = 150


def _cells(
    shifts: dict[str, float], *, seed: int = 0, by_seed: float = 0.0, seeded: bool = True, rows: int = EXAMPLES
) -> dict[str, Trained]:
    """Return cells of three runs whose true scores differ by the shifts."""
    rng = np.random.default_rng(seed)
    examples = rng.normal(0.5, 0.2, rows)
    made = {}
    for name, shift in shifts.items():
        scores = examples + shift + rng.normal(0, by_seed, (3, 1)) + rng.normal(0, 0.05, (3, rows))
        made[name] = runs([[np.array([score]) for score in run] for run in scores], mean, seeded=seeded)
    return resample(made, generator=np.random.default_rng(1), resamples=1000)


def test_cells_are_compared_with_the_baseline_by_direction():
    cells = _cells({"low": -0.1, "base": 0.0, "same": 0.001, "high": 0.1})
    verdicts = {c.a: c.verdict for c in to_baseline(cells, "base", higher_is_better=True)}
    assert verdicts == {"low": "worse", "same": "undecided", "high": "better"}
    turned = {c.a: c.verdict for c in to_baseline(cells, "base", higher_is_better=False)}
    assert turned == {"low": "better", "same": "undecided", "high": "worse"}


def test_adjusted_p_values_lie_between_the_single_ones_and_holms_whatever_the_order_of_cells():
    shifts = {f"cell{number}": number / 200 for number in range(6)}
    cells = _cells(shifts, by_seed=0.01)
    found = to_baseline(cells, "cell0", higher_is_better=True)
    single = [comparison.difference.p for comparison in found]
    adjusted = [comparison.p_adjusted for comparison in found]
    assert all(one <= both <= most for one, both, most in zip(single, adjusted, holm(single), strict=True))
    turned = to_baseline(dict(reversed(cells.items())), "cell0", higher_is_better=True)
    assert set(turned) == set(found)


@pytest.mark.parametrize("rows", [4, 6, 12])
def test_of_few_examples_an_interval_holds_0_just_where_nothing_is_claimed(rows: int):
    verdicts = set()
    for seed in range(40):
        cells = _cells({f"cell{number}": 0.06 * number for number in range(6)}, seed=seed, by_seed=0.02, rows=rows)
        families = to_baseline(cells, "cell0", higher_is_better=True), with_best(cells, "cell5", higher_is_better=True)
        for one in itertools.chain(*families):
            verdicts.add(one.verdict)
            assert (one.difference.low <= 0 <= one.difference.high) == (one.verdict == "undecided"), one
    assert verdicts == {"undecided", "better", "worse"} or rows < 12


def test_a_claim_and_its_interval_say_the_same():
    cells = _cells({f"cell{number}": number / 100 for number in range(6)}, by_seed=0.01)
    for comparison in all_pairs(cells, higher_is_better=True):
        claimed = comparison.difference.low > 0 or comparison.difference.high < 0
        assert claimed == (comparison.verdict != "undecided")
        alone = estimate({comparison.a: 1.0, comparison.b: -1.0}, cells)
        assert comparison.difference.low < alone.low < alone.high < comparison.difference.high


def test_no_p_value_is_told_beyond_what_the_method_knows():
    (found,) = to_baseline(_cells({"base": 0.0, "high": 5.0}), "base", higher_is_better=True)
    assert (found.difference.p, found.p_adjusted, found.verdict) == (1e-4, 1e-4, "better")


def test_cells_close_to_the_best_cannot_be_told_from_it():
    cells = _cells({"far": -0.2, "best": 0.1, "near": 0.098})
    told = with_best(cells, "best", higher_is_better=True)
    assert [(one.a, one.b, one.verdict) for one in told] == [("far", "best", "worse"), ("near", "best", "undecided")]
    assert not_distinguishable("best", told) == ("best", "near")
    assert not_distinguishable("far", with_best(cells, "far", higher_is_better=True)) == ("far",)


def test_comparisons_with_the_best_are_more_powerful_than_all_pairs_where_seeds_agree():
    shifts = {f"cell{number}": -0.0014 * number for number in range(12)}
    cells = _cells(shifts, seed=3, seeded=False)
    best = {one.a: one.p_adjusted for one in with_best(cells, "cell0", higher_is_better=True)}
    pairs = {one.b: one.p_adjusted for one in all_pairs(cells, higher_is_better=True) if one.a == "cell0"}
    assert all(best[name] <= pairs[name] for name in best)
    assert any(best[name] < 0.05 < pairs[name] for name in best)


def test_seeds_count_for_more_with_the_best_that_they_chose():
    cells = _cells({"a": 0.0, "b": 0.0, "c": 0.02}, by_seed=0.02)
    (plain, *_), (chosen, *_) = (
        to_baseline(cells, "c", higher_is_better=True),
        with_best(cells, "c", higher_is_better=True),
    )
    assert chosen.difference.error == plain.difference.error
    assert chosen.difference.p > plain.difference.p


def _grid(**axes: str) -> dict[str, dict[str, str]]:
    """Return the levels, of one letter each, of all cells of a grid."""
    combinations = itertools.product(*axes.values())
    return {"/".join(levels): dict(zip(axes, levels, strict=True)) for levels in combinations}


def test_main_effects_average_over_the_other_factor():
    grid = _grid(prompt="ab", tuning="xyz")
    gains = {"a": 0.0, "b": 0.1, "x": 0.0, "y": 0.0, "z": -0.05}
    cells = _cells({name: sum(gains[level] for level in levels.values()) for name, levels in grid.items()})
    found = effects(cells, grid, reference="a/x", higher_is_better=True)
    values = {name: cell.value for name, cell in cells.items()}
    by_hand = np.mean([values[f"b/{t}"] - values[f"a/{t}"] for t in "xyz"])
    prompt, tuning = found.main["prompt"], found.main["tuning"]
    assert [(c.a, c.b, c.verdict) for c in prompt] == [("b", "a", "better")]
    assert prompt[0].difference.value == pytest.approx(by_hand)
    assert [(c.a, c.b, c.verdict) for c in tuning] == [("y", "x", "undecided"), ("z", "x", "worse")]
    by_hand = np.mean([values[f"{p}/z"] - values[f"{p}/x"] for p in "ab"])
    assert tuning[1].difference.value == pytest.approx(by_hand)
    assert {c.verdict for c in found.interactions["prompt", "tuning"]} == {"undecided"}


def test_an_interaction_is_what_the_sum_of_both_does_not_explain():
    grid = _grid(prompt="ab", tuning="xy")
    cells = _cells({"a/x": 0.0, "a/y": 0.1, "b/x": 0.1, "b/y": 0.4})
    ((found,),) = effects(cells, grid, reference="a/x", higher_is_better=True).interactions.values()
    values = {name: cell.value for name, cell in cells.items()}
    assert (found.a, found.b, found.verdict) == ("b/y", "a/x", "better")
    assert found.difference.value == pytest.approx(values["b/y"] - values["a/y"] - values["b/x"] + values["a/x"])


def test_a_third_axis_has_effects_and_is_averaged_over():
    grid = _grid(prompt="ab", tuning="xy", size="st")
    gains = {"b": 0.1, "y": -0.05, "t": 0.2}
    shifts = {name: sum(gains.get(level, 0.0) for level in levels.values()) for name, levels in grid.items()}
    cells = _cells(shifts | {"a/y/t": shifts["a/y/t"] + 0.1, "b/y/t": shifts["b/y/t"] + 0.1})
    found = effects(cells, grid, reference="a/x/s", higher_is_better=True)
    values = {name: cell.value for name, cell in cells.items()}
    (size,) = found.main["size"]
    assert (size.a, size.b, size.verdict) == ("t", "s", "better")
    by_hand = np.mean([values[f"{p}/{t}/t"] - values[f"{p}/{t}/s"] for p in "ab" for t in "xy"])
    assert size.difference.value == pytest.approx(by_hand)
    assert list(found.main) == ["prompt", "tuning", "size"]
    assert list(found.interactions) == [("prompt", "tuning"), ("prompt", "size"), ("tuning", "size")]
    verdicts = {pair: [(c.a, c.b, c.verdict) for c in rows] for pair, rows in found.interactions.items()}
    assert verdicts["prompt", "tuning"] == [("b/y", "a/x", "undecided")]
    assert verdicts["tuning", "size"] == [("y/t", "x/s", "better")]
    together = np.mean(
        [values[f"{p}/y/t"] - values[f"{p}/x/t"] - values[f"{p}/y/s"] + values[f"{p}/x/s"] for p in "ab"]
    )
    assert found.interactions["tuning", "size"][0].difference.value == pytest.approx(together)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 3), min_size=2, max_size=4), st.data())
def test_an_axis_of_one_level_changes_no_effect(sizes, data):
    grid = _grid(**{f"axis{number}": "abc"[:size] for number, size in enumerate(sizes)})
    generator = np.random.default_rng(len(grid))
    cells = _cells({name: generator.normal(0, 0.1) for name in grid})
    place = data.draw(st.integers(0, len(sizes)))
    wider = {}
    for name, levels in grid.items():
        items = list(levels.items())
        items.insert(place, ("single", "only"))
        wider[name] = dict(items)
    (reference, *_), options = grid, {"higher_is_better": True}
    plain, wide = (effects(cells, one, reference=reference, **options) for one in (grid, wider))
    assert wide.main == {**plain.main, "single": ()}
    assert {pair: rows for pair, rows in wide.interactions.items() if "single" not in pair} == plain.interactions
    assert not any(rows for pair, rows in wide.interactions.items() if "single" in pair)


def test_a_grid_with_holes_uses_the_levels_that_all_have():
    grid = _grid(prompt="ab", tuning="xyz")
    del grid["b/z"]
    cells = _cells(dict.fromkeys(grid, 0.0))
    found = effects(cells, grid, reference="a/x", higher_is_better=True)
    assert [c.a for c in found.main["tuning"]] == ["y"]
    outside = effects(cells, grid, reference="a/z", higher_is_better=True)
    assert [c.a for c in outside.main["prompt"]] == ["b"]
    assert outside.main["tuning"] == ()
    alone = effects(cells, {"a/x": grid["a/x"]}, reference="a/x", higher_is_better=True)
    assert alone == ({"prompt": (), "tuning": ()}, {("prompt", "tuning"): ()}, {})
    cross = {name: levels for name, levels in grid.items() if name in ("a/x", "b/y")}
    assert not any(effects(cells, cross, reference="a/x", higher_is_better=True).main.values())


def test_holes_behind_the_second_axis_cost_levels_there():
    grid = _grid(prompt="ab", tuning="xy", size="stu")
    del grid["b/y/u"]
    found = effects(_cells(dict.fromkeys(grid, 0.0)), grid, reference="a/x/s", higher_is_better=True)
    assert {axis: [c.a for c in rows] for axis, rows in found.main.items()} == {
        "prompt": ["b"],
        "tuning": ["y"],
        "size": ["t"],
    }
