"""The results of a study in a terminal: the ranked table, the answer, cautions."""

from __future__ import annotations

from pathlib import Path

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from harness.report.number_format import study_places
from harness.report.ranked_table import TEXT_HEADER, ranked_table, text_row
from harness.report.text.cautions import caption_on_test, cautions
from harness.report.text.findings import Findings
from harness.results.collect import Results

__all__ = ["print_results", "written_report"]


def print_results(console: Console, results: Results, findings: Findings) -> None:
    """Print the ranked table, what may be claimed, how often test was scored, and what speaks against believing it."""
    console.print(_table(results, findings))
    lines = [
        *findings.advice,
        findings.answer,
        caption_on_test(results),
        *(f"caution: {one}" for one in cautions(results, findings)),
    ]
    for line in lines:
        console.print(line)


def written_report(folder: Path) -> str:
    """Return the line that tells where a report is, the page first."""
    return f"report: {folder / 'report.html'}, as text {folder / 'report.md'}"


def _table(results: Results, findings: Findings) -> Table:
    title = f"{results.study}: {results.lead}, best on validation first (mean ± deviation over seeds)"
    table = Table(
        title=title, title_justify="left", caption=f"baseline: {results.baseline}", caption_justify="left", box=SIMPLE
    )
    for name in TEXT_HEADER:
        table.add_column(name, justify="left" if name == "cell" else "right", no_wrap=True)
    rows, decimals = ranked_table(results, findings), study_places(results)
    for row in rows:
        if not row.is_reference:
            table.add_row(*text_row(row, decimals))
    table.add_section()
    for row in rows:
        if row.is_reference:
            table.add_row(*text_row(row, decimals), style="dim")
    return table
