"""The tables that programs read, as csv: numbers in full, empty where the store does not say."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence

from harness.results.collect import Results
from harness.results.cost_table import CostRow, cost_table
from harness.results.prompt_transfer import PromptTransfer, score_under
from harness.results.search_budget import expected_best_curve
from harness.stats import spread
from harness.study.dimension import format_value
from harness.tracking.schema import Metrics, score_name

__all__ = ["costs_csv", "csv_text", "exact", "expected_best_csv", "references_csv", "results_csv", "transfer_csv"]


def results_csv(results: Results) -> str:
    """Return one row per cell in grid order, floats in full, empty where undefined; results alone, no times."""
    header = ["cell", *results.axes, *results.space.names, "seeds"]
    for metric in results.metrics:
        header += [f"validation_{metric}", f"validation_{metric}_sd", f"test_{metric}", f"test_{metric}_sd"]
    finals = [final for cell in results.cells for final in cell.finals]
    general = sorted({name for final in finals for name in final.metrics if name.startswith(Metrics.GENERALITY)})
    header += [name.replace("/", "_") for name in general]
    rows: list[list[str]] = []
    for cell in results.cells:
        own = cell.hyperparameters
        winner = [format_value(own[name]) if name in own else "" for name in results.space.names]
        row = [cell.id, *cell.factors.values(), *winner, str(len(cell.finals))]
        for metric in results.metrics:
            for name in (score_name("validation", metric), score_name("test", metric)):
                row += [exact(cell.score(name)), exact(spread(cell.values(name)))]
        rows.append([*row, *(exact(cell.score(name)) for name in general)])
    return csv_text(header, rows)


def references_csv(results: Results) -> str:
    """Return one row per reference row, with the columns of ``results.csv`` that it can fill."""
    names = [score_name(split, metric) for metric in results.metrics for split in ("validation", "test")]
    names = [name for name in names if any(name in metrics for metrics in results.references.values())]
    rows = [[row, *(exact(metrics.get(name)) for name in names)] for row, metrics in results.references.items()]
    return csv_text(["reference", *(name.replace("/", "_") for name in names)], rows)


def transfer_csv(found: PromptTransfer, results: Results) -> str:
    """Return one row per cell and prompt that its final models were asked under, floats in full."""
    header = ["cell", *results.axes, "asked_under"]
    header += [name for metric in results.metrics for name in (f"test_{metric}", f"test_{metric}_sd")]
    cells, rows = {cell.id: cell for cell in results.cells}, list[list[str]]()
    for row in found.rows:
        cell = cells[row.cell]
        for prompt in found.prompts:
            names = [score_under(prompt, row.prompt, metric) for metric in results.metrics]
            scores = [exact(value) for name in names for value in (cell.score(name), spread(cell.values(name)))]
            rows.append([cell.id, *cell.factors.values(), prompt, *scores])
    return csv_text(header, rows)


def costs_csv(results: Results) -> str:
    """Return what each cell took, in grid order, six digits of each number."""
    return csv_text(CostRow._fields, [[_six_digits(value) for value in row] for row in cost_table(results)])


def expected_best_csv(results: Results) -> str:
    """Return each cell's curve, a row for each number of trials; floats in full, empty where every trial diverged."""
    rows = [
        [cell.id, str(trials), exact(best)]
        for cell in results.cells
        for trials, best in enumerate(expected_best_curve(cell, results), start=1)
    ]
    return csv_text(["cell", "trials", f"expected_best_{results.objective}"], rows)


def exact(value: float | None) -> str:
    """Return a float in full, empty where it is undefined."""
    return "" if value is None or math.isnan(value) else repr(value)


def _six_digits(value: str | float | None) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if value is None else str(value)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()
