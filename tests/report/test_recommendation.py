"""The recommendation: everyday words that say no more than the tests do, the same in page, Markdown and file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.core.example import Example, Prediction
from harness.core.plain_yaml import yaml_value
from harness.metrics import get
from harness.metrics.base import Metric
from harness.report.number_format import score
from harness.report.ranked_table import ranked_table
from harness.report.study_facts import best_model, study_facts, study_file
from harness.report.text.cautions import cautions
from harness.report.text.findings import find
from harness.report.text.headline import verdicts_json
from harness.report.text.recommendation import recommendation_facts
from harness.report.write_report import write_report
from harness.results.cell_result import CellResult, Final
from harness.results.collect import Results
from harness.stats.answers import Answered, Answers
from harness.study.spec import StudySpec
from harness.tracking.study_record import KeptModels
from tests.support.made_up_results import html, referenced, study

WEIGHTS = {"none": 0, "last_blocks-1": 4000, "full": 100_000}
SECONDS = {"none": 0.0, "last_blocks-1": 10.0, "full": 30.0}


def sized(results: Results) -> Results:
    """Return results whose cells say how many weights train, and how long that takes."""
    return replace(results, cells=tuple(_sized(cell) for cell in results.cells))


def _sized(cell: CellResult) -> CellResult:
    params = {"trainable_parameters": str(WEIGHTS[cell.tuning]), "parameters": "100000"}
    costs = {"train_seconds": SECONDS[cell.tuning], "peak_memory_mib": 900.0}
    return replace(cell, params=params, finals=tuple(replace(final, costs=costs) for final in cell.finals))


def scored(levels: dict[str, list[float]], *, rows: int = 80, noise: float = 0.02) -> Results:
    """Return results in which each seed of a cell gets about so many test rows right by ``token_f1``."""
    plain = sized(study(examples=rows))
    metric, rng, answered, cells = get("token_f1"), np.random.default_rng(5), {}, []
    cases = tuple(Example(f"t{number}", {"source": "s"}, "a b c d e f g h i j") for number in range(rows))
    for cell in plain.cells:
        seeds = levels[cell.id]
        runs = tuple(tuple(_row(case, right, rng, noise) for case in cases) for right in seeds)
        answered[cell.id] = Answered(runs, seeded=cell.tuning != "none")
        finals = tuple(
            replace(
                cell.finals[0],
                seed=str(number),
                metrics=dict.fromkeys(("validation/token_f1", "test/token_f1"), _score(metric, run, cases)),
            )
            for number, run in enumerate(runs)
        )
        cells.append(replace(cell, finals=finals))
    return replace(
        plain,
        metrics=("token_f1", "loss"),
        lead="token_f1",
        objective="token_f1",
        metric=metric,
        cells=tuple(cells),
        answers=Answers(cases, answered, {}),
    )


def _row(case: Example, right: float, rng: np.random.Generator, noise: float) -> Prediction:
    number = int(np.clip(round(10 * rng.normal(right, noise)), 0, 10))
    return Prediction(case.id, " ".join([*case.target.split()[:number], *["um"] * (10 - number)]), 1.0, 10)


def _score(metric: Metric, run: Sequence[Prediction], cases: Sequence[Example]) -> float:
    return float(metric.reduce([metric.statistics(*pair) for pair in zip(run, cases, strict=True)]))


EQUAL = {"prompt0/none": [0.1], "prompt1/none": [0.1]}
DEEP = {f"prompt{p}/{t}": [0.6, 0.61, 0.6] for p in (0, 1) for t in ("last_blocks-1", "full")}


def test_the_cheapest_is_the_one_that_the_table_shows_the_least_time_of() -> None:
    """An untied head adds weights to its model: more of them train, and still a smaller share, in less time."""
    results = scored({**EQUAL, **DEEP, "prompt0/full": [0.62, 0.62, 0.63]})
    untied = {"trainable_parameters": "110000", "parameters": "220000"}
    cells = tuple(
        replace(cell, params=untied) if cell.id == "prompt0/last_blocks-1" else cell
        for cell in results.cells
        if cell.id != "prompt1/last_blocks-1"
    )
    findings = find(replace(results, cells=cells))
    found = findings.recommendation
    assert found is not None
    assert (found.cell.tuning, found.cheapest and found.cheapest.id) == ("full", "prompt0/last_blocks-1")
    tied = [row for row in ranked_table(replace(results, cells=cells), findings) if row.in_group]
    assert min(tied, key=lambda row: row.training_seconds).name == "prompt0/last_blocks-1"
    assert 'Quicker: the prompt "prompt0" with the last block trained is not told apart' in found.sentences[2]


@pytest.mark.parametrize(("seconds", "named"), [(28.0, False), (10.0, True), (math.nan, False)])
def test_a_cell_that_trains_fewer_weights_in_no_less_time_is_not_cheaper(seconds: float, named: bool) -> None:
    found = find(_of_last_block_in(seconds)).recommendation
    assert found is not None
    assert found.cell.id == "prompt0/full"
    assert (found.cheapest is not None) == named
    assert ("Every cell that trains in noticeably less time does worse." in found.sentences[2]) == (seconds == 28.0)


def _of_last_block_in(seconds: float) -> Results:
    """Return results in which the last block trains in so many seconds beside recordings."""
    results = scored({**EQUAL, **DEEP, "prompt0/full": [0.62, 0.62, 0.63]})
    costs = {"train_seconds": seconds, "recording_seconds": 1.0}
    cells = tuple(
        replace(cell, finals=tuple(replace(final, costs=costs) for final in cell.finals))
        if cell.tuning == "last_blocks-1"
        else cell
        for cell in results.cells
    )
    return replace(results, cells=cells)


def test_seconds_decide_on_the_cheapest_cell_alone() -> None:
    """What programs read of two runs that differ in how long they trained, and in nothing else."""
    said = []
    for seconds in (28.0, 10.0):
        findings = find(results := _of_last_block_in(seconds))
        facts = {
            "cautions": cautions(results, findings),
            "recommendation": recommendation_facts(findings.recommendation),
        }
        said.append(json.loads(verdicts_json(findings.answer, findings.verdicts, **facts)))
    cheapest = [one["recommendation"].pop("cheapest") for one in said]
    assert cheapest[0] is None
    assert cheapest[1].endswith("/last_blocks-1")
    assert said[0] == said[1]


@pytest.mark.parametrize("text", ["{{ source }}" + " and so on" * 9, "<b>{{ source }}</b>", "`{{ source }}`", None])
def test_a_prompt_that_is_long_or_holds_markup_is_not_quoted(text: str | None) -> None:
    results = replace(scored({**EQUAL, **DEEP}), prompts=dict.fromkeys(("prompt0", "prompt1"), text) if text else {})
    assert "it reads" not in find(results).advice[0]


def test_it_says_how_good_the_answers_are_and_what_training_gains() -> None:
    levels = {**EQUAL, **DEEP, "prompt1/last_blocks-1": [1.0, 1.0, 0.0]}
    results = scored(levels, noise=0.0)
    forced = replace(results, cells=tuple(_on_validation(c, c.id == "prompt1/last_blocks-1") for c in results.cells))
    findings = find(forced)
    assert findings.recommendation is not None
    assert findings.verdicts is not None
    assert "66.7% of its answers to test examples equal the target word for word" in findings.advice[1]
    row = next(one for one in findings.verdicts.with_best if one.a == "prompt1/none")
    assert row.verdict == "undecided"
    low, high = -row.difference.high, -row.difference.low
    assert f"is not shown (95% interval {low:+.4f} to {high:+.4f})" in findings.advice[1]
    gaining = find(scored({**EQUAL, **DEEP, "prompt1/last_blocks-1": [0.8, 0.81, 0.8]}))
    assert gaining.verdicts is not None
    row = next(one for one in gaining.verdicts.with_best if one.a == "prompt1/none")
    assert "None of its answers to test examples equals the target" in gaining.advice[1]
    assert f"Training helps: by {-row.difference.value:.4f} token_f1 over the same prompt" in gaining.advice[1]
    renamed = [[_named(final, "exact_match") for final in cell.finals] for cell in forced.cells]
    cells = tuple(replace(cell, finals=tuple(own)) for cell, own in zip(forced.cells, renamed, strict=True))
    alone = find(replace(forced, cells=cells, lead="exact_match", metric=get("exact_match")))
    assert "Use the prompt" in alone.advice[0]
    assert "word for word" not in " ".join(alone.advice)


def _named(final: Final, metric: str) -> Final:
    return replace(final, metrics={name.replace("token_f1", metric): score for name, score in final.metrics.items()})


def test_it_names_prompt_depth_share_rate_and_cost() -> None:
    levels = {**EQUAL, **DEEP, "prompt1/last_blocks-1": [0.8, 0.81, 0.8]}
    results = scored(levels)
    found = find(results).recommendation
    assert found is not None
    said = " ".join(found.sentences)
    assert 'Use the prompt "prompt1" (it reads: {{ source }} TL;DR:) and train the last block' in said
    assert "the last block (4,000 of 100,000 weights) at a learning rate of" in said
    assert "Training it once took 10 s here." in said
    assert "It beats the baseline prompt0/full" in said
    assert "No other cell may be as good." in said
    assert recommendation_facts(found) == {
        "cell": "prompt1/last_blocks-1",
        "prompt": "prompt1",
        "tuning": "last_blocks-1",
        "learning_rate": results.cells[4].learning_rate,
        "hyperparameters": {"learning_rate": results.cells[4].learning_rate},
        "cheapest": None,
    }


def test_the_cheapest_that_may_be_as_good_is_named_with_what_it_spares() -> None:
    levels = {**EQUAL, **DEEP, "prompt1/full": [0.61, 0.63, 0.6]}
    found = find(scored(levels)).recommendation
    assert found is not None
    assert found.cell.id == "prompt1/full"
    assert found.cheapest is not None
    assert found.cheapest.tuning == "last_blocks-1"
    assert "with the last block trained is not told apart from it" in found.sentences[2]
    assert "trains in 10 s" in found.sentences[2]
    zero = find(scored(dict.fromkeys(levels, [0.5, 0.52, 0.5]) | {"prompt0/none": [0.5]})).recommendation
    assert zero is not None
    assert "needs no training at all" in zero.sentences[2]


@pytest.mark.parametrize("higher", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_cell_that_is_far_worse_on_test_is_not_offered_as_quicker(higher: bool) -> None:
    """Which few rows leave undecided: by a metric of which more is better, and by what is missing to its best."""
    best, quick = "prompt1/full", "prompt1/last_blocks-1"
    levels = {**EQUAL, **dict.fromkeys(DEEP, [0.1, 0.9, 0.5]), best: [0.8, 0.8, 0.8]}
    for share, named in ((0.4, False), (0.79, True), (0.9, True)):
        results = scored({**levels, quick: [share] * 3}, rows=4, noise=0.3)
        cells = tuple(cell for cell in results.cells if cell.id in (best, quick, "prompt0/full"))
        forced = tuple(_on_validation(cell, 1.0 if cell.id == best else 0.0) for cell in cells)
        plain = replace(results, cells=forced)
        findings = find(plain if higher else _of_errors(plain))
        assert findings.verdicts is not None
        assert quick in findings.verdicts.group
        assert findings.recommendation is not None
        gain = findings.verdicts.scores[quick].value - findings.verdicts.scores[best].value
        assert ((gain if higher else -gain) > -0.08) == named, "what the rows came to"
        assert (findings.recommendation.cheapest is not None) == named


def _of_errors(results: Results) -> Results:
    """Return results by the distance to the best score, of which less is better."""
    metric = results.metric
    assert not isinstance(metric, str)
    own = {"higher_is_better": False, "reduce": lambda rows: 1.0 - metric.reduce(rows)}
    cells = tuple(_on_validation(c, 1.0 - c.score("validation/token_f1")) for c in results.cells)
    return replace(results, metric=replace(metric, **own), maximize=False, cells=cells)


@pytest.mark.slow
def test_no_cell_is_called_less_good_that_was_not_shown_to_be() -> None:
    """One that lost a seed, one that beats it on test, any by a metric that cannot be tested."""
    best = "prompt1/last_blocks-1"
    plain = scored({**EQUAL, **DEEP, best: [0.8, 0.81, 0.8]})
    lost = tuple(replace(cell, diverged_finals=int(cell.id == "prompt1/full")) for cell in plain.cells)
    behind = scored(
        {**EQUAL, **dict.fromkeys(DEEP, [0.3, 0.31, 0.3]), "prompt0/full": [0.6, 0.61, 0.6], best: [0.8, 0.81, 0.8]}
    )
    lower = tuple(_on_validation(cell, 0.9 if cell.id == "prompt0/full" else 0.1) for cell in behind.cells)
    assert not isinstance(plain.metric, str)
    kinds = replace(plain.metric, reduce=lambda rows: float(len({tuple(np.ravel(row)) for row in rows})))
    beaten = find(replace(behind, cells=lower)).recommendation
    assert beaten is not None
    assert f"On test {best} beats it" in " ".join(beaten.sentences)
    for results in (replace(plain, cells=lost), replace(behind, cells=lower), replace(plain, metric=kinds)):
        found = find(results).recommendation
        assert found is not None
        assert found.cheapest is None
        assert "may be as good" not in " ".join(found.sentences)


def _on_validation(cell: CellResult, score: float) -> CellResult:
    finals = [replace(final, metrics={**final.metrics, "validation/token_f1": score}) for final in cell.finals]
    return replace(cell, finals=tuple(finals))


def test_a_zero_shot_cell_that_ranks_first_asks_for_no_training() -> None:
    found = find(scored({name: [0.2, 0.2, 0.21] for name in DEEP} | {"prompt0/none": [0.1], "prompt1/none": [0.5]}))
    assert found.recommendation is not None
    use = 'Use the prompt "prompt1" (it reads: {{ source }} TL;DR:) with the model as it comes'
    assert use in found.recommendation.sentences[0]
    assert found.recommendation.cheapest is None


@pytest.mark.parametrize("deep", [0.8, 0.5])
def test_the_question_is_answered_as_far_as_the_tests_allow(deep: float) -> None:
    levels = {name: [deep, deep + 0.01, deep] for name in DEEP} | {"prompt0/none": [0.5], "prompt1/none": [0.5]}
    findings = find(scored(levels, noise=0.25))
    assert findings.recommendation is not None
    said = " ".join(findings.recommendation.sentences)
    assert findings.verdicts is not None
    assert findings.verdicts.effects is not None
    decided = {
        axis: any(row.verdict != "undecided" for row in rows) for axis, rows in findings.verdicts.effects.main.items()
    }
    assert decided["tuning"] == (deep == 0.8)
    alone = {row.a for row in findings.verdicts.effects.main["tuning"] if row.verdict != "undecided"} == {"none"}
    answer = "That something is trained at all does:" if alone else "Yes:"
    assert (f"Does the depth of training matter? {answer}" in said) == decided["tuning"]
    assert alone == (deep == 0.8), "the trained depths are alike"
    assert ("Does the prompt matter? Yes:" in said) == decided["prompt"]
    assert "Does the effect of the prompt depend on the depth of training?" in said


def test_what_goes_beyond_the_parts_is_said_with_how_much() -> None:
    levels = {**EQUAL, **DEEP, "prompt1/last_blocks-1": [0.1, 0.11, 0.1]}
    findings = find(scored(levels))
    assert findings.verdicts is not None
    assert findings.verdicts.effects is not None
    (rows,) = findings.verdicts.effects.interactions.values()
    decided = [row for row in rows if row.verdict != "undecided"]
    assert decided, "else the words are not tried"
    said = " ".join(findings.advice)
    assert "Yes, going by what each does on its own, added up: " in said
    for row in decided:
        assert f"{row.a} (by {score(abs(row.difference.value))})" in said


def _by(results: Results, name: str) -> Results:
    """Return results that are scored by the same metric under another name."""
    assert isinstance(results.metric, Metric)
    cells = tuple(replace(c, finals=tuple(_named(final, name) for final in c.finals)) for c in results.cells)
    return replace(results, cells=cells, lead=name, metric=replace(results.metric, name=name))


def test_of_a_metric_of_one_s_own_it_is_not_said_what_it_counts() -> None:
    results = scored({**EQUAL, **dict.fromkeys(DEEP, [0.3, 0.31, 0.3])})
    assert "counts likeness to the target" in " ".join(find(results).advice)
    said = " ".join(find(_by(results, "name_right")).advice)
    assert "likeness" not in said
    assert "Read some of its answers first." in said


def test_answers_that_are_labels_are_right_or_wrong() -> None:
    results = scored({**EQUAL, **dict.fromkeys(DEEP, [0.3, 0.31, 0.3])})
    said = " ".join(find(_by(results, "macro_f1")).advice)
    assert "likeness" not in said


def test_the_seeds_that_do_not_do_are_those_of_the_trained_cell() -> None:
    results = scored({**EQUAL, **dict.fromkeys(DEEP, [0.3, 0.5, 0.4]), "prompt0/none": [0.6]}, rows=40, noise=0.1)
    findings = find(results)
    assert findings.verdicts is not None
    assert findings.verdicts.needed is not None
    assert findings.verdicts.needed.examples is None, "else the words are not tried"
    assert findings.verdicts.best == "prompt0/none"
    assert "needs more seeds, that is final runs a cell, than 3" in " ".join(findings.advice)


def test_a_row_that_needs_no_model_is_compared_in_words_and_cautioned() -> None:
    plain = referenced(study())
    ahead = replace(plain, references={"lead": {"validation/rougeL": 2.0, "test/rougeL": 0.1}})
    findings = find(ahead)
    assert "The best rule that needs no model, lead, scores" in findings.answer
    assert "lead, which needs no model, scores higher on validation than every cell: 2.00" in " ".join(
        cautions(ahead, findings)
    )
    assert findings.advice[0].startswith("Before any of these combinations, take lead: it needs no model")
    behind = replace(plain, references={"lead": {"validation/rougeL": 0.01, "test/rougeL": 0.1}})
    assert "needs no model" in find(behind).answer
    assert not [one for one in cautions(behind, find(behind)) if "needs no model" in one]
    untested = replace(ahead, answers=None)
    assert "needs no model" in cautions(untested, find(untested))[0]


def test_where_lower_is_better_a_lower_row_leads() -> None:
    plain = replace(referenced(study()), maximize=False)
    for validation, leads in ((-1.0, True), (2.0, False)):
        results = replace(plain, references={"lead": {"validation/rougeL": validation, "test/rougeL": 0.1}})
        assert any("scores lower on validation" in one for one in cautions(results, find(results))) is leads


def test_page_markdown_and_file_carry_it(tmp_path: Path) -> None:
    results = sized(study(examples=60))
    findings = find(results)
    assert findings.recommendation is not None
    markdown = write_report(results, tmp_path).read_text(encoding="utf-8")
    program = json.loads((tmp_path / "verdicts.json").read_text(encoding="utf-8"))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert program["recommendation"]["cell"] == findings.recommendation.cell.id == program["best"]
    assert program["cautions"] == cautions(results, findings)
    for text in (page, markdown):
        first = text.replace("&#34;", chr(34)).index(findings.recommendation.sentences[0])
        assert first < text.index(findings.answer)
        assert first < text.index("Ranked by")
    assert markdown.index("figures/depths.png") < markdown.index("## Ranked by")
    assert page.index('aria-label="rougeL of each prompt') < page.index('id="ranking"')


def test_the_report_says_what_was_run_and_where_the_model_is(tmp_path: Path) -> None:
    written = {
        "name": "made-up",
        "task": "summarization",
        "prompts": ["bare"],
        "tuning": [{"last_blocks": 1}, "full"],
        "model": {"name": "small"},
        "training": {"epochs": 3, "batch_size": 8},
        "search": {"storage": "postgresql://me:secret@host/db"},
    }
    settings = StudySpec.model_validate(written).model_dump()
    kept = KeptModels("models:/m-1", "run", "prompt1/full", ("run",))
    results = replace(sized(study()), settings=settings, started=1.75e9, kept=kept)
    assert study_facts(results) == {
        "date": "2025-06-15",
        "model": "small",
        "weights": "last_blocks-1 trains 4,000 of 100,000; full trains 100,000 of 100,000",
        "epochs": "3",
        "batch size": "8",
        "runs": "6 cells, 16 trials, 10 final runs",
    }
    assert "secret" not in study_file(results)
    assert "revision" not in study_file(results)
    assert StudySpec.model_validate(yaml_value(study_file(results).replace("***", "secret"))).model_dump() == settings
    model = best_model(results)
    assert model is not None
    for text in (html(results).replace("&#34;", '"'), write_report(results, tmp_path).read_text(encoding="utf-8")):
        for said in ("2025-06-15", "batch_size: 8", model.python, model.command, "prompt1/full"):
            assert said in text
    assert best_model(replace(results, kept=KeptModels(None, None, None, ()))) is None


@pytest.mark.slow
def test_every_metric_stands_in_page_and_markdown(tmp_path: Path) -> None:
    plain = study()
    more = {"validation/chrf": 41.25, "test/chrf": 43.75}
    cells = tuple(
        replace(cell, finals=tuple(replace(final, metrics={**final.metrics, **more}) for final in cell.finals))
        for cell in plain.cells
    )
    results = replace(plain, cells=cells, metrics=("rougeL", "chrf", "loss"))
    for text in (html(results), write_report(results, tmp_path).read_text(encoding="utf-8")):
        assert "chrf validation" in text
        assert text.count("41.25") == text.count("43.75") == len(cells)


@pytest.mark.parametrize(("seeds", "told"), [(1, True), (3, False)])
def test_effects_of_single_runs_are_of_these_models_alone(seeds: int, told: bool) -> None:
    recommendation = find(study(seeds=seeds, examples=60)).recommendation
    assert recommendation is not None
    claims = [one for one in recommendation.sentences if "Yes: on average" in one]
    assert claims
    for claim in claims:
        assert claim.endswith(".")
        assert ("; with one final run a cell that holds for these trained models, not for other seeds" in claim) is told


def test_the_head_says_of_which_model_and_prompts_so_many_weights_train() -> None:
    def counted(one: CellResult, model: str) -> CellResult:
        whole = {"small": 1000, "large": 9000}[model] + 5 * (one.factors["prompt"] == "prompt1")
        params = {"trainable_parameters": str(whole // 10), "parameters": str(whole)}
        return replace(one, factors={**one.factors, "model": model}, params=params)

    cells = [one for one in study(prompts=3).cells if one.tuning == "full"]
    made = replace(study(), cells=tuple(counted(one, model) for model in ("small", "large") for one in cells))
    assert study_facts(made)["weights"].split("; ") == [
        "full of small under prompt0, prompt2 trains 100 of 1,000",
        "full of small under prompt1 trains 100 of 1,005",
        "full of large under prompt0, prompt2 trains 900 of 9,000",
        "full of large under prompt1 trains 900 of 9,005",
    ]
