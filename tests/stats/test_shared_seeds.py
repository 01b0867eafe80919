"""Cells whose runs have the same weights: seeds are paired, as a paired t-test and a two-way layout have them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from harness.metrics.base import mean
from harness.stats import Runs, Trained, effects, estimate, resample, runs, to_baseline
from harness.stats.multiple_comparisons import covariance

EXAMPLES = 80
DIFFERENCE = {"beams": 1.0, "greedy": -1.0}


def ready(scores, weights: str = "") -> Runs:
    """Return runs of a metric that is an average, from scores of shape (runs, examples)."""
    names = [f"{weights}{seed}" for seed in range(len(scores))] if weights else []
    return runs([[np.array([score]) for score in run] for run in np.asarray(scores)], mean, weights=names)


def still(scores) -> np.ndarray:
    """Return scores of runs whose examples do not differ."""
    return np.asarray(scores, dtype=float)[:, None].repeat(40, axis=1)


def drawn(cells: dict[str, Runs], resamples: int = 1000) -> dict[str, Trained]:
    return resample(cells, generator=np.random.default_rng(3), resamples=resamples)


def layout(rng: np.random.Generator, *, seeds: int = 3, by_seed: float, by_both: float) -> tuple[np.ndarray, ...]:
    """Return two cells' scores, shape (seeds, examples): effects of examples, of seeds that they share, of both."""
    common = rng.normal(0.5, 0.2, EXAMPLES) + rng.normal(0, by_seed, (seeds, 1)) + rng.normal(0, 0.1, (seeds, EXAMPLES))
    return tuple(common + rng.normal(0, by_both, (seeds, 1)) + rng.normal(0, 0.05, (seeds, EXAMPLES)) for _ in range(2))


def test_without_examples_that_differ_it_is_the_paired_t_test_of_the_seeds() -> None:
    greedy, beams = np.array([0.2, 0.5, 0.8]), np.array([0.21, 0.53, 0.82])
    found = estimate(DIFFERENCE, drawn({"greedy": ready(still(greedy), "w"), "beams": ready(still(beams), "w")}))
    expected = stats.ttest_rel(beams, greedy)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert found.degrees == pytest.approx(2)
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(), rel=1e-6)
    apart = estimate(DIFFERENCE, drawn({"greedy": ready(still(greedy), "v"), "beams": ready(still(beams), "w")}))
    assert apart.p > 0.5 > found.p
    assert apart.high - apart.low > 10 * (found.high - found.low)


def test_runs_with_other_weights_are_as_ever_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    tables = {name: layout(rng, by_seed=0.1, by_both=0.02)[0] for name in ("greedy", "beams", "drawn")}
    unnamed = drawn({name: ready(table) for name, table in tables.items()})
    named = drawn({name: ready(table, name) for name, table in tables.items()})
    for weights in ({"beams": 1.0}, DIFFERENCE, {"beams": 0.5, "greedy": 0.5, "drawn": -1.0}):
        assert estimate(weights, named) == estimate(weights, unnamed)
    assert to_baseline(named, "greedy", higher_is_better=True) == to_baseline(unnamed, "greedy", higher_is_better=True)


def test_pairing_changes_nothing_much_where_seeds_do_not_vary() -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(0.5, 0.2, EXAMPLES).repeat(3).reshape(EXAMPLES, 3).T
    greedy, beams = common, common + rng.normal(0, 0.05, EXAMPLES)
    paired = estimate(DIFFERENCE, drawn({"greedy": ready(greedy, "w"), "beams": ready(beams, "w")}))
    apart = estimate(DIFFERENCE, drawn({"greedy": ready(greedy), "beams": ready(beams)}))
    assert paired == pytest.approx(apart, rel=1e-6)
    assert apart.error > 0


@pytest.mark.parametrize("cells", [2, 3])
def test_the_interaction_is_the_mean_square_of_a_two_way_layout(cells: int) -> None:
    scores = np.random.default_rng(cells).normal(0.5, 0.1, (cells, 4))
    found = drawn({f"cell{place}": ready(still(row), "w") for place, row in enumerate(scores)}, 50)
    shared = found["cell0"].shared
    assert shared is not None
    rest = scores - scores.mean(axis=0) - scores.mean(axis=1, keepdims=True) + scores.mean()
    interaction, by_examples = shared.interaction
    assert interaction.square == pytest.approx((rest**2).sum() / ((cells - 1) * 3), rel=1e-9)
    assert (interaction.degrees, by_examples) == ((cells - 1) * 3, pytest.approx(0, abs=1e-12))


def test_a_pair_whose_seeds_agree_by_chance_goes_by_the_mean_of_all_pairs() -> None:
    """Closed form: no examples that differ, so variances are those of the runs alone."""
    base = np.array([0.2, 0.5, 0.8])
    moves = {"calm": np.zeros(3), "wild": np.array([-0.03, 0.0, 0.03])}
    cells = drawn(
        {f"{name}/{way}": ready(still(base + by * move), name) for name, move in moves.items() for way, by in
         (("greedy", 0), ("beams", 1))},
        50,
    )  # fmt: skip
    calm, wild = (estimate({f"{name}/beams": 1.0, f"{name}/greedy": -1.0}, cells) for name in moves)
    halves = [move.var(ddof=1) / 2 for move in moves.values()]
    average = sum(halves) / 2
    assert calm.error == pytest.approx(math.sqrt(2 * average / 3), rel=1e-6)
    assert calm.degrees == pytest.approx(2 * sum(halves) ** 2 / sum(half**2 for half in halves), rel=1e-6)
    assert wild.error == pytest.approx(math.sqrt(2 * halves[1] / 3), rel=1e-6)


def test_an_average_over_cells_that_share_seeds_is_no_surer_than_one_of_them() -> None:
    """Four cells taken as independent would halve the variance of what differs between two sets of weights."""
    scores = {"bare": np.array([0.2, 0.5, 0.8]), "cue": np.array([0.9, 0.3, 0.6])}
    names = [(prompt, way) for prompt in scores for way in ("greedy", "beams")]
    cells = drawn({f"{prompt}/{way}": ready(still(scores[prompt]), prompt) for prompt, way in names}, 50)
    factors = {f"{prompt}/{way}": {"prompt": prompt, "generation": way} for prompt, way in names}
    told = effects(cells, factors, reference="bare/greedy", higher_is_better=True)
    (main,) = told.main["prompt"]
    expected = stats.ttest_ind(scores["cue"], scores["bare"])
    assert main.difference.p == pytest.approx(expected.pvalue, rel=1e-6)
    assert main.difference.degrees == pytest.approx(4)
    (way,) = told.main["generation"]
    assert (way.difference.value, way.difference.error, way.p) == (0, 0, 1)


def test_the_covariance_of_a_family_says_of_a_difference_what_its_test_says() -> None:
    rng = np.random.default_rng(5)
    greedy, beams = layout(rng, by_seed=0.2, by_both=0.05)
    other, _ = layout(rng, by_seed=0.2, by_both=0.05)
    cells = drawn({"greedy": ready(greedy, "w"), "beams": ready(beams, "w"), "other": ready(other)})
    found = covariance(list(cells.values()), "procedure")
    assert np.array([-1.0, 1.0, 0.0]) @ found @ [-1.0, 1.0, 0.0] == pytest.approx(
        estimate(DIFFERENCE, cells).error ** 2
    )
    assert np.linalg.eigvalsh(found).min() > 0
    unpaired = {name: replace(cell, shared=None) for name, cell in cells.items()}
    assert estimate(DIFFERENCE, unpaired).error > 1.5 * estimate(DIFFERENCE, cells).error


def test_runs_of_other_seeds_or_of_one_are_not_paired() -> None:
    scores = still([0.2, 0.5, 0.8])
    ends = drawn({"greedy": ready(scores, "w"), "beams": ready(scores[:2], "w"), "one": ready(scores[:1], "w")}, 50)
    assert not any(cell.shared for cell in ends.values())


@pytest.mark.slow
@pytest.mark.parametrize(("by_seed", "by_both"), [(0.2, 0.02), (0.2, 0.0), (0.0, 0.0)])
@pytest.mark.parametrize("sets", [1, 3])
def test_intervals_hold_the_truth_as_often_as_they_promise(sets: int, by_seed: float, by_both: float) -> None:
    held, width, apart = [], [], []
    for seed in range(400):
        rng = np.random.default_rng([seed, sets])
        tables = [layout(rng, by_seed=by_seed, by_both=by_both) for _ in range(sets)]
        named = {f"{way}{place}": ready(table, f"w{place}-") for place, pair in enumerate(tables)
                 for way, table in zip(("greedy", "beams"), pair, strict=True)}  # fmt: skip
        found = resample(named, generator=rng, resamples=400)
        paired = estimate({"beams0": 1.0, "greedy0": -1.0}, found)
        unpaired = {name: replace(cell, shared=None) for name, cell in found.items()}
        held.append(paired.low <= 0 <= paired.high)
        width.append(paired.high - paired.low)
        wide = estimate({"beams0": 1.0, "greedy0": -1.0}, unpaired)
        apart.append(wide.high - wide.low)
    assert 0.92 <= np.mean(held) <= 0.995
    if by_seed:
        assert np.median(width) < 0.5 * np.median(apart)
