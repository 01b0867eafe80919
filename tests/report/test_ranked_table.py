"""The ranked table, made once: terminal, Markdown, page and notes show the same rows in the same order."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from harness.cli.results_table import print_results
from harness.report.mlflow_pages.descriptions import StudyLinks, summary_note
from harness.report.number_format import study_places
from harness.report.plain_tables import all_scores
from harness.report.ranked_table import ranked_table, text_row
from harness.report.text.findings import find
from harness.report.write_report import write_report
from harness.results.collect import Results
from harness.study.search_space import Hyperparameters
from harness.tracking.mlflow.ui_views import Address
from tests.support.made_up_results import referenced, study


@pytest.fixture(scope="module")
def results() -> Results:
    """Reference rows stand below; one cell has no final runs, and in another all trials diverged."""
    plain = referenced(study())
    lucky = replace(plain.cells[1], finals=(), best={"validation/rougeL": 0.99})
    trials = tuple(replace(trial, state="diverged") for trial in plain.cells[2].trials)
    lost = replace(plain.cells[2], finals=(), hyperparameters=Hyperparameters(), trials=trials)
    return replace(plain, cells=(plain.cells[0], lucky, lost, *plain.cells[3:]))


def test_values_are_those_of_the_cells(results: Results) -> None:
    findings = find(results)
    rows = ranked_table(results, findings)
    cells = results.ranked()
    assert [(row.rank, row.name) for row in rows] == [
        *((rank if cell.ranks_by("rougeL") else None, cell.id) for rank, cell in enumerate(cells, start=1)),
        (None, "reference: lead"),
    ]
    for row, cell in zip(rows, cells, strict=False):
        scores = [final.metrics["test/rougeL"] for final in cell.finals]
        assert row.finals == len(scores)
        if scores:
            assert row.test.mean == pytest.approx(float(np.mean(scores)))
        if len(scores) > 1:
            assert row.test.deviation == pytest.approx(float(np.std(scores, ddof=1)))
        assert row.in_group == (cell.id in findings.group)
        assert row.is_baseline == (cell.id == results.baseline)
    assert [row.name for row in rows if row.all_diverged] == ["prompt0/full"]


def test_every_layout_has_the_same_rows(results: Results, tmp_path: Path) -> None:
    findings, terminal = find(results), io.StringIO()
    rows = [text_row(row, study_places(results)) for row in ranked_table(results, findings)]
    print_results(Console(file=terminal, width=200), results, findings)
    printed = [re.split(r" {2,}", line.strip()) for line in terminal.getvalue().splitlines()]
    assert [line for line in printed if line in rows] == rows
    markdown = write_report(results, tmp_path).read_text(encoding="utf-8")
    table = [line.strip("| ").replace(" ●", "").split(" | ")[:5] for line in markdown.splitlines()]
    assert [line for line in table if line in rows] == rows
    parents = {cell.id: "run" for cell in results.cells}
    note = summary_note(results, findings, StudyLinks(Address("7"), [], "summary", parents, {}))
    linked = [re.sub(r"\[(.+?)\]\(\S+\)", r"\1", line).strip("| ").split(" | ")[:5] for line in note.splitlines()]
    assert [line for line in linked if line in rows] == [row for row in rows if not row[1].startswith("reference")]


def test_a_column_has_as_many_decimals_in_every_row(results: Results) -> None:
    losses = iter([2.36, 1.4425, 2.33, 0.5, 3.0, 1.0])
    cells = tuple(
        replace(cell, finals=tuple(replace(one, metrics={**one.metrics, "test/rougeL": loss}) for one in cell.finals))
        for cell, loss in zip(results.cells, losses, strict=False)
    )
    mixed = replace(results, cells=cells)
    table = all_scores(mixed)
    columns = [*zip(*table.rows, strict=True)][1:]
    columns += [*zip(*(text_row(row, study_places(mixed)) for row in ranked_table(mixed, find(mixed))), strict=True)][
        3:
    ]
    for column in columns:
        decimals = {len(number.partition(".")[2]) for text in column for number in re.findall(r"\d+\.\d+", text)}
        assert len(decimals) == 1, column
