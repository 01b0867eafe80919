"""Importances: against an exact test, on noise, with a planted effect, and what must not change them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import permutation_test

from harness.stats.importance import importances

Floats = NDArray[np.float64]


def drawn(generator: np.random.Generator, trials: int = 24) -> tuple[dict[str, Floats], Floats]:
    """Return the terms of two ranges and two choices, and which of two levels the last one has."""
    rate, warmup, level = generator.random(trials), generator.random(trials), generator.integers(0, 2, trials)
    epochs = generator.integers(0, 3, trials)
    terms = {
        "rate": np.column_stack([rate, rate**2]),
        "warmup": np.column_stack([warmup, warmup**2]),
        "epochs": np.column_stack([epochs == 1, epochs == 2]).astype(float),
        "level": level[:, None].astype(float),
    }
    return terms, level.astype(float)


def studies(planted: float, count: int = 100) -> tuple[float, float]:
    """Return in how many studies the level was found, and in how many anything else was."""
    found = others = 0
    for seed in range(count):
        generator = np.random.default_rng([seed, int(planted)])
        terms, level = drawn(generator)
        effects = importances(list(generator.normal(size=24) + planted * level), [0] * 24, terms)
        found += effects["level"].p <= 0.05
        others += any(effect.p <= 0.05 for name, effect in effects.items() if name != "level")
    return found / count, others / count


def test_noise_shows_no_effect_and_two_deviations_do() -> None:
    level, others = studies(0.0)
    assert level + others <= 0.09  # 5% are allowed: 95% of a hundred studies lie below
    level, others = studies(2.0)
    assert level >= 0.75
    assert others <= 0.1


def test_of_one_hyperparameter_of_two_levels_it_is_the_permutation_test_of_means() -> None:
    for seed in range(5):
        generator = np.random.default_rng(seed)
        level = np.repeat([0.0, 1.0], 6)
        values = generator.uniform(size=12) + 0.4 * level  # without outliers
        (effect,) = importances(list(values), [0] * 12, {"level": level[:, None]}).values()
        exact = permutation_test((values[:6], values[6:]), lambda a, b: a.mean() - b.mean(), n_resamples=np.inf).pvalue
        assert effect.p == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 999) ** 0.5 + 2e-3)


def test_neither_scale_nor_blocks_matter_and_failures_count_as_the_worst() -> None:
    terms, level = drawn(np.random.default_rng(0), 30)
    values = np.random.default_rng(1).normal(size=30) + level
    blocks = ["a"] * 14 + ["b"] * 16
    effects = importances(list(values), blocks, terms)

    def same(other: Sequence[float]) -> bool:
        again = importances(other, blocks, terms)
        return all(again[name] == pytest.approx(effect, abs=1e-9) for name, effect in effects.items())

    assert same([*(values[:14] * 1e-3), *(values[14:] * 7 + 100)])
    tied = [*values[:13], values[:13].max(), *values[14:]]
    effects = importances(tied, blocks, terms)
    assert same([np.inf if i == 13 else value for i, value in enumerate(tied)])
    assert 0 <= sum(effect.share for effect in effects.values()) <= 1


def test_an_exploded_run_counts_no_more_than_a_poor_one() -> None:
    terms, level = drawn(np.random.default_rng(0), 30)
    values = np.random.default_rng(1).normal(size=30) + 2 * level
    poor, exploded = ([size if i == 3 else value for i, value in enumerate(values)] for size in (50.0, 1e30))
    assert importances(poor, [0] * 30, terms) == importances(exploded, [0] * 30, terms)
    assert importances(exploded, [0] * 30, terms)["level"].p <= 0.05


def test_where_most_trials_say_the_same_the_others_still_count() -> None:
    level = np.repeat([0.0, 1.0], [16, 8])
    values = [0.0] * 16 + [0.0, 0.0, 1.0, 1.0, 2.0, 1.0, 2.0, 1.0]
    assert importances(values, [0] * 24, {"level": level[:, None]})["level"].p <= 0.01
    assert importances([np.inf] * 24, [0] * 24, {"level": level[:, None]}) == {}


def test_too_few_trials_say_nothing() -> None:
    terms, level = drawn(np.random.default_rng(0), 9)
    assert importances(list(level), [0] * 9, terms) == {}
    assert importances([1.0] * 24, [0] * 24, drawn(np.random.default_rng(0))[0]) == {}
    assert importances([], [], {}) == {}
