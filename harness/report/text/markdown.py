"""The report as Markdown: all claims, tables and warnings of the page, with figures as files beside it."""

from __future__ import annotations

import re

from harness.report import plain_tables
from harness.report.charts.gallery import Gallery
from harness.report.number_format import places
from harness.report.ranked_table import TEXT_HEADER, ranked_table, text_row
from harness.report.templates import template
from harness.report.text.cautions import caption_on_test, cautions
from harness.report.text.cost_sentences import cost_sentences
from harness.report.text.effects import effect_families
from harness.report.text.findings import Findings
from harness.report.text.headline import MARKED, examples_to_see
from harness.report.text.search_sentences import searches
from harness.results.collect import Results

__all__ = ["markdown"]

LONGEST = 1200
"""Characters of the words that stand for a picture."""


def markdown(results: Results, findings: Findings, charts: Gallery) -> str:
    """Return ``report.md``; all wording that is not shared with the page is in ``report.md.j2``."""
    verdicts = findings.verdicts
    text = template("text/report.md.j2").render(
        results=results,
        findings=findings,
        verdicts=verdicts,
        places=places(verdicts.scores[verdicts.best].value) if verdicts else 0,
        cautions=cautions(results, findings),
        test_access=caption_on_test(results),
        ranked_header=list(TEXT_HEADER),
        ranked=[(row, text_row(row)) for row in ranked_table(results, findings)],
        marked=MARKED,
        to_see=examples_to_see(verdicts) if verdicts else "",
        families=effect_families(verdicts),
        charts=charts,
        image=_image,
        searches=searches(results),
        cost_sentences=cost_sentences(results),
        forecast=plain_tables.forecast(results),
    )
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _image(alt: str, name: str) -> str:
    """Return a figure with the words that stand for it, in which nothing may end the Markdown."""
    words = " ".join(alt.replace("[", "(").replace("]", ")").split())
    if len(words) > LONGEST:
        words = f"{words[:LONGEST].rpartition(';')[0]}; and so on"
    return f"![{words}](figures/{name}.png)"
