"""From results to files: the page, ``report.md``, ``verdicts.json`` and the tables as csv."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import matplotlib

from harness.core.bounded_files import read_json
from harness.core.errors import UserError
from harness.core.whole_files import write_whole
from harness.core.workspace import inside
from harness.report.charts.draw_chart import draw_chart
from harness.report.charts.draw_tables import draw_differences, draw_heat_map
from harness.report.charts.draw_transfer import draw_transfer
from harness.report.charts.figure_files import drawn, write_figures
from harness.report.charts.gallery import Gallery, gallery
from harness.report.charts.page_drawings import picture
from harness.report.csv_tables import costs_csv, expected_best_csv, references_csv, results_csv, transfer_csv
from harness.report.curve_tables import learning_curves_csv, worth_csv
from harness.report.html.page import page
from harness.report.number_format import places, study_places
from harness.report.ranked_table import TEXT_HEADER, text_row
from harness.report.report_facts import report_facts
from harness.report.templates import template
from harness.report.text.cautions import cautions
from harness.report.text.findings import Findings, find
from harness.report.text.headline import verdicts_json
from harness.report.text.recommendation import recommendation_facts
from harness.report.text.transfer_table import transfer_facts, transfer_json
from harness.results.collect import Results

__all__ = ["OF_CURVES", "write_report"]

OF_CURVES = ("learning_curves.csv", "examples_worth.csv")
"""The files that a study has whose sizes are an axis."""


def write_report(results: Results, folder: Path, *, findings: Findings | None = None) -> Path:
    """Write all files of a report into a folder, made where it is missing, and return ``report.md``.

    Raises:
        UserError: The folder's report makes claims, and this one could not, for want of the metric's code alone.
    """
    findings = findings or find(results)
    _refuse_to_unsay(findings, folder)
    folder.mkdir(parents=True, exist_ok=True)
    charts = gallery(results, findings)
    with matplotlib.rc_context({"text.parse_math": False}):  # a name with dollars is no formula
        drawings = {chart.name: drawn(draw_chart(chart), chart.name) for chart in charts.charts()}
        pictures = {chart.name: picture(chart, drawings[chart.name]) for chart in charts.charts()}
        if charts.depths:
            drawings["heat"] = drawn(draw_heat_map(results), "heat")
        if findings.verdicts and findings.verdicts.to_baseline:
            drawings["differences"] = drawn(draw_differences(findings.verdicts), "differences")
        if transfer := transfer_facts(results, findings):
            drawings["transfer"] = drawn(draw_transfer(transfer.found, results), "transfer")
        write_figures(drawings, inside(folder, "figures"))
    written = folder / "report.md"
    files = {
        "results.csv": results_csv(results),
        "references.csv": references_csv(results),
        "costs.csv": costs_csv(results),
        "expected_best.csv": expected_best_csv(results),
        **({"transfer.csv": transfer_csv(transfer.found, results)} if transfer else {}),
        "verdicts.json": verdicts_json(
            findings.answer,
            findings.verdicts,
            cautions=cautions(results, findings),
            recommendation=recommendation_facts(findings.recommendation),
            transfer=transfer_json(transfer.found if transfer else None),
        ),
        "report.html": page(results, findings, charts, pictures),
        written.name: _markdown(results, findings, charts),
    }
    curves = findings.verdicts.curves if findings.verdicts else None
    if curves:
        files |= dict(zip(OF_CURVES, (learning_curves_csv(curves), worth_csv(curves)), strict=True))
    for name in () if curves else OF_CURVES:
        (folder / name).unlink(missing_ok=True)  # of a study that had sizes, and has none now
    for name, text in files.items():
        write_whole(folder / name, text)
    return written


def _refuse_to_unsay(findings: Findings, folder: Path) -> None:
    """See that claims are not replaced by none because a metric cannot be had that the store's scores are by."""
    if not findings.lost:
        return
    try:
        claims = read_json(folder / "verdicts.json")["comparisons"]
    except (OSError, ValueError, LookupError, TypeError):
        return  # there is no report, or none that a reader could trust
    if claims:
        raise UserError(
            f"{folder / 'report.html'} stays as it is, for without its metric the new one would claim nothing: "
            f"{findings.lost}; restore it as it was, or move {folder} away for a report without claims"
        )


def _markdown(results: Results, findings: Findings, charts: Gallery) -> str:
    """Return ``report.md``: all claims, tables and warnings of the page, with figures as files beside it."""
    verdicts = findings.verdicts
    decimals = places(verdicts.scores[verdicts.best].value) if verdicts else study_places(results)
    facts, row = report_facts(results, findings, charts), partial(text_row, decimals=study_places(results))
    text = template("text/report.md.j2").render(facts, places=decimals, header=TEXT_HEADER, text_row=row)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"
