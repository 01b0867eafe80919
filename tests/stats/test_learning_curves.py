"""Learning curves: planted power laws found again, what a choice is worth, forecasts that hold what they say."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import brentq

from benchmarks.bench_forecasts import outcomes, records
from harness.metrics.base import mean
from harness.stats import resample, runs
from harness.stats.learning_curves import LearningCurves, Worth, learning_curves

SIZES = (25, 50, 100, 200, 400)
Law = Callable[[float], float]


def law(limit: float, drop: float, exponent: float) -> Law:
    return lambda size: limit - drop * size**-exponent


def curves_of(
    laws: Mapping[str, Law],
    *,
    sizes: tuple[int, ...] = SIZES,
    by_seed: float = 0.002,
    by_example: float = 0.1,
    ends: tuple[float, float] = (0.0, 1.0),
    rows: int = 200,
    seed: int = 0,
) -> LearningCurves:
    """Return the curves of studies of one prompt each, whose scores follow laws but for examples and seeds."""
    generator = np.random.default_rng(seed)
    examples = generator.normal(0, by_example, rows)
    examples -= examples.mean()
    made, factors = {}, {}
    for prompt, true in laws.items():
        for size in sizes:
            apart = generator.normal(0, by_seed, (3, 1))
            scores = true(size) + examples + apart - apart.mean()
            made[f"{prompt}/{size}"] = runs([[np.array([one]) for one in run] for run in scores], mean)
            factors[f"{prompt}/{size}"] = {"prompt": prompt, "train_size": str(size)}
    cells = resample(made, generator=generator, resamples=1000)
    reference = f"{next(iter(laws))}/{sizes[0]}"
    found = learning_curves(cells, factors, along="train_size", reference=reference, ends=ends, seed=1)
    assert found is not None
    return found


@settings(max_examples=15, deadline=None)
@given(exponent=st.floats(0.2, 1.0), limit=st.floats(0.6, 0.95), gained=st.floats(0.2, 0.5))
def test_a_planted_power_law_is_gone_on_with(exponent: float, limit: float, gained: float) -> None:
    true = law(limit, gained * 25**exponent, exponent)
    (curve,) = curves_of({"bare": true}).curves
    assert curve.forecast is not None
    assert curve.gain is not None
    assert curve.forecast.low <= true(800) <= curve.forecast.high
    assert curve.forecast.value == pytest.approx(true(800), abs=0.3 * (true(400) - true(200)))
    assert curve.gain.low <= true(800) - true(400) <= curve.gain.high
    told = dict(curve.fitted)
    assert {size: told[size].value for size in SIZES} == pytest.approx({n: true(n) for n in SIZES}, abs=0.02)
    assert [size for size, _ in curve.fitted] == sorted(told)
    assert max(told) == 800


def test_losses_fall_towards_their_limit_as_scores_rise() -> None:
    (curve,) = curves_of({"bare": lambda size: 1.2 + 4 * size**-0.5}, ends=(0.0, math.inf)).curves
    assert curve.forecast is not None
    assert curve.gain is not None
    assert curve.exponent is not None
    assert curve.limit is not None
    assert curve.forecast.low <= 1.2 + 4 * 800**-0.5 <= curve.forecast.high
    assert curve.gain.value < 0
    assert curve.exponent.low < 0.5 < curve.exponent.high
    assert 0 <= curve.limit.low < 1.2 < curve.limit.high


def test_forecasts_end_where_the_metric_does() -> None:
    (curve,) = curves_of({"bare": lambda size: 0.2 * math.log2(size / 12)}).curves
    assert curve.forecast is not None
    assert curve.limit is not None
    assert curve.forecast.high <= 1
    assert curve.limit.high <= 1


def test_two_sizes_are_no_curve() -> None:
    (curve,) = curves_of({"bare": law(0.9, 2, 0.5)}, sizes=(50, 200)).curves
    assert curve.reason == "a curve needs 3 numbers of examples, and there are 2 with scores"
    assert (curve.forecast, curve.fitted, curve.exponent) == (None, (), None)


def test_cells_without_sizes_or_training_have_no_curves() -> None:
    made = {f"none/{size}": runs([[np.array([0.5])] * 5], mean, seeded=False) for size in SIZES}
    cells = resample(made, generator=np.random.default_rng(0), resamples=50)
    factors = {name: {"tuning": "none", "train_size": name.split("/")[1]} for name in cells}
    ends = (0.0, 1.0)
    assert learning_curves(cells, factors, along="train_size", reference="none/25", ends=ends, seed=0) is None
    assert learning_curves(cells, factors, along="", reference="none/25", ends=ends, seed=0) is None


def saved(fast: Law, slow: Law, sizes: tuple[int, ...] = SIZES) -> float:
    """Return Le Scao and Rush's average data advantage, by roots and an integral."""
    low, high = max(fast(sizes[0]), slow(sizes[0])), min(fast(sizes[-1]), slow(sizes[-1]))

    def distance(score: float) -> float:
        return root(slow, score) - root(fast, score)

    def root(one: Law, score: float) -> float:
        return float(brentq(lambda size: one(size) - score, sizes[0], sizes[-1]))

    area, _ = quad(distance, low + 1e-9, high - 1e-9)
    return float(area / (high - low))


@pytest.mark.parametrize("times", [1.5, 3.0])
def test_what_a_prompt_is_worth_is_the_distance_of_its_curve(times: float) -> None:
    slow = law(0.9, 3, 0.5)
    (worth,) = curves_of({"bare": slow, "cue": lambda size: slow(times * size)}).worths
    assert isinstance(worth, Worth)
    assert worth.examples is not None
    assert worth.factor is not None
    true = saved(lambda size: slow(times * size), slow)
    assert (worth.axis, worth.curve, worth.reference) == ("prompt", "cue", "bare")
    assert worth.examples.low <= true <= worth.examples.high
    assert worth.examples.value == pytest.approx(true, rel=0.15)
    assert worth.factor.low <= times <= worth.factor.high
    assert worth.scores == pytest.approx((slow(times * 25), slow(400)), abs=0.02)


def test_a_prompt_that_needs_more_is_worth_less_than_nothing() -> None:
    fast = law(0.9, 3, 0.5)
    (worth,) = curves_of({"bare": fast, "cue": lambda size: fast(size / 2)}).worths
    assert worth.examples is not None
    assert worth.factor is not None
    assert worth.examples.high < 0
    assert worth.factor.high < 1


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (lambda size: 0.35 - 0.5 * size**-0.5, "the curves do not surely overlap"),
        (lambda size: 0.7, "a curve does not rise or fall for sure"),
    ],
)
def test_curves_that_share_no_score_are_not_compared(other: Law, why: str) -> None:
    (worth,) = curves_of({"bare": law(0.9, 2.5, 0.5), "cue": other}, by_seed=0.004).worths
    assert worth.reason.startswith(why)
    assert (worth.examples, worth.factor) == (None, None)


def test_examples_that_move_all_curves_alike_do_not_blur_their_distance() -> None:
    slow = law(0.8, 3, 0.5)
    laws = {"bare": slow, "cue": lambda size: slow(2 * size)}
    (steady,), (shaken,) = (curves_of(laws, by_example=spread).worths for spread in (0.001, 0.2))
    assert steady.examples is not None
    assert shaken.examples is not None
    widths = [one.examples.high - one.examples.low for one in (steady, shaken) if one.examples]
    assert widths[1] < 1.5 * widths[0]


@pytest.mark.slow
def test_forecasts_of_twice_the_data_hold_the_truth_four_times_in_five() -> None:
    inside = [one.inside for one in outcomes(records(), 3, sizes=(3, 4, 5))]
    assert len(inside) > 300
    assert 0.7 <= np.mean(inside) <= 0.9
