"""Losses of labels, of tokens, and of other tokenizers: told apart in words, and no tie is settled by what differs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.report.charts.gallery import gallery
from harness.report.report_facts import report_facts
from harness.report.text.findings import find
from harness.results.collect import Results
from harness.results.unlike_losses import loss_unit, unlike_losses
from tests.support.made_up_results import study


def choosing(results: Results, *prompts: str) -> Results:
    """Return results in which cells of some prompts chose among labels."""
    assert results.answers is not None
    answered = {
        name: said._replace(
            runs=tuple(tuple(one._replace(probabilities={one.text: 1.0}) for one in run) for run in said.runs)
        )
        if name.startswith(prompts)
        else said
        for name, said in results.answers.cells.items()
    }
    return replace(results, answers=results.answers._replace(cells=answered))


def of_models(results: Results) -> Results:
    """Return results whose cells have two tokenizers."""
    cells = tuple(replace(cell, tokenizer=f"t{place % 2}") for place, cell in enumerate(results.cells))
    return replace(results, cells=cells)


TEXTS, LABELS = (study(), choosing(study(), "prompt"))
BOTH = choosing(study(), "prompt0")
CASES = {
    "texts": (TEXTS, "", "nats a token", "a token of the targets surprises"),
    "texts, two tokenizers": (of_models(TEXTS), "have different tokenizers", "nats a token", "a token of the targets"),
    "labels, two tokenizers": (of_models(LABELS), "", "nats a row", "how much the right label, among all labels,"),
    "labels and texts": (
        BOTH,
        "answered in two ways",
        "nats a row of labels, a token of texts",
        "targets, or the right",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_said_of_losses(case: str) -> None:
    results, unlike, unit, word = CASES[case]
    said = unlike_losses(results.cells, results.answers)
    assert unlike in said
    assert bool(unlike) == bool(said)
    assert loss_unit(results.cells, results.answers) == unit
    findings = find(results)
    facts = report_facts(results, findings, charts := gallery(results, findings))
    assert facts["unlike"] == said
    assert word in facts["glossary"]["loss"]
    assert charts.learning_curves is not None
    assert charts.learning_curves.y.label == f"loss ({unit})"


@pytest.mark.parametrize("case", CASES)
def test_equal_scores_are_settled_by_losses_that_mean_the_same_alone(case: str) -> None:
    results, unlike, *_ = CASES[case]
    cells = []
    for place, cell in enumerate(results.cells):
        scores = {"validation/rougeL": 0.5, "validation/loss": 9.0 - place}
        finals = tuple(replace(final, metrics={**final.metrics, **scores}) for final in cell.finals)
        cells.append(replace(cell, finals=finals))
    ids = [cell.id for cell in cells]
    assert [cell.id for cell in replace(results, cells=tuple(cells)).ranked()] == (ids if unlike else ids[::-1])
