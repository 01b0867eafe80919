"""Expected best of so many trials against every subset, closed forms and what any such curve must obey."""

from __future__ import annotations

import math
from itertools import combinations
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats import expected_best

VALUES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9)


@settings(deadline=None, max_examples=80)
@given(values=VALUES, maximize=st.booleans())
def test_equals_the_mean_over_all_subsets(values, maximize):
    best = max if maximize else min
    expected = [fmean(best(chosen) for chosen in combinations(values, size)) for size in range(1, len(values) + 1)]
    assert expected_best(values, maximize=maximize) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize("number", [1, 2, 7, 60])
def test_ranks_have_a_closed_form(number):
    """The largest of k numbers drawn from 1..n without replacement is k (n + 1) / (k + 1) on average."""
    ranks = np.random.default_rng(0).permutation(number) + 1.0
    sizes = range(1, number + 1)
    assert expected_best(ranks, maximize=True) == pytest.approx([k * (number + 1) / (k + 1) for k in sizes])
    lowest = [number + 1 - k * (number + 1) / (k + 1) for k in sizes]
    assert expected_best(ranks, maximize=False) == pytest.approx(lowest)


def test_has_no_bias_where_drawing_with_replacement_has_one():
    """The largest of k uniform draws is k / (k + 1) on average, whatever the number that were seen."""
    draws = np.random.default_rng(1).random((4000, 6))
    found = np.mean([expected_best(row, maximize=True) for row in draws], axis=0)
    sizes = np.arange(1, 7)
    assert found == pytest.approx(sizes / (sizes + 1), abs=0.01)
    quantiles = np.sort(draws, axis=1)
    chances = (sizes / 6) ** 6 - ((sizes - 1) / 6) ** 6  # of each rank to be the largest of six with replacement
    assert np.mean(quantiles @ chances) < 6 / 7 - 0.05


@given(values=VALUES, maximize=st.booleans())
def test_more_trials_never_expect_less_and_all_give_the_best(values, maximize):
    found = np.array(expected_best(values, maximize=maximize)) * (1 if maximize else -1)
    assert (np.diff(found) >= -1e-6).all()
    assert abs(found[-1]) == pytest.approx(abs(max(values) if maximize else min(values)))
    assert expected_best(values, maximize=maximize)[0] == pytest.approx(fmean(values), abs=1e-6)


def test_a_diverged_trial_counts_as_the_worst_of_the_others():
    assert expected_best([math.nan, 3.0, 5.0], maximize=True) == expected_best([3.0, 3.0, 5.0], maximize=True)
    assert expected_best([math.nan, 3.0, 5.0], maximize=False) == expected_best([5.0, 3.0, 5.0], maximize=False)


def test_where_nothing_is_known_nothing_is_expected():
    assert expected_best([], maximize=True) == []
    assert all(math.isnan(value) for value in expected_best([math.nan, math.nan], maximize=True))


def test_hundreds_of_trials_are_no_trouble():
    found = expected_best([float(value) for value in range(1000)], maximize=True)
    assert found[-1] == 999
    assert np.isfinite(found).all()
