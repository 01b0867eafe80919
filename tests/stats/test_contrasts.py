"""Seeds and examples together: against t-tests where one of the two is still, against a two-way layout where not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from harness import metrics
from harness.core.example import Example, Prediction
from harness.metrics.base import mean
from harness.stats import Runs, Trained, estimate, examples_needed, power, resample, runs, selection_luck

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
    one = np.array([0.50, 0.52, 0.57])
    other = one[::-1] + 0.09  # cells of one spread, so that none goes by the mean of both
    cells = _resample(100, one=_runs(one[:, None].repeat(90, 1)), other=_runs(other[:, None].repeat(90, 1)))
    expected = stats.ttest_ind(other, one, equal_var=False)
    found = estimate({"other": 1, "one": -1}, cells)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.degrees == pytest.approx(expected.df, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval(), rel=1e-9)


def test_a_cell_whose_seeds_agree_by_chance_goes_by_the_mean_of_all():
    """Closed form: no examples that differ, so variances are those of the runs alone."""
    spreads = {"calm": 0.0, "other": 0.02, "wild": 0.09}
    cells = _resample(
        50,
        **{name: _runs(0.5 + by * np.array([-1.0, 0.0, 1.0])[:, None].repeat(40, 1)) for name, by in spreads.items()},
    )
    squares = [by**2 for by in spreads.values()]
    mean, degrees = sum(squares) / 3, 2 * sum(squares) ** 2 / sum(square**2 for square in squares)
    calm, wild = (estimate({name: 1.0}, cells) for name in ("calm", "wild"))
    assert (calm.error, calm.degrees) == (pytest.approx(math.sqrt(mean / 3)), pytest.approx(degrees))
    assert (wild.error, wild.degrees) == (pytest.approx(math.sqrt(squares[2] / 3)), 2)
    both = estimate({"calm": 1.0, "other": -1.0}, cells)
    assert (both.error, both.degrees) == (pytest.approx(math.sqrt(2 * mean / 3)), pytest.approx(degrees))
    apart = estimate({"wild": 1.0, "calm": -1.0}, cells)
    shared, excess = 2 * mean / 3, (squares[2] - mean) / 3
    welch = (shared + excess) ** 2 / (shared**2 / degrees + excess**2 / 2)
    assert (apart.error, apart.degrees) == (pytest.approx(math.sqrt(shared + excess)), pytest.approx(welch))


def test_cells_without_seeds_take_no_part_in_the_mean():
    calm = _runs(np.full((3, 40), 0.5))
    cells = _resample(50, calm=calm, none=_runs(_layout(0, number=1)[:, :40], seeded=False))
    assert cells["none"].mean_seeds is None
    assert estimate({"calm": 1.0}, cells).error == 0


def test_luck_widens_one_side_alone():
    cells = _resample(cell=_runs(_layout(5, by_seed=0.1)))
    plain = estimate({"cell": 1.0}, cells)
    lucky = estimate({"cell": 1.0}, cells, luck=selection_luck(12, higher_is_better=True))
    assert (lucky.low < plain.low, lucky.high) == (True, plain.high)
    assert estimate({"cell": 1.0}, cells, luck=selection_luck(1, higher_is_better=True)) == plain
    quantiles = stats.norm.isf(0.025 / 12) / stats.norm.isf(0.025)
    assert selection_luck(12, higher_is_better=False) == (1.0, pytest.approx(quantiles**2))


@pytest.mark.parametrize("right", [0, 3, 60, 119, 120])
def test_a_share_of_right_examples_has_wilsons_interval(right):
    proportion = pytest.importorskip("statsmodels.stats.proportion", reason="statsmodels is not installed")
    scores = np.zeros((1, EXAMPLES))
    scores[0, :right] = 1.0
    found = estimate({"cell": 1.0}, _resample(cell=_runs(scores, seeded=False)))
    low, high = proportion.proportion_confint(right, EXAMPLES, method="wilson")
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.005)
    assert found.high - found.low > 0.01


def test_where_nothing_varies_no_interval_is_told():
    found = estimate({"cell": 1.0}, _resample(50, cell=_runs(np.full((3, 40), 0.25))))
    assert found.value == 0.25
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_examples_of_one_group_are_resampled_together():
    """Ten copies of each example, by group, are worth no more than the example."""
    scores = _layout(3, number=3, by_seed=0.05)
    plain = estimate({"cell": 1.0}, _resample(cell=_runs(scores)))
    copied = [[np.array([score]) for score in np.repeat(run, 10)] for run in scores]
    grouped = runs(copied, mean, groups=[place // 10 for place in range(10 * EXAMPLES)])
    found = estimate({"cell": 1.0}, _resample(cell=grouped))
    assert (found.value, found.low, found.high) == pytest.approx((plain.value, plain.low, plain.high), rel=1e-9)
    alone = estimate({"cell": 1.0}, _resample(cell=runs(copied, mean)), of="models")
    assert alone.error < 0.5 * estimate({"cell": 1.0}, _resample(cell=grouped), of="models").error


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
        found = _resample(1000, cell=_runs(scores))["cell"].own_seeds
        assert found.variance / 3 == pytest.approx(expected, abs=0.15 * by_both / 3)


@settings(deadline=None, max_examples=40)
@given(data=st.data(), number=st.integers(1, 4), examples=st.integers(2, 12))
def test_any_difference_is_antisymmetric_and_inside_its_interval(data, number, examples):
    score = st.floats(0, 1).map(lambda value: round(value, 6))
    scores = st.lists(st.lists(score, min_size=examples, max_size=examples), min_size=number, max_size=number)
    cells = _resample(200, a=_runs(data.draw(scores)), b=_runs(data.draw(scores)))
    there, back = estimate({"a": 1, "b": -1}, cells), estimate({"a": -1, "b": 1}, cells)
    assume(there.value)  # on a tie the two ends are drawn anew
    if there.error:
        assert there.low <= there.value <= there.high
        assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-9)
    else:
        assert math.isnan(there.low)
    assert (back.value, back.error) == (-there.value, there.error)
    assert back.p == pytest.approx(there.p, rel=1e-6)
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
    assert (estimate({"a": 1, "b": -1}, cells).value, estimate({"a": 1, "b": -1}, cells).error) == (0, 0)
    assert estimate({"a": 1, "b": -1}, cells).p == 1
    assert math.isnan(estimate({"a": 1, "lost": -1}, cells).p)
    assert math.isnan(estimate({"lost": 1, "lost too": -1}, cells).value)


def test_few_examples_cannot_be_certain():
    cells = _resample(50, a=_runs([[1.0] * 4]), b=_runs([[0.0] * 4]))
    assert estimate({"a": 1, "b": -1}, cells).p == 1 / 8


def _vocabulary(statistics) -> float:
    return float(len({float(word) for one in statistics for word in one}))


@pytest.mark.parametrize("reduce", [metrics.get("distinct1").reduce, _vocabulary])
def test_a_score_that_falls_with_the_number_of_examples_is_not_tested(reduce):
    said = [np.array([float(word), float(word % 7)]) for word in range(30)]
    cells = _resample(300, a=runs([said], reduce), b=runs([said[::-1]], reduce))
    assert cells["a"].biased
    found = estimate({"a": 1, "b": -1}, cells)
    assert math.isnan(found.p)
    assert math.isnan(found.low)


@pytest.mark.parametrize("name", ["bleu", "chrf", "perplexity", "rougeL"])
@pytest.mark.parametrize("examples", [10, 100])
def test_metrics_that_resample_are_tested(name, examples):
    rng, metric = np.random.default_rng(4), metrics.get(name)
    words = [" ".join(rng.choice(list("abcdefgh"), 12)) for _ in range(examples)]
    said = [words[place][: len(words[place]) - int(rng.integers(12))] for place in range(examples)]
    statistics = [
        metric.statistics(Prediction("", text, float(rng.exponential(30)), 12), Example("", {}, target))
        for text, target in zip(said, words, strict=True)
    ]
    assert not _resample(500, a=runs([statistics], metric.reduce))["a"].biased


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
    with pytest.raises(ValueError, match="two examples"):
        _resample(9, a=_runs(np.ones((1, 1))))


def _pair(one, other, *, seeded: bool) -> dict:
    made = {"one": _runs(one, seeded=seeded), "other": _runs(other, seeded=seeded)}
    return {"pair": tuple(made.values()), "trained": tuple(_resample(**made).values())}


def test_power_is_that_of_a_t_test():
    one, other = _layout(1, number=1), _layout(2, number=1)
    scores = one - other
    for examples, shift in ((50, 0.04), (200, 0.05)):
        noncentral = shift / scores.std() * math.sqrt(examples)
        bound = stats.t.ppf(0.975, examples - 1)
        expected = stats.nct.sf(bound, examples - 1, noncentral) + stats.nct.cdf(-bound, examples - 1, noncentral)
        chance = np.random.default_rng(0)
        pair = _pair(one, other, seeded=False)
        found = power(**pair, difference=shift, examples=examples, generator=chance, resamples=4000)
        assert found == pytest.approx(expected, abs=0.04)


def test_examples_needed_reach_the_power_and_no_more():
    one, other, shift = _layout(1, number=1), _layout(2, number=1), 0.03
    pair = _pair(one, other, seeded=False)
    needed = examples_needed(**pair, difference=shift, generator=np.random.default_rng(0))
    deviation = (one - other).std(ddof=1)
    assert needed == pytest.approx(((1.96 + 0.8416) * deviation / shift) ** 2, rel=0.12)
    assert examples_needed(**pair, difference=10.0, generator=np.random.default_rng(0)) == 10
    assert examples_needed(**pair, difference=1e-5, generator=np.random.default_rng(0)) is None


def test_no_number_of_examples_makes_up_for_seeds_that_differ():
    pair = _pair(_layout(1, by_seed=0.3), _layout(2, by_seed=0.3), seeded=True)
    assert examples_needed(**pair, difference=0.05, generator=np.random.default_rng(0)) is None
