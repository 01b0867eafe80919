"""From results to files: the page, ``report.md``, ``verdicts.json`` and the tables as csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from harness.report.charts.gallery import gallery
from harness.report.charts.matplotlib_files import draw
from harness.report.html.page import page
from harness.report.ranked_table import reference_rows
from harness.report.text.findings import Findings, find
from harness.report.text.headline import verdicts_json
from harness.report.text.markdown import markdown
from harness.results.collect import Results
from harness.results.cost_table import costs_csv
from harness.results.plan_vs_actual import predicted_rows
from harness.results.search_budget import expected_best_csv
from harness.stats import spread

__all__ = ["references_csv", "results_csv", "write_report"]


def results_csv(results: Results) -> str:
    """Return one row per cell in grid order, floats in full, empty where undefined; results alone, no times."""
    header = ["cell", "prompt", "tuning", *results.space.names, "seeds"]
    for metric in results.metrics:
        header += [f"validation_{metric}", f"validation_{metric}_sd", f"test_{metric}", f"test_{metric}_sd"]
    finals = [final for cell in results.cells for final in cell.finals]
    general = sorted({name for final in finals for name in final.metrics if name.startswith("generality/")})
    header += [name.replace("/", "_") for name in general]
    rows: list[list[str]] = []
    for cell in results.cells:
        winner = [str(cell.hyperparameters.get(name, "")) for name in results.space.names]
        row = [cell.id, cell.prompt, cell.tuning, *winner, str(len(cell.finals))]
        for metric in results.metrics:
            for name in (f"validation/{metric}", f"test/{metric}"):
                row += [_exact(cell.score(name)), _exact(spread(cell.values(name)))]
        rows.append([*row, *(_exact(cell.score(name)) for name in general)])
    return _csv(header, rows)


def references_csv(results: Results) -> str:
    """Return one row per reference row, with the columns of ``results.csv`` that it can fill."""
    names = [f"{split}/{metric}" for metric in results.metrics for split in ("validation", "test")]
    names = [name for name in names if any(name in row.metrics for row in results.references)]
    rows = [[row.name, *(_exact(row.metrics.get(name)) for name in names)] for row in results.references]
    return _csv(["reference", *(name.replace("/", "_") for name in names)], rows)


def _exact(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else repr(value)


def _csv(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def write_report(results: Results, folder: Path, *, findings: Findings | None = None) -> Path:
    """Write all files of a report into a folder and return ``report.md``.

    Args:
        results: The study.
        folder: Made where it is missing.
        findings: What may be claimed of it; left out, it is worked out here.
    """
    folder.mkdir(parents=True, exist_ok=True)
    findings = findings or find(results)
    charts = gallery(results, findings)
    draw(results, findings.verdicts, charts.charts(), folder / "figures")
    written = folder / "report.md"
    files = {
        "results.csv": results_csv(results),
        "references.csv": references_csv(results),
        "costs.csv": costs_csv(results),
        "expected_best.csv": expected_best_csv(results),
        "verdicts.json": verdicts_json(findings.answer, findings.verdicts),
        "report.html": page(
            results,
            findings,
            charts=charts,
            references=reference_rows(results),
            forecast=predicted_rows(results),
        ),
        written.name: markdown(results, findings, charts),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return written
