"""Shares of the differences between cells: of sums of squares, none of what is but rounding."""

from __future__ import annotations

from itertools import product

import pytest

from harness.stats.effect_shares import effect_shares

LEVELS = {"prompt": ["bare", "cue"], "tuning": ["none", "head"], "generation": ["greedy", "beams", "wide"]}


def grid(score: dict[str, float]) -> dict[tuple[str, ...], float]:
    """A grid whose scores are sums of what each level adds."""
    return {levels: sum(score.get(level, 0.0) for level in levels) for levels in product(*LEVELS.values())}


def test_an_axis_that_moves_nothing_has_no_share() -> None:
    shares = effect_shares(LEVELS, grid({"head": 1 / 7, "none": 0.1}))
    assert shares.pop(("tuning",)) == pytest.approx(1.0)
    assert set(shares.values()) == {0.0}, "not even 1e-32"


def test_cells_that_are_alike_have_none() -> None:
    scores = {levels: 0.1 + 0.2 if levels[0] == "cue" else 0.3 for levels in product(*LEVELS.values())}
    assert len(set(scores.values())) == 2, "the test needs it: they differ by their last bit"
    assert effect_shares(LEVELS, scores) == {}


def test_shares_of_sums_are_those_of_their_squares() -> None:
    shares = effect_shares(LEVELS, grid({"cue": 3.0, "head": 4.0}))
    assert shares["prompt",] == pytest.approx(9 / 25)
    assert shares["tuning",] == pytest.approx(16 / 25)
