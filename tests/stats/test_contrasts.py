"""Seeds and examples together: against t-tests where one of the two is still, against a two-way layout where not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness import metrics
from harness.metrics.base import mean
from harness.stats import Runs, Trained, estimate, examples_needed, power, resample, runs

EXAMPLES = 120
RESAMPLES = 4000
CHANCE = 0.05
"""Relative; twice the error that a variance has from this many resamples, and more."""


def _runs(scores, *, seeded: bool = True) -> Runs:
    """Return runs of a metric that is an average, from scores of shape (runs, examples)."""
    return runs([[np.array([score]) for score in run] for run in np.asarray(scores)], mean, seeded=seeded)


def _resample(resamples: int = RESAMPLES, **cells: Runs) -> dict[str, Trained]:
    return resample(cells, generator=np.random.default_rng(8), resamples=resamples)


def _layout(seed: int, *, number: int = 3, by_seed: float = 0.0, by_both: float = 0.1) -> np.ndarray:
    """Return scores of shape (runs, examples) with effects of examples, of seeds and of both together."""
    rng = np.random.default_rng(seed)
    examples, seeds = rng.normal(0.5, 0.2, EXAMPLES), rng.normal(0, by_seed, (number, 1))
    return examples + seeds + rng.normal(0, by_both, (number, EXAMPLES))


def test_without_seeds_a_difference_is_a_paired_t_test():
    one, other = _layout(0, number=1), _layout(1, number=1) + 0.03
    cells = _resample(one=_runs(one, seeded=False), other=_runs(other, seeded=False))
    expected = stats.ttest_rel(other[0], one[0])
    found = estimate({"other": 1, "one": -1}, cells)
    assert found.value == pytest.approx((other - one).mean(), rel=1e-9)
    assert found.value / found.error == pytest.approx(expected.statistic, rel=CHANCE)
    assert found.degrees == EXAMPLES - 1
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(), abs=0.1 * found.error)
    assert found.covers_seeds


def test_without_examples_that_differ_a_difference_is_welchs_t_test_of_the_seeds():
    one, other = np.array([0.50, 0.52, 0.57]), np.array([0.61, 0.60, 0.66, 0.58])
    cells = _resample(100, one=_runs(one[:, None].repeat(90, 1)), other=_runs(other[:, None].repeat(90, 1)))
    expected = stats.ttest_ind(other, one, equal_var=False)
    found = estimate({"other": 1, "one": -1}, cells)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.degrees == pytest.approx(expected.df, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(), rel=1e-9)


@pytest.mark.parametrize("by_seed", [0.01, 0.05])
def test_the_variance_is_that_of_a_two_way_layout(by_seed):
    scores = _layout(3, number=4, by_seed=by_seed)
    number, examples = scores.shape
    cell = scores - scores.mean()
    rest = cell - cell.mean(axis=0) - cell.mean(axis=1, keepdims=True)
    square_both = (rest**2).sum() / ((number - 1) * (examples - 1))
    square_seeds = examples * cell.mean(axis=1).var(ddof=1)
    square_examples = number * cell.mean(axis=0).var(ddof=1)
    expected = (square_examples + max(0.0, square_seeds - square_both)) / (number * examples)
    found = estimate({"cell": 1}, _resample(cell=_runs(scores)))
    assert found.error**2 == pytest.approx(expected, rel=2 * CHANCE)


def test_these_models_and_the_procedure_differ_by_the_seeds():
    scores = _layout(5, by_seed=0.1)
    cells = _resample(cell=_runs(scores))
    procedure, models = estimate({"cell": 1}, cells), estimate({"cell": 1}, cells, of="models")
    assert models.error == pytest.approx(stats.sem(scores.mean(axis=0)), rel=CHANCE)
    assert models.error < procedure.error
    assert procedure.degrees < 10 < models.degrees == EXAMPLES - 1
    assert (procedure.covers_seeds, models.covers_seeds) == (True, False)


def test_one_run_of_a_cell_with_seeds_says_nothing_about_other_seeds():
    cells = _resample(one=_runs(_layout(1, number=1)), none=_runs(_layout(2, number=1), seeded=False))
    assert not estimate({"one": 1, "none": -1}, cells).covers_seeds
    assert estimate({"none": 1}, cells).covers_seeds


def test_examples_that_move_runs_apart_are_not_taken_for_seeds():
    for seed in range(30):
        scores = _layout(seed, by_both=0.5)
        apart = scores - scores.mean(axis=0)
        by_both = (apart - apart.mean(axis=1, keepdims=True)).var(axis=1).sum() / 2 / (EXAMPLES - 1)
        expected = max(0.0, scores.mean(axis=1).var(ddof=1) - by_both) / 3
        found = _resample(1000, cell=_runs(scores))["cell"].seed_variance
        assert found == pytest.approx(expected, abs=0.15 * by_both / 3)


@settings(deadline=None, max_examples=40)
@given(data=st.data(), number=st.integers(1, 4), examples=st.integers(2, 12))
def test_any_difference_is_antisymmetric_and_inside_its_interval(data, number, examples):
    score = st.floats(0, 1).map(lambda value: round(value, 6))
    scores = st.lists(st.lists(score, min_size=examples, max_size=examples), min_size=number, max_size=number)
    cells = _resample(200, a=_runs(data.draw(scores)), b=_runs(data.draw(scores)))
    there, back = estimate({"a": 1, "b": -1}, cells), estimate({"a": -1, "b": 1}, cells)
    assert there.low <= there.value <= there.high
    assert (back.value, back.error) == (-there.value, there.error)
    assert back.p == pytest.approx(there.p, rel=1e-6)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-9)
    assert 2.0 ** (1 - examples) <= there.p <= 1


def test_neither_the_order_of_cells_nor_of_runs_matters():
    one, other = _layout(1, by_seed=0.05), _layout(2, by_seed=0.05)
    there = estimate({"a": 1, "b": -1}, _resample(300, a=_runs(one), b=_runs(other)))
    back = estimate({"b": -1, "a": 1}, _resample(300, b=_runs(other[::-1]), a=_runs(one[::-1])))
    assert back == pytest.approx(there, rel=1e-9)


def test_equal_cells_do_not_differ_and_a_lost_score_says_nothing():
    same = _runs(_layout(1, number=1), seeded=False)
    lost = runs([[np.array([math.inf, 3.0])] * EXAMPLES], metrics.get("perplexity").reduce)
    cells = _resample(200, a=same, b=same, lost=lost, **{"lost too": lost})
    assert estimate({"a": 1, "b": -1}, cells)[:4] == (0, 0, 0, 0)
    assert estimate({"a": 1, "b": -1}, cells).p == 1
    assert math.isnan(estimate({"a": 1, "lost": -1}, cells).p)
    assert math.isnan(estimate({"lost": 1, "lost too": -1}, cells).value)


def test_few_examples_cannot_be_certain():
    cells = _resample(50, a=_runs([[1.0] * 4]), b=_runs([[0.0] * 4]))
    assert estimate({"a": 1, "b": -1}, cells).p == 1 / 8


def test_distinct_n_keeps_its_estimate_inside():
    said = [np.array([float(word), float(word % 7)]) for word in range(30)]
    cells = _resample(300, a=runs([said], metrics.get("distinct1").reduce))
    found = estimate({"a": 1}, cells)
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("statistics", "message"),
    [([], "no runs"), ([[np.ones(1)], [np.ones(1)] * 2], r"\[1, 2\]"), ([[]], "no examples")],
)
def test_runs_that_do_not_match_are_refused(statistics, message):
    with pytest.raises(ValueError, match=message):
        runs(statistics, mean)


def test_cells_of_other_or_too_few_examples_are_refused():
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        _resample(9, a=_runs(np.ones((1, 2))), b=_runs(np.ones((1, 3))))
    with pytest.raises(ValueError, match="two or more"):
        _resample(9, a=_runs(np.ones((1, 1))))


def _unseeded(seed: int) -> Runs:
    return _runs(_layout(seed, number=1), seeded=False)


def test_power_is_that_of_a_t_test():
    one, other = _unseeded(1), _unseeded(2)
    scores = _layout(1, number=1) - _layout(2, number=1)
    for examples, shift in ((50, 0.04), (200, 0.05)):
        noncentral = shift / scores.std() * math.sqrt(examples)
        bound = stats.t.ppf(0.975, examples - 1)
        expected = stats.nct.sf(bound, examples - 1, noncentral) + stats.nct.cdf(-bound, examples - 1, noncentral)
        found = power(one, other, shift, examples=examples, generator=np.random.default_rng(0), resamples=4000)
        assert found == pytest.approx(expected, abs=0.04)


def test_examples_needed_reach_the_power_and_no_more():
    one, other, shift = _unseeded(1), _unseeded(2), 0.03
    needed = examples_needed(one, other, shift, generator=np.random.default_rng(0))
    deviation = (_layout(1, number=1) - _layout(2, number=1)).std(ddof=1)
    assert needed == pytest.approx(((1.96 + 0.8416) * deviation / shift) ** 2, rel=0.12)
    assert examples_needed(one, other, 10.0, generator=np.random.default_rng(0)) == 10
    assert examples_needed(one, other, 1e-5, generator=np.random.default_rng(0)) is None


def test_no_number_of_examples_makes_up_for_seeds_that_differ():
    one, other = _runs(_layout(1, by_seed=0.3)), _runs(_layout(2, by_seed=0.3))
    assert examples_needed(one, other, 0.05, generator=np.random.default_rng(0)) is None
