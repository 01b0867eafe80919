"""The report as Markdown: all claims, tables and warnings of the page, with figures as files beside it."""

from __future__ import annotations

import re

from harness.report.charts.gallery import Gallery
from harness.report.number_format import places
from harness.report.ranked_table import TEXT_HEADER, text_row
from harness.report.report_facts import report_facts
from harness.report.templates import template
from harness.report.text.findings import Findings
from harness.results.collect import Results

__all__ = ["markdown"]

LONGEST = 1200
"""Characters of the words that stand for a picture."""


def markdown(results: Results, findings: Findings, charts: Gallery) -> str:
    """Return ``report.md``; all wording that is not shared with the page is in ``report.md.j2``."""
    verdicts = findings.verdicts
    text = template("text/report.md.j2").render(
        report_facts(results, findings, charts),
        places=places(verdicts.scores[verdicts.best].value) if verdicts else 0,
        header=TEXT_HEADER,
        text_row=text_row,
        image=_image,
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _image(alt: str, name: str) -> str:
    """Return a figure with the words that stand for it, in which nothing may end the Markdown."""
    words = " ".join(alt.replace("[", "(").replace("]", ")").split())
    if len(words) > LONGEST:
        words = f"{words[:LONGEST].rpartition(';')[0]}; and so on"
    return f"![{words}](figures/{name}.png)"
