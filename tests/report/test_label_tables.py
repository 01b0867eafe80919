"""The report label by label: scikit-learn's figures over all final runs, and the diagram of their probabilities."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from harness.core.example import Prediction
from harness.report.charts.reliability import reliability_diagram
from harness.report.label_tables import labels_of_first
from harness.report.text.findings import Findings, find
from harness.results.collect import Results
from harness.stats.answers import Answered, Answers
from tests.support.made_up_results import html, study

LABELS = ["work", "home", "fun"]


def labelled() -> tuple[Results, Findings]:
    """Return results whose answers are labels with probabilities, mostly right."""
    plain, drawn = study(), random.Random(1)
    assert plain.answers is not None
    examples = tuple(replace(one, target=drawn.choice(LABELS), references=()) for one in plain.answers.examples)
    examples = tuple(replace(one, references=(one.target,)) for one in examples)

    def said(id: str, target: str) -> Prediction:
        text = target if drawn.random() < 0.7 else drawn.choice(LABELS)
        share = drawn.uniform(0.4, 1.0)
        shares = {label: share if label == text else (1 - share) / 2 for label in LABELS}
        return Prediction(id, text, 0.5, 1, probabilities=shares)

    cells = {
        cell: Answered(tuple(tuple(said(one.id, one.target) for one in examples) for _ in answered.runs), True)
        for cell, answered in plain.answers.cells.items()
    }
    results = replace(plain, answers=Answers(examples, cells, {}))
    return results, find(results)


def test_scores_and_confusions_are_those_of_scikit_learn() -> None:
    results, findings = labelled()
    tables = labels_of_first(results, findings)
    assert tables is not None
    assert results.answers is not None
    runs = results.answers.cells[tables.cell].runs
    right = [one.target for _ in runs for one in results.answers.examples]
    texts = [one.text for run in runs for one in run]
    wanted = precision_recall_fscore_support(right, texts, labels=LABELS, zero_division=0.0)
    for place, row in enumerate(tables.scores.rows):
        assert row[0] == LABELS[place]
        assert int(row[1]) * len(runs) == wanted[3][place]
        assert list(map(float, row[2:])) == pytest.approx([wanted[part][place] for part in range(3)], abs=6e-4)
    counts = confusion_matrix(right, texts, labels=LABELS) / len(runs)
    for shown, row in zip(tables.confusion.rows, counts, strict=True):
        assert list(map(float, shown[1:])) == pytest.approx(row.tolist())


def test_the_page_shows_them_and_the_diagram() -> None:
    results, findings = labelled()
    chart = reliability_diagram(results, findings)
    assert chart is not None
    dashed, line = chart.panels[0].lines
    assert [(point.x, point.y) for point in dashed.points] == [(0, 0), (1, 1)]
    assert results.answers is not None
    answers = [one for run in results.answers.cells[findings.first or ""].runs for one in run]
    assert sum(int(point.name.split()[0]) for point in line.points) == len(answers)
    assert all(0.4 <= point.x <= 1 for point in line.points)
    page = html(results)
    assert "What is taken for what" in page
    assert 'id="labels"' in page


def test_texts_have_no_such_tables() -> None:
    results = study()
    assert labels_of_first(results, find(results)) is None
    assert reliability_diagram(results, find(results)) is None
    assert 'id="labels"' not in html(results)
