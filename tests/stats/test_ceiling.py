"""Scores of 0 and 1 near their ends: all right, all wrong, one miss, ties; better results must not weaken claims."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from harness.core.example import Example, Prediction
from harness.metrics.base import Metric, Statistic, mean
from harness.report.number_format import interval
from harness.report.text.headline import answer
from harness.stats import Comparison, Estimate, Trained, estimate, power, resample, runs, to_baseline, with_best
from harness.stats.answers import Answered, Answers, score_answers
from harness.stats.axis_levels import AxisLevels
from harness.stats.verdicts import Verdicts, judge

ROWS = 20
LEAST = (ROWS + 1) / (ROWS + 2) / (ROWS + 2) / (ROWS + 2)
"""Variance of a share of 22 examples of which one is wrong."""


def _said(prediction: Prediction, example: Example) -> Statistic:
    return np.array([float(prediction.text)])


RIGHT = replace(Metric("right", True, _said, mean, lambda: "right|test"), range=(0.0, 1.0))


def _run(right: int, *, first: int = 0, rows: int = ROWS) -> np.ndarray:
    """Return scores of which so many are 1, counted from a row on."""
    return np.roll(np.repeat([1.0, 0.0], [right, rows - right]), first)


def _resampled(**tables: list[np.ndarray]) -> dict[str, Trained]:
    """Return cells of the runs given; ``none`` cells have no seeds."""
    cells = {
        name: runs([[np.array([score]) for score in run] for run in table], mean, seeded=not name.endswith("none"))
        for name, table in tables.items()
    }
    return resample(cells, generator=np.random.default_rng(0), resamples=1000)


def _against_nothing(*table: np.ndarray) -> Estimate:
    """Return what runs have over a cell that is wrong on all rows."""
    return estimate({"a": 1.0, "none": -1.0}, _resampled(a=list(table), none=[_run(0)]))


def test_all_right_and_all_wrong_differ_by_an_interval_that_is_no_point() -> None:
    found = _against_nothing(_run(ROWS), _run(ROWS))
    error = math.sqrt(2 * LEAST)
    assert (found.value, found.error, found.degrees) == (1.0, pytest.approx(error), ROWS - 1)
    reach = stats.t.ppf(0.975, ROWS - 1) * error
    assert (found.low, found.high) == (pytest.approx(1 - reach), pytest.approx(1 + reach))
    assert found.p == 2.0 ** (1 - ROWS), "no less than swapping signs could give"


def test_cells_that_say_the_same_lie_as_far_apart_as_unseen_rows_may_move_them() -> None:
    cells = _resampled(a=[_run(ROWS)] * 2, b=[_run(ROWS)] * 2)
    found = estimate({"a": 1.0, "b": -1.0}, cells)
    assert (found.value, found.p) == (0.0, 1.0)
    assert found.high == -found.low == pytest.approx(stats.t.ppf(0.975, ROWS - 1) * math.sqrt(2 * LEAST))


def test_the_least_variance_is_nothing_to_scores_that_vary_more() -> None:
    """A pair apart on two rows or more, one each way, stands on its own rows: McNemar's variance."""
    cells = _resampled(none=[_run(15)], other_none=[_run(15, first=1)])
    found = estimate({"none": 1.0, "other_none": -1.0}, cells)
    assert found.error**2 == pytest.approx(2 / ROWS / (ROWS - 1), rel=0.1)
    assert found.error**2 > 2 * LEAST


def test_claims_do_not_weaken_as_results_improve() -> None:
    """Of two seeds that both miss some rows, or of which one does: the fewer, the surer."""
    for table in ([[_run(ROWS - miss)] * 2 for miss in range(6)], [[_run(ROWS - m), _run(ROWS)] for m in range(4)]):
        found = [_against_nothing(*both) for both in table]
        assert [one.p for one in found] == sorted(one.p for one in found)
        assert [one.low for one in found] == sorted((one.low for one in found), reverse=True)
        assert found[1].p < 1e-3


def test_a_miss_of_one_seed_leaves_a_score_its_interval() -> None:
    cells = _resampled(one=[_run(ROWS), _run(ROWS - 1)])
    found, all_right = estimate({"one": 1.0}, cells), estimate({"a": 1.0}, _resampled(a=[_run(ROWS)] * 2))
    assert 0.75 < found.low < 0.975 < found.high <= 1
    assert 0.75 < all_right.low < all_right.high == 1


def test_one_unsteady_cell_does_not_take_the_others_claims() -> None:
    """Four trained cells right on all rows in both seeds, one not: its seeds are all that is known of seeds."""
    steady = {name: [_run(ROWS)] * 2 for name in ("head", "blocks", "ask", "mine")}
    cells = _resampled(none=[_run(0)], **steady, apart=[_run(ROWS), _run(ROWS - 2)])
    best = with_best(cells, "head", higher_is_better=True)
    families = {one.a: one for one in to_baseline(cells, "head", higher_is_better=True)}, {one.a: one for one in best}
    for told in families:
        assert told["none"].verdict == "worse"
        assert told["none"].difference.high < -0.7
        assert {told[name].verdict for name in ("blocks", "ask", "mine", "apart")} == {"undecided"}
        assert -0.3 < told["blocks"].difference.low < 0 < told["blocks"].difference.high < 0.3


def test_two_seeds_far_apart_still_say_little() -> None:
    """The price of two seeds: one degree of freedom, near the ceiling as elsewhere."""
    found = _against_nothing(_run(ROWS), _run(12))
    assert found.degrees < 1.5
    assert found.p > 0.05


def test_no_few_rows_are_planned_for_where_nothing_was_seen_to_vary() -> None:
    made = {name: runs([[np.ones(1)] * ROWS] * 2, mean) for name in ("a", "b")}
    trained = resample(made, generator=np.random.default_rng(0), resamples=100)
    options = {"generator": np.random.default_rng(0), "resamples": 100}
    seen = [
        power((made["a"], made["b"]), (trained["a"], trained["b"]), 0.02, examples=rows, **options)
        for rows in (10, 1000)
    ]
    assert seen == [0.0, 1.0]


def _judged(tables: dict[str, np.ndarray]) -> Verdicts:
    examples = tuple(Example(str(place), {"source": "s"}, "t") for place in range(ROWS))

    def answered(name: str, table: np.ndarray) -> Answered:
        said = tuple(tuple(Prediction(str(i), repr(float(x)), 1.0, 1) for i, x in enumerate(run)) for run in table)
        return Answered(said, seeded=not name.endswith("none"))

    rows = {"rule": answered("none", np.zeros((1, ROWS)))}
    answers = Answers(examples, {name: answered(name, table) for name, table in tables.items()}, rows)
    levels = {name: dict(zip(("prompt", "tuning"), name.split("/"), strict=True)) for name in tables}
    given = score_answers(answers, RIGHT)
    sides = {"best": "bare/head", "baseline": "bare/head"}
    return judge(answers, given, RIGHT, **sides, axes=AxisLevels(levels), smallest_difference=0.0)


def _comparisons(found: Verdicts) -> Iterator[Comparison]:
    yield from (*found.to_baseline, *found.with_best, *found.to_references)
    for table in (found.effects.main, found.effects.interactions) if found.effects else ():
        yield from (one for rows in table.values() for one in rows)


_RUN = st.one_of(
    st.sampled_from([_run(ROWS), _run(0), _run(ROWS - 1), _run(1)]),
    st.builds(_run, st.integers(0, ROWS), first=st.integers(0, ROWS - 1)),
)


@settings(max_examples=12, deadline=None)
@given(st.data(), st.integers(1, 3))
def test_every_score_and_difference_of_right_answers_has_an_interval(data: st.DataObject, number: int) -> None:
    cells = ("bare/head", "bare/full", "ask/head", "ask/full")
    tables = {name: np.stack([data.draw(_RUN) for _ in range(number)]) for name in cells}
    found = _judged(tables | {"bare/none": data.draw(_RUN)[None]})
    for score in (*found.scores.values(), *found.references.values()):
        assert 0 <= score.low <= score.value <= score.high <= 1
        assert score.low < score.high
    for one in _comparisons(found):
        gain = one.difference
        assert gain.low <= gain.value <= gain.high, one
        assert gain.low < gain.high, one
        assert 0 < gain.p <= one.p_adjusted <= 1, one
        assert (gain.low <= 0 <= gain.high) == (one.verdict == "undecided"), one
        assert "nan" not in f"{one!r} {interval(gain, signed=True)}"
    assert "nan" not in answer(found, cells=5)
