"""Degenerate studies: nothing is crowned, what is no number does not rank, what was lost is told."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.metrics import get
from harness.report.ranked_table import ranked_table
from harness.report.text.cautions import cautions
from harness.report.text.findings import find
from harness.report.write_report import write_report
from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.results.degenerate import nothing_ranks
from harness.runner.result import Result
from harness.stats.answers import Answered, Answers
from tests.support.first_of_kind import first_of_kind
from tests.support.made_up_results import html, study


def changed(results: Results, change: Callable[[CellResult], CellResult]) -> Results:
    return replace(results, cells=tuple(change(cell) for cell in results.cells))


def with_metrics(cell: CellResult, **metrics: float) -> CellResult:
    named = {name.replace("_", "/", 1): value for name, value in metrics.items()}
    return replace(cell, finals=tuple(replace(final, metrics={**final.metrics, **named}) for final in cell.finals))


def answering(results: Results, text: Callable[[str, int, str], str]) -> Results:
    """Return results whose predictions are made anew, of cell, row and text."""
    assert results.answers is not None
    cells = {
        name: Answered(
            tuple(
                tuple(one._replace(text=text(name, row, one.text)) for row, one in enumerate(run)) for run in cell.runs
            ),
            cell.seeded,
        )
        for name, cell in results.answers.cells.items()
    }
    return replace(results, answers=Answers(results.answers.examples, cells, {}))


def equal(value: float) -> Results:
    return changed(study(), lambda cell: with_metrics(cell, validation_rougeL=value, test_rougeL=value))


DEGENERATE = {
    "all 0": equal(0.0),
    "all alike": equal(0.4321),
    "undefined": changed(study(), lambda cell: with_metrics(cell, validation_rougeL=math.nan)),
    "infinite": changed(study(), lambda cell: with_metrics(cell, validation_rougeL=math.inf)),
    "empty": answering(study(), lambda cell, row, text: " " * (row % 2)),
    "alike on test alone": changed(study(), lambda cell: with_metrics(cell, test_rougeL=0.0)),
    "every loss is no number": changed(study(), lambda cell: with_metrics(cell, validation_loss=math.nan)),
}


@pytest.mark.parametrize("kind", first_of_kind(DEGENERATE))
def test_nothing_is_crowned(kind: str, tmp_path: Path) -> None:
    results = DEGENERATE[kind]
    findings = find(results)
    assert findings.answer.startswith("Nothing can be ranked: ")
    assert (findings.first, findings.recommendation, findings.group) == (None, None, ())
    assert Result(results, findings).first is None
    assert {row.rank for row in ranked_table(results, findings)} == {None}
    markdown = write_report(results, tmp_path).read_text(encoding="utf-8")
    program = json.loads((tmp_path / "verdicts.json").read_text(encoding="utf-8"))
    assert (program["recommendation"], program["comparisons"]) == (None, [])
    assert results.answers is not None
    first = results.answers.examples[0]
    assert ("(Samples in the report)" in findings.answer) == ("read some predictions" in findings.answer)
    for page in (markdown, (tmp_path / "report.html").read_text(encoding="utf-8")):
        assert first.source in page
        assert results.answers.cells[results.ranked()[0].id].runs[0][0].text.strip() in page
    assert "What the budget bought" not in markdown or len({t.value for c in results.cells for t in c.trials}) > 1
    for text in (html(results), markdown):
        assert "Nothing can be ranked" in text
        assert "ranks first" not in text
        assert not re.search(r"\bnan\b", text)


def test_where_all_cells_are_perfect_the_least_loss_ranks_first() -> None:
    perfect = replace(equal(1.0), metric=get("rougeL"))
    by_loss = {cell.id: 1.0 + place for place, cell in enumerate(reversed(perfect.cells))}
    results = changed(perfect, lambda cell: with_metrics(cell, validation_loss=by_loss[cell.id]))
    assert nothing_ranks(results) == ""
    assert results.ranked()[0].id == min(by_loss, key=by_loss.__getitem__)


@pytest.mark.parametrize(("score", "ranks"), [(0.0, False), (0.5, True), (1.0, True)])
def test_a_tie_on_test_alone_undoes_no_ranking_unless_nothing_was_right(score: float, ranks: bool) -> None:
    results = changed(study(), lambda cell: with_metrics(cell, test_rougeL=score))
    assert bool(nothing_ranks(results)) != ranks


@pytest.mark.parametrize("lead", ["perplexity", "loss"])
def test_empty_predictions_say_nothing_against_a_likelihood(lead: str) -> None:
    plain = DEGENERATE["empty"]
    named = changed(
        plain,
        lambda cell: with_metrics(
            cell, **{f"{split}_{lead}": cell.score(f"{split}/rougeL") for split in ("validation", "test")}
        ),
    )
    assert nothing_ranks(named) == "all predictions on test are empty"
    assert nothing_ranks(replace(named, lead=lead, maximize=False)) == ""


@settings(max_examples=30, deadline=None)
@given(
    scores=st.lists(st.sampled_from([0.1, 0.25, 0.5, math.nan, math.inf, -math.inf]), min_size=6, max_size=6),
    maximize=st.booleans(),
)
def test_a_score_that_is_no_number_never_ranks(scores: list[float], maximize: bool) -> None:
    plain = study(examples=8, trials=1)
    cells = tuple(with_metrics(cell, validation_rougeL=score) for cell, score in zip(plain.cells, scores, strict=True))
    results = replace(plain, cells=cells, maximize=maximize)
    findings = find(results)
    by_name = {cell.id: score for cell, score in zip(cells, scores, strict=True)}
    rows = [row for row in ranked_table(results, findings) if not row.is_reference]
    ranked = [row for row in rows if row.rank]
    assert rows[: len(ranked)] == ranked
    assert all(math.isfinite(by_name[row.name]) for row in ranked)
    finite = {score for score in scores if math.isfinite(score)}
    assert bool(ranked) == (findings.first is not None) == (len(finite) > 1 or sum(map(math.isfinite, scores)) == 1)
    if findings.first:
        assert by_name[findings.first] == (max(finite) if maximize else min(finite))


def test_a_cell_whose_loss_is_no_number_ranks_last_and_takes_no_part() -> None:
    """As the zero-shot cell of a checkpoint with one weight that is NaN."""
    best = "prompt1/full"
    results = changed(study(), lambda cell: with_metrics(cell, validation_loss=math.nan) if cell.id == best else cell)
    findings = find(results)
    assert findings.first != best
    assert [row.rank for row in ranked_table(results, findings) if row.name == best] == [None]
    assert findings.verdicts is not None
    assert best not in findings.group
    assert any(
        f"{best}: the score or the loss on validation is no number" in one for one in cautions(results, findings)
    )


def test_empty_predictions_are_counted_from_a_share_on() -> None:
    few = answering(study(examples=60), lambda cell, row, text: "" if row < 2 else text)
    assert not [one for one in cautions(few, find(few)) if one.startswith("Empty predictions")]
    some = answering(study(examples=60), lambda cell, row, text: "" if row < 3 and cell == "prompt0/full" else text)
    (said,) = [one for one in cautions(some, find(some)) if one.startswith("Empty predictions")]
    assert "prompt0/full 5%" in said
    assert "prompt1" not in said
    assert "empty on test" in html(few)


@pytest.mark.parametrize(
    ("rows", "groups", "said"),
    [
        (49, None, "only 49 test examples"),
        (50, None, ""),
        (60, 6, "only 6 test groups"),
        (60, 1, "is only 1 test group:"),
        (120, 60, ""),
    ],
)
def test_few_test_rows_or_groups_are_a_caution(rows: int, groups: int | None, said: str) -> None:
    results = study(examples=rows)
    assert results.answers is not None
    examples = tuple(
        replace(example, group=str(number % groups) if groups else None)
        for number, example in enumerate(results.answers.examples)
    )
    results = replace(results, answers=results.answers._replace(examples=examples))
    findings = find(results)
    told = " ".join(one for one in cautions(results, findings) if "below 50" in one)
    assert said in told
    assert bool(told) == bool(said)
    assert ("a single test group of examples compares nothing" in findings.answer) == (groups == 1)


@pytest.mark.parametrize("lost", first_of_kind(["prompt0/last_blocks-1", "prompt0/full", "prompt1/full"]))
def test_a_cell_with_diverged_seeds_has_no_verdict(lost: str, tmp_path: Path) -> None:
    """Any cell, the baseline, the one that would rank first."""
    results = changed(
        study(seeds=3, examples=60), lambda cell: replace(cell, diverged_finals=1) if cell.id == lost else cell
    )
    findings = find(results)
    assert findings.verdicts is not None
    assert findings.first != lost
    assert lost not in findings.group
    markdown = write_report(results, tmp_path).read_text(encoding="utf-8")
    program = json.loads((tmp_path / "verdicts.json").read_text(encoding="utf-8"))
    reason = f"1 of 4 final runs of {lost} diverged"
    touched = [one for one in program["comparisons"] if lost in (one["a"], one["b"])]
    assert touched
    assert {(one["verdict"], one["p"], one["low"], one["reason"]) for one in touched} == {
        ("undecided", None, None, reason)
    }
    others = [one for one in program["comparisons"] if lost not in (one["a"], one["b"])]
    assert {one["reason"] for one in others} == {None}
    assert lost not in program["not_distinguishable"]
    for text in (html(results), markdown):
        assert reason in text
    assert f"undecided ({reason})" in markdown


def test_where_every_cell_lost_seeds_nothing_is_recommended() -> None:
    results = changed(study(seeds=2), lambda cell: replace(cell, diverged_finals=1))
    findings = find(results)
    assert findings.recommendation is None
    assert "nothing is claimed of it: 1 of " in findings.answer


@pytest.mark.slow
def test_a_metric_that_cannot_be_tested_is_said_where_the_differences_would_stand(tmp_path: Path) -> None:
    plain = study(seeds=2, examples=60)
    assert not isinstance(plain.metric, str)
    kinds = replace(plain.metric, reduce=lambda rows: float(len({tuple(np.ravel(row)) for row in rows})))
    results = replace(plain, metric=kinds)
    findings = find(results)
    assert findings.verdicts is not None
    assert findings.verdicts.untestable
    for text in (html(results), write_report(results, tmp_path).read_text(encoding="utf-8")):
        rest = text[
            text.index("Differences to the baseline</h2>" if "</h2>" in text else "## Differences to the baseline") :
        ]
        assert "Nothing is tested: rougeL of resampled examples" in rest[:800]
        assert "| undecided |" not in text
        assert "tag undecided" not in text
    assert not [one for one in cautions(results, findings) if "nan" in one]
