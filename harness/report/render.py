"""From results to files: the page, ``report.md``, ``verdicts.json`` and the tables as csv."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from harness.report.budgets import expected_best_csv
from harness.report.cautions import caption_on_test, cautions
from harness.report.charts import Chart
from harness.report.claims import digits, probability, verdicts_json
from harness.report.collect import CellResult, Results
from harness.report.costs import cost_line, costs_csv
from harness.report.figures import draw
from harness.report.findings import Findings, find
from harness.report.gallery import Gallery, gallery
from harness.report.page import page
from harness.report.predicted import predicted_rows
from harness.report.searches import searches
from harness.stats import spread

__all__ = ["RankedRow", "rank", "reference_rows", "references_csv", "results_csv", "write_report"]

LONGEST = 1200
"""Characters of the words that stand for a picture."""


class RankedRow(NamedTuple):
    """One line of the ranked table, ready to print."""

    rank: str
    cell: str
    learning_rate: str
    validation: str
    test: str


def rank(results: Results) -> list[RankedRow]:
    """Return the table, best on validation first."""
    rows = []
    for number, cell in enumerate(results.ranked(), start=1):
        failed = cell.tuning != "none" and cell.learning_rate is None and bool(cell.trials)
        rows.append(
            RankedRow(
                rank=str(number),
                cell=cell.id,
                learning_rate="-" if cell.learning_rate is None else f"{cell.learning_rate:.2g}",
                validation="all diverged" if failed else _shown(cell, f"validation/{results.lead}"),
                test=_shown(cell, f"test/{results.lead}"),
            )
        )
    return rows


def reference_rows(results: Results) -> list[RankedRow]:
    """Return what stands below the ranked table: results that need no model."""
    rows = []
    for row in results.references:
        scores = [_number(row.metrics.get(f"{split}/{results.lead}", math.nan)) for split in ("validation", "test")]
        rows.append(RankedRow("-", f"reference: {row.name}", "-", *scores))
    return rows


def _shown(cell: CellResult, metric: str) -> str:
    return _number(cell.score(metric), spread(cell.values(metric)))


def _number(score: float, deviation: float = math.nan) -> str:
    if math.isnan(score):
        return "-"
    digits = 4 if abs(score) < 1.5 else 2
    return f"{score:.{digits}f}" + ("" if math.isnan(deviation) else f" ± {deviation:.{digits}f}")


def results_csv(results: Results) -> str:
    """Return one row per cell in grid order, floats in full, empty where undefined; results alone, no times."""
    header = ["cell", "prompt", "tuning", "learning_rate", "seeds"]
    for metric in results.metrics:
        header += [f"validation_{metric}", f"validation_{metric}_sd", f"test_{metric}", f"test_{metric}_sd"]
    finals = [final for cell in results.cells for final in cell.finals]
    general = sorted({name for final in finals for name in final.metrics if name.startswith("generality/")})
    header += [name.replace("/", "_") for name in general]
    rows: list[list[str]] = []
    for cell in results.cells:
        row = [cell.id, cell.prompt, cell.tuning, _exact(cell.learning_rate), str(len(cell.finals))]
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
        written.name: _page(results, findings, charts),
    }
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return written


def _page(results: Results, findings: Findings, charts: Gallery) -> str:
    sections = [
        f"# {results.study}",
        results.question,
        findings.answer,
        "\n".join(f"- {sentence}" for sentence in cautions(results, findings)),
        f"## Ranked by {results.lead} on validation",
        _ranked(results, findings),
        f"Mean ± standard deviation of {results.lead} over final seeds. {caption_on_test(results)} "
        f"Baseline: {results.baseline}.",
        *_differences(findings),
        *_by_depth(results, charts),
        *(f"## {heading}\n\n{_image(chart.alt, chart.name)}" for heading, chart in _headed(charts) if chart),
        "## Search",
        searches(results),
        "## Data",
        _pairs(results.data),
        "## Cost",
        cost_line(results),
        *_forecast(results),
        "## Provenance",
        _pairs(results.provenance),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _by_depth(results: Results, charts: Gallery) -> list[str]:
    if charts.depths is None:
        return []
    shades = f"{results.lead} by prompt and depth as shades; the numbers are those of the ranked table"
    return ["## Prompts by depth", _image(shades, "heat"), _image(charts.depths.alt, charts.depths.name)]


def _headed(charts: Gallery) -> list[tuple[str, Chart | None]]:
    """Return the other charts with their headings, in the order of the page."""
    return [
        ("Score over learning rate", charts.learning_rates),
        ("What a smaller search would have found", charts.expected),
        ("Learning curves", charts.learning_curves),
        *((f"Quality against {found.chart.x.label}", found.chart) for found in charts.tradeoffs),
    ]


def _image(alt: str, name: str) -> str:
    """Return a figure with the words that stand for it, in which nothing may end the Markdown."""
    said = " ".join(alt.replace("[", "(").replace("]", ")").split())
    if len(said) > LONGEST:
        said = f"{said[:LONGEST].rpartition(';')[0]}; and so on"
    return f"![{said}](figures/{name}.png)"


def _ranked(results: Results, findings: Findings) -> str:
    """Return the ranked table; with verdicts, each cell's interval, and a mark where it is not told apart."""
    header = [name.replace("_", " ") for name in RankedRow._fields]
    rows: list[list[str]] = [list(row) for row in rank(results)]
    references: list[list[str]] = [list(row) for row in reference_rows(results)]
    if not findings.verdicts:
        return _table(header, [*rows, *references])
    scores = findings.verdicts.scores
    for row in rows:
        name = row[1]
        row[1] += " ●" if name in findings.group else ""
        row.append(
            _interval(scores[name].low, scores[name].high, digits(scores[name].value)) if name in scores else "-"
        )
    table = _table([*header, "95% interval (test)"], [*rows, *([*row, "-"] for row in references)])
    return f"{table}\n\n●: not told apart from {findings.verdicts.best} on test (all pairs, Holm's correction at 5%)."


def _differences(findings: Findings) -> list[str]:
    """Return the comparisons with the baseline, as far as there are any."""
    verdicts = findings.verdicts
    if not verdicts or not verdicts.to_baseline:
        return []
    places = digits(verdicts.scores[verdicts.best].value)
    rows = [
        [
            found.a,
            f"{found.difference.value:+.{places}f}",
            _interval(found.difference.low, found.difference.high, places),
            probability(found.p_adjusted),
            found.verdict,
        ]
        for found in verdicts.to_baseline
    ]
    return [
        "## Differences to the baseline",
        _table(["cell", "difference", "95% interval", "p (Holm)", "verdict"], rows),
        f"Test {verdicts.metric} minus that of {verdicts.baseline}, paired by example; intervals are those of each "
        "comparison alone, p-values and verdicts are corrected for all of them.",
        _image(f"The table above drawn: differences to {verdicts.baseline} with 95% intervals", "differences"),
    ]


def _interval(low: float, high: float, places: int) -> str:
    return "-" if math.isnan(low) else f"{low:.{places}f} to {high:.{places}f}"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def _pairs(facts: Mapping[str, object]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def _forecast(results: Results) -> list[str]:
    """Set what was predicted beside what it took."""
    rows = predicted_rows(results)
    if results.forecast is None or not rows:
        return []
    return [
        "## Predicted and actual",
        _table(["seconds of runs", "predicted", "actual", "actual / predicted"], rows),
        f"By `harness plan`, which also counted {results.forecast.recordings_mib:,.1f} MiB of recordings. Loading the "
        "model and writing the report are in neither.",
    ]
