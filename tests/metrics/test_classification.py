"""Scores of labels: scikit-learn's, the closed form of the calibration error, and what resampling makes of them."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from harness.core.example import Example, Prediction
from harness.metrics import get
from harness.metrics.base import Metric
from harness.metrics.classification import BINS, reliability
from harness.stats.resampling import draw, rescorer

LABELS = ["good", "bad", "so so"]

Case = tuple[Prediction, Example]


def case(said: str, right: str, stated: float | None = None) -> Case:
    probabilities = None if stated is None else {said: stated, "another": 1 - stated}
    return Prediction("x", said, 0.0, 1, probabilities=probabilities), Example("x", {"source": ""}, right)


def scored(metric: Metric, cases: list[Case]) -> float:
    return metric.reduce([metric.statistics(*one) for one in cases])


def calibration(stated: list[float], right: list[bool]) -> float:
    """Return the expected calibration error as its paper defines it, bin after bin."""
    error = 0.0
    for number in range(BINS):
        inside = [place for place, p in enumerate(stated) if number / BINS < p <= (number + 1) / BINS]
        if inside:
            accuracy = np.mean([right[place] for place in inside])
            error += len(inside) / len(stated) * abs(accuracy - np.mean([stated[place] for place in inside]))
    return float(error)


pairs = st.lists(st.tuples(st.sampled_from([*LABELS, "else"]), st.sampled_from(LABELS)), min_size=1, max_size=40)


@given(pairs)
def test_accuracy_and_macro_f1_are_those_of_scikit_learn(texts):
    said, right = zip(*texts, strict=True)
    cases = [case(*one) for one in texts]
    assert scored(get("accuracy"), cases) == pytest.approx(accuracy_score(right, said), abs=1e-12)
    labels = sorted(set(right))
    wanted = f1_score(right, said, labels=labels, average="macro", zero_division=0.0)
    assert scored(get("macro_f1"), cases) == pytest.approx(wanted, abs=1e-12)


@given(st.lists(st.tuples(st.floats(1e-3, 1.0), st.booleans()), min_size=1, max_size=60))
def test_the_calibration_error_is_the_closed_form(made):
    stated, right = zip(*made, strict=True)
    cases = [case("good", "good" if is_right else "bad", p) for p, is_right in made]
    assert scored(get("calibration_error"), cases) == pytest.approx(calibration(list(stated), list(right)), abs=1e-9)


def test_bins_hold_their_upper_ends():
    for number in range(1, BINS + 1):
        (count, _, _) = reliability([get("calibration_error").statistics(*case("good", "good", number / BINS))])
        assert count.tolist() == [place == number - 1 for place in range(BINS)]


def test_a_generated_text_counts_as_certain():
    cases = [case("good", "good"), case("bad", "good"), case("gone", "bad"), case("bad", "bad")]
    assert scored(get("calibration_error"), cases) == pytest.approx(0.5)


def test_a_probability_that_is_no_number_leaves_no_error():
    exploded = Prediction("x", "", math.nan, 1, probabilities={"good": math.nan, "bad": math.nan})
    cases = [case("good", "good", 0.9), (exploded, Example("x", {"source": ""}, "good"))]
    assert math.isnan(scored(get("calibration_error"), cases))
    assert scored(get("accuracy"), cases) == 0.5


def test_white_space_does_not_tell_labels_apart_and_case_does():
    assert scored(get("accuracy"), [case(" so\n so ", "so so"), case("Good", "good")]) == 0.5
    assert scored(get("macro_f1"), [case(" so\n so ", "so so"), case("Good", "good")]) == 0.5


@pytest.mark.parametrize("name", ["accuracy", "macro_f1", "calibration_error"])
def test_resamples_score_as_if_they_had_been_drawn(name):
    rng, metric = random.Random(3), get(name)
    cases = [case(rng.choice(LABELS), rng.choice(LABELS), rng.uniform(0.3, 1.0)) for _ in range(60)]
    statistics = [metric.statistics(*one) for one in cases]
    counts = next(draw(len(cases), 20, np.random.default_rng(0)))
    listed = [[one for one, times in zip(cases, row, strict=True) for _ in range(int(times))] for row in counts]
    assert rescorer(statistics, metric.reduce)(counts).tolist() == pytest.approx(
        [scored(metric, one) for one in listed]
    )
    assert math.isnan(metric.reduce([]))
