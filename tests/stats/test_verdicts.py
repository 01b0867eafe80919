"""Verdicts: numbers against plain means and statsmodels, words against the tests, errors by simulation."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from harness.core.example import Example, Prediction
from harness.metrics.base import Metric, Statistic, mean
from harness.report.text.headline import answer, examples_to_see, verdicts_json
from harness.stats import not_distinguishable
from harness.stats.verdicts import Answered, Answers, Verdicts, judge, score_answers


def _read(prediction: Prediction, example: Example) -> Statistic:
    return np.array([float(prediction.text)])


METRIC = Metric("points", True, _read, mean, lambda: "points|test")
LOSS = replace(METRIC, name="loss_points", higher_is_better=False)
UNDEFINED = replace(METRIC, reduce=lambda statistics: math.nan)


def answers(tables: dict[str, np.ndarray], references: dict[str, np.ndarray] | None = None) -> Answers:
    """Return answers from scores, per cell shape (runs, examples); ``none`` cells have no seeds."""
    number = next(iter(tables.values())).shape[1]
    examples = tuple(Example(str(place), {"source": "s"}, "t") for place in range(number))

    def said(name: str, table: np.ndarray) -> Answered:
        runs = tuple(tuple(Prediction(str(i), repr(float(x)), 1.0, 1) for i, x in enumerate(run)) for run in table)
        return Answered(runs, seeded=not name.endswith("none"))

    cells = {name: said(name, table) for name, table in tables.items()}
    return Answers(examples, cells, {name: said("none", table) for name, table in (references or {}).items()})


def verdicts(tables: dict[str, np.ndarray], *, metric: Metric = METRIC, best: str = "", baseline: str = "") -> Verdicts:
    given = answers(tables)
    names = list(tables)
    chosen = {"best": best or names[0], "baseline": baseline or names[-1]}
    return judge(given, score_answers(given, metric), metric, **chosen, factors=factors(names))


def factors(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return the levels of cells that are called by them."""
    return {name: dict(zip(("prompt", "tuning", "size"), name.split("/"), strict=False)) for name in names}


def trained(generator: np.random.Generator, hard: np.ndarray, *, gain: float = 0.0, seeds: int = 3) -> np.ndarray:
    """Return scores of a procedure: examples differ in how hard they are, seeds in how well they went."""
    luck = generator.normal(0, 0.02, size=(seeds, 1))
    return hard + gain + luck + generator.normal(0, 0.15, size=(seeds, len(hard)))


def grid(seed: int, *, gain: float = 0.0, examples: int = 80) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(seed)
    hard = generator.uniform(0, 1, examples)
    names = ("cue/full", "cue/head", "bare/head", "bare/full")
    return {name: trained(generator, hard, gain=gain if name == "cue/full" else 0.0) for name in names}


def test_numbers_are_those_of_the_scores() -> None:
    tables = grid(1, gain=0.1)
    found = verdicts(tables)
    for name, table in tables.items():
        assert found.scores[name].value == pytest.approx(table.mean())
        assert found.scores[name].low < table.mean() < found.scores[name].high
    for one in found.to_baseline:
        assert one.difference.value == pytest.approx(tables[one.a].mean() - tables["bare/full"].mean())
    assert [one.a for one in found.to_baseline] == list(tables)[:-1]
    assert len(found.pairs) == 6


def test_adjusted_p_values_are_holm_s() -> None:
    program = json.loads(verdicts_json("said", verdicts(grid(2, gain=0.03))))
    family = [one for one in program["comparisons"] if one["family"] == "baseline"]
    rejected, adjusted, _, _ = multipletests([one["p"] for one in family], alpha=0.05, method="holm")
    assert [one["p_adjusted"] for one in family] == pytest.approx(list(adjusted))
    assert [one["verdict"] != "undecided" for one in family] == list(rejected)


def test_the_same_prompt_under_two_names_is_rarely_called_better() -> None:
    called = 0
    for seed in range(20):
        found = verdicts(grid(seed), best="cue/full")
        called += any(one.verdict != "undecided" for one in found.to_baseline)
    assert called <= 3


def test_a_large_planted_difference_is_called_better() -> None:
    for seed in range(20):
        found = verdicts(grid(seed, gain=0.3))
        planted = found.against_baseline("cue/full")
        assert planted is not None
        assert planted.verdict == "better"
        assert found.group == ("cue/full",)
        assert "it is better than the baseline bare/full" in answer(found, cells=4)


def test_where_lower_is_better_a_lower_cell_is_better() -> None:
    tables = {name: -table for name, table in grid(3, gain=0.3).items()}
    found = verdicts(tables, metric=LOSS).against_baseline("cue/full")
    assert found is not None
    assert (found.verdict, found.difference.value < 0) == ("better", True)


def test_the_same_predictions_give_the_same_verdicts_in_any_order_of_cells() -> None:
    tables = grid(4, gain=0.05)
    first = verdicts(tables, best="cue/full", baseline="bare/full")
    turned = verdicts(dict(reversed(tables.items())), best="cue/full", baseline="bare/full")
    assert first == verdicts(tables, best="cue/full", baseline="bare/full")
    assert first.scores == turned.scores
    assert set(first.to_baseline) == set(turned.to_baseline)
    assert set(first.group) == set(turned.group)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), gain=st.floats(-0.3, 0.3), examples=st.integers(3, 40))
def test_words_are_never_stronger_than_the_tests(seed: int, gain: float, examples: int) -> None:
    found = verdicts(grid(seed, gain=gain, examples=examples))
    said, one = answer(found, cells=4), found.against_baseline("cue/full")
    assert one is not None
    assert ("it is better than the baseline" in said) == (one.verdict == "better" and one.p_adjusted <= 0.05)
    assert ("it is worse than the baseline" in said) == (one.verdict == "worse" and one.p_adjusted <= 0.05)
    assert ("is undecided" in said) == (one.verdict == "undecided")
    for cell in found.group[1:]:
        assert cell in said.partition("cannot be told apart")[2]
    assert len(re.findall(r"\.(?= [A-Z\d]|$| \w+/)", said)) == 2


def test_answer_and_tables_never_contradict_each_other() -> None:
    """A difference to the baseline may hold among those to the baseline, and not among all pairs."""
    split = 0
    for seed in range(60):
        for baseline in ("bare/full", "cue/full"):
            found = verdicts(grid(seed, gain=0.055), best="cue/full", baseline=baseline)
            said, group = answer(found, cells=4), set(found.group)
            decided = {one.a for one in found.to_baseline if one.verdict != "undecided"}
            for cell in decided if baseline == "cue/full" else decided & {"cue/full"}:
                assert (cell if baseline == "cue/full" else baseline) not in group
            if "it is better than the baseline" in said:
                assert baseline not in said.partition("cannot be told apart")[2]
            by_pairs = {pair.b if pair.a == found.best else pair.a for pair in found.pairs if found.best in pair[:2]}
            assert group - {found.best} <= by_pairs
            split += group != set(not_distinguishable(found.best, found.pairs))
            program = json.loads(verdicts_json(said, found))
            undecided = {
                name
                for one in program["comparisons"]
                if one["verdict"] == "undecided" and found.best in (one["a"], one["b"])
                for name in (one["a"], one["b"])
            }
            assert undecided | {found.best} == group, "programs can work out the same group"
    assert split > 3, "the two families did differ"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), examples=st.integers(8, 40), heavy=st.integers(1, 6), size=st.floats(0.2, 3.0))
def test_no_claim_stands_beside_an_interval_that_holds_zero(seed: int, examples: int, heavy: int, size: float) -> None:
    """Skewed differences, where the two could part."""
    generator = np.random.default_rng(seed)
    base = generator.uniform(0, 1, (1, examples))
    moved = base + 0.25
    moved[0, : min(heavy, examples - 1)] -= size
    found = verdicts({"cue/none": moved, "bare/none": base}).to_baseline[0]
    if found.difference.p < 0.05:
        assert found.difference.low > 0 or found.difference.high < 0
    if found.verdict != "undecided":
        assert found.difference.p <= found.p_adjusted <= 0.05


def test_single_runs_of_other_cells_are_told() -> None:
    tables = grid(6, gain=0.5)
    single = {name: table if name in ("cue/full", "bare/full") else table[:1] for name, table in tables.items()}
    said = answer(verdicts(single), cells=4)
    first, _, second = said.partition("). ")
    assert "not for other seeds" not in first
    assert second.endswith("of a cell with one final run this holds for that trained model, not for other seeds.")
    program = json.loads(verdicts_json("said", verdicts(single)))
    kinds = {(one["a"], one["b"]): one["speaks_of"] for one in program["comparisons"]}
    assert kinds["cue/full", "bare/full"] == "procedure"
    assert kinds["cue/head", "bare/full"] == "models"


def test_how_many_examples_would_decide() -> None:
    undecided = verdicts(grid(9, gain=0.03), best="cue/full")
    assert undecided.needed is not None
    found, examples = undecided.needed
    assert (found.a, found.b, found.verdict) == ("cue/full", "bare/full", "undecided")
    said = examples_to_see(undecided)
    assert examples is None or f"about {examples:,} test examples (there are 80)" in said
    assert said.startswith("If cue/full truly differs from bare/full by as much as was seen")
    assert json.loads(verdicts_json("said", undecided))["examples_needed"] == examples
    assert verdicts(grid(9, gain=0.5), best="cue/full").needed is None
    assert verdicts(grid(9), best="bare/full").needed is None, "it is the baseline"


def test_programs_get_the_effects_too() -> None:
    found = verdicts(grid(2, gain=0.3))
    effects = json.loads(verdicts_json("said", found))["effects"]
    assert effects.keys() == {"prompt", "tuning", "interaction"}
    (prompt,) = effects["prompt"]
    assert (prompt["a"], prompt["b"], prompt["verdict"]) == ("cue", "bare", found.effects.main["prompt"][0].verdict)
    assert prompt["difference"] == found.effects.main["prompt"][0].difference.value


def test_a_cell_that_test_puts_first_is_named_beside_the_one_validation_chose() -> None:
    found = verdicts(grid(5, gain=0.4), best="cue/head")
    assert "1 cell that validation ranks lower scored better on test (cue/full)" in answer(found, cells=4)
    assert "cue/full" not in found.group


def test_one_seed_speaks_of_these_models_alone() -> None:
    tables = {name: table[:1] for name, table in grid(6, gain=0.5).items()}
    assert "not for other seeds" in answer(verdicts(tables), cells=4)
    assert "not for other seeds" not in answer(verdicts(grid(6, gain=0.5)), cells=4)


def test_zero_shot_needs_no_second_seed() -> None:
    generator = np.random.default_rng(7)
    tables = {"bare/none": generator.uniform(0, 1, (1, 50)), "cue/none": generator.uniform(0, 1, (1, 50))}
    found = verdicts(tables)
    assert all(score.covers_seeds for score in found.scores.values())


def test_without_its_baseline_a_study_still_ranks() -> None:
    tables = grid(8, gain=0.5)
    found = verdicts(tables, baseline="elsewhere/full")
    assert (found.to_baseline, found.effects) == ((), None)
    assert "elsewhere/full has no final runs" in answer(found, cells=5)
    assert "among the 4 of 5 cells that have final runs" in answer(found, cells=5)


def test_reference_rows_stand_apart_from_the_cells() -> None:
    tables = grid(9, gain=0.3)
    given = answers(tables, {"lead": np.zeros((1, 80)), "copy": tables["cue/full"][:1]})
    scored = score_answers(given, METRIC)
    with_rows = judge(given, scored, METRIC, best="cue/full", baseline="bare/full")
    assert with_rows.to_baseline == verdicts(tables).to_baseline
    assert {one.a: one.verdict for one in with_rows.to_references}["lead"] == "worse"
    assert with_rows.references["lead"].value == 0
    named = [one for one in json.loads(verdicts_json("", with_rows))["comparisons"] if one["family"] == "references"]
    assert [(one["a"], one["b"]) for one in named] == [("lead", "cue/full"), ("copy", "cue/full")]


def test_every_pair_of_cells_stands_once_in_the_file() -> None:
    program = json.loads(verdicts_json("said", verdicts(grid(10))))
    pairs = [frozenset((one["a"], one["b"])) for one in program["comparisons"]]
    assert len(pairs) == len(set(pairs)) == 6
    assert {"a", "b", "metric", "difference", "low", "high", "p", "p_adjusted", "verdict"} <= set(
        program["comparisons"][0]
    )


def test_an_undefined_score_is_undecided_and_null() -> None:
    found = verdicts(grid(11), metric=UNDEFINED)
    program = json.loads(verdicts_json(answer(found, cells=4), found))
    assert {one["verdict"] for one in program["comparisons"]} == {"undecided"}
    assert {one["p_adjusted"] for one in program["comparisons"]} == {None}


def test_nothing_is_claimed_without_verdicts() -> None:
    assert json.loads(verdicts_json("Nothing.", None)) == {"format": 1, "answer": "Nothing.", "comparisons": []}


def test_answers_to_fewer_than_two_examples_are_refused() -> None:
    with pytest.raises(ValueError, match="two or more"):
        verdicts({name: table[:, :1] for name, table in grid(12).items()})
