"""The results of a study in a terminal: the ranked table, the answer, cautions."""

from __future__ import annotations

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from harness.report.ranked_table import RankedRow, rank, reference_rows
from harness.report.text.cautions import caption_on_test, cautions
from harness.report.text.findings import Findings
from harness.results.collect import Results

__all__ = ["print_results", "ranked_table"]


def print_results(console: Console, results: Results, findings: Findings) -> None:
    """Print the ranked table, what may be claimed, how often test was scored, and what speaks against believing it."""
    console.print(ranked_table(results))
    lines = [findings.answer, caption_on_test(results), *(f"caution: {one}" for one in cautions(results, findings))]
    for line in lines:
        console.print(line, highlight=False, markup=False)


def ranked_table(results: Results) -> Table:
    """Return the ranked result for a terminal."""
    title = f"{results.study}: {results.lead}, best on validation first (mean ± deviation over seeds)"
    table = Table(
        title=title, title_justify="left", caption=f"baseline: {results.baseline}", caption_justify="left", box=SIMPLE
    )
    for name in RankedRow._fields:
        table.add_column(name.replace("_", " "), justify="left" if name == "cell" else "right", no_wrap=True)
    for row in rank(results):
        table.add_row(*row)
    table.add_section()
    for row in reference_rows(results):
        table.add_row(*row, style="dim")
    return table
