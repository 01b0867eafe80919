"""Importances: against an exact test, on noise, with a planted effect, and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

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


def test_of_one_hyperparameter_of_two_levels_it_is_the_rank_sum_test() -> None:
    for seed in range(5):
        generator = np.random.default_rng(seed)
        level = np.repeat([0.0, 1.0], 6)
        values = generator.normal(size=12) + 1.2 * level
        (effect,) = importances(list(values), [0] * 12, {"level": level[:, None]}).values()
        exact = mannwhitneyu(values[:6], values[6:], method="exact").pvalue
        assert effect.p == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 999) ** 0.5 + 2e-3)


def test_neither_scale_nor_blocks_matter_and_failures_rank_last() -> None:
    terms, level = drawn(np.random.default_rng(0), 30)
    values = np.random.default_rng(1).normal(size=30) + level
    blocks = ["a"] * 14 + ["b"] * 16
    effects = importances(list(values), blocks, terms)
    assert effects == importances(list(np.exp(values)), blocks, terms)
    assert effects == importances([*values[:14], *(values[14:] + 100)], blocks, terms)
    worst = int(np.argmax(values[:14]))
    assert effects == importances([np.inf if i == worst else v for i, v in enumerate(values)], blocks, terms)
    assert 0 <= sum(effect.share for effect in effects.values()) <= 1


def test_too_few_trials_say_nothing() -> None:
    terms, level = drawn(np.random.default_rng(0), 9)
    assert importances(list(level), [0] * 9, terms) == {}
    assert importances([1.0] * 24, [0] * 24, drawn(np.random.default_rng(0))[0]) == {}
    assert importances([], [], {}) == {}
