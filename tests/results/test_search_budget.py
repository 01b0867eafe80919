"""What searches' budgets bought: curves and rank flips against enumeration, gaps by hand, and the words for them."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.report.csv_tables import expected_best_csv
from harness.report.text.cautions import RANK_FLIP, caption_on_test, cautions
from harness.report.text.findings import Findings
from harness.report.text.search_sentences import searches
from harness.results.cell_result import CellResult, Final, Trial
from harness.results.collect import Results
from harness.results.search_budget import expected_best_curve, generalization_gap, rank_flip
from harness.results.test_access import TestAccess
from harness.stats import Estimate, expected_best
from harness.stats.verdicts import Verdicts
from harness.study.search_space import Hyperparameters
from tests.support.search_spaces import rate

SCORES = st.one_of(st.integers(0, 6).map(float), st.just(math.nan))
"""Few values, so that cells tie; nan: diverged."""


def cell(name: str, values: Sequence[float], finals: Sequence[tuple[float, float]] = ()) -> CellResult:
    """Return a cell with trials of these values and final runs of these validation and test scores."""
    prompt, _, tuning = name.partition("/")
    trials = tuple(
        Trial(i, rate(0.01), "diverged" if math.isnan(value) else "complete", value, {}, {})
        for i, value in enumerate(values)
    )
    runs = tuple(Final(str(s), {"validation/chrf": v, "test/chrf": t}, {}) for s, (v, t) in enumerate(finals))
    factors = {"prompt": prompt, "tuning": tuning}
    return CellResult(name, factors, rate(0.01) if values else Hyperparameters(), trials, runs, {}, {})


def results(*cells: CellResult, maximize: bool = True, sampler: str = "random") -> Results:
    search = {"learning_rate": {"low": 1e-4, "high": 1.0}, "trials": 3, "sampler": sampler, "pruner": "none"}
    return Results("made-up", "", ("chrf", "loss"), "chrf", maximize, "chrf", search, cells[0].id, cells, {}, {})


def leaders(cells: Sequence[CellResult], sign: float) -> list[str]:
    """Return who leads in each way to leave out one trial of each cell; of equals, the one that led before."""

    def best(values: Sequence[float]) -> float:
        return max((sign * value for value in values if not math.isnan(value)), default=-math.inf)

    tops = [best([trial.value for trial in one.trials]) for one in cells]
    first = max(range(len(cells)), key=tops.__getitem__)
    found = []
    for dropped in product(*(range(len(one.trials)) for one in cells)):
        left = [
            best([trial.value for trial in one.trials if trial.index != gone])
            for one, gone in zip(cells, dropped, strict=True)
        ]
        now = max(range(len(cells)), key=lambda place: (left[place], place == first))
        found.append(cells[now].id)
    return found


@settings(deadline=None, max_examples=150)
@given(values=st.lists(st.lists(SCORES, min_size=2, max_size=4), min_size=2, max_size=4), maximize=st.booleans())
def test_the_chance_of_a_rank_flip_is_the_share_of_all_ways_to_leave_one_out(
    values: list[list[float]], maximize: bool
) -> None:
    cells = [cell(f"p{number}/head", own) for number, own in enumerate(values)]
    found = rank_flip(results(*cells, maximize=maximize))
    if all(math.isnan(value) for own in values for value in own):
        assert found is None
        return
    assert found is not None
    ways = leaders(cells, 1.0 if maximize else -1.0)
    assert found.chance == pytest.approx(sum(name != found.leader for name in ways) / len(ways))
    (leader,) = [one for one in cells if one.id == found.leader]
    assert found.chance <= 1 / len(leader.trials)


def test_zero_shot_takes_part_with_its_one_score() -> None:
    zero, trained = cell("bare/none", (), [(5.0, 5.0)]), cell("bare/head", [1.0, 4.0, 6.0])
    found = rank_flip(results(zero, trained))
    assert found is not None
    assert (found.leader, found.chance) == ("bare/head", pytest.approx(1 / 3))
    leading = rank_flip(results(cell("bare/none", (), [(7.0, 7.0)]), trained))
    assert (leading.leader, leading.chance) == ("bare/none", 0.0) if leading else False
    assert rank_flip(results(cell("bare/head", [3.0]), cell("cue/head", [2.0]))) is None
    assert rank_flip(results(cell("bare/none", ()))) is None


def test_a_stopped_trial_cannot_lead_but_counts_for_the_budget() -> None:
    stopped = Trial(2, rate(0.01), "pruned", math.nan, {"validation/chrf": 9.0}, {})
    plain = cell("bare/head", [1.0, 4.0])
    one = replace(plain, trials=(*plain.trials, stopped))
    found = rank_flip(results(one, cell("cue/head", [3.0, 3.0, 3.0])))
    assert found is not None
    assert (found.leader, found.chance) == ("bare/head", pytest.approx(1 / 3))
    assert expected_best_curve(one, results(one)) == pytest.approx(expected_best([1.0, 4.0, 9.0], maximize=True))


def test_an_unsettled_first_place_is_a_caution_with_its_chance() -> None:
    near = results(cell("bare/head", [5.0, 1.0, 1.0]), cell("cue/head", [4.0, 4.0, 4.0]))
    (said,) = [line for line in cautions(near, Findings("")) if "one trial shorter" in line]
    assert "bare/head leads them" in said
    assert "with a chance of 33%" in said
    assert "its sampler" not in said
    (said,) = [
        line
        for line in cautions(replace(near, search={**near.search, "sampler": "gp"}), Findings(""))
        if "shorter" in line
    ]
    assert said.startswith("Give the searches more trials: one more may change the first place.")
    assert "its sampler draws by what came before" in said
    clear = results(cell("bare/head", [5.0, 4.5, 1.0]), cell("cue/head", [4.0, 4.0, 4.0]))
    assert not [line for line in cautions(clear, Findings("")) if "shorter" in line]
    many = results(cell("bare/head", [5.0, *[1.0] * 10]), cell("cue/head", [4.0] * 11))
    assert RANK_FLIP > 1 / 11
    assert not [line for line in cautions(many, Findings("")) if "shorter" in line]


def verdicts(best: str, *, low: float, high: float, seeds: int) -> Findings:
    score = Estimate((low + high) / 2, low, high, 1.0, 9.0, 0.01, True)
    found = Verdicts("chrf", True, 9, 500, best, best, {best: score}, {best: seeds}, (), (), (), None, {}, {}, ())
    return Findings("", found)


@pytest.mark.parametrize(("validation", "flattered"), [(34.0, True), (31.0, False), (20.0, False)])
def test_a_validation_score_beyond_the_interval_of_test_is_a_caution(validation: float, flattered: bool) -> None:
    one = cell("bare/head", [], [(validation + 1, 31.0), (validation - 1, 29.0)])
    study = results(one)
    assert generalization_gap(one, study) == pytest.approx(validation - 30.0)
    said = cautions(study, verdicts("bare/head", low=28.0, high=32.0, seeds=3))
    assert any("chosen on validation, so its validation score flatters it" in line for line in said) is flattered


def test_where_lower_is_better_a_lower_validation_score_flatters() -> None:
    for validation, flattered in ((26.0, True), (34.0, False)):
        study = results(cell("bare/head", [], [(validation, 30.0)]), maximize=False)
        said = cautions(study, verdicts("bare/head", low=28.0, high=32.0, seeds=3))
        assert any("flatters" in line for line in said) is flattered


def test_the_report_says_what_other_budgets_would_have_found() -> None:
    study = results(cell("bare/none", (), [(2.0, 1.5)]), cell("bare/head", [2.0, 4.0, 9.0], [(9.0, 8.0)]))
    said = searches(study)
    assert "- bare/none: validation minus test +0.50" in said
    assert "- bare/head: 1 trial 5.00, 2 trials 7.33, 3 trials 9.00; validation minus test +1.00" in said
    rows = list(csv.DictReader(io.StringIO(expected_best_csv(study))))
    assert [row["trials"] for row in rows] == ["1", "2", "3"]
    assert [float(row["expected_best_chrf"]) for row in rows] == pytest.approx([5.0, 22 / 3, 9.0])


def test_how_often_test_was_scored_is_said() -> None:
    study = results(cell("bare/head", [1.0, 2.0]))
    assert caption_on_test(study) == "The test split was not scored."
    assert "was scored 7 times for this study" in caption_on_test(replace(study, test_access=TestAccess(7)))
    edited = replace(study, test_access=TestAccess(7, before_edit=3))
    assert cautions(edited, Findings(""))[0].startswith(
        "Test had been scored 3 times before this study was last edited"
    )
