"""The page that people look at: ``report.html``, one file that needs nothing else.

Headings and captions are in ``*.html.j2``, the looks in light, dark, print and on a phone in ``style.css``. Whatever
comes from data, prompts or models is escaped by the templates.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.report.charts.gallery import Gallery
from harness.report.charts.page_drawings import Picture
from harness.report.html.tables import bar_axis, heat_map
from harness.report.number_format import study_places
from harness.report.report_facts import report_facts
from harness.report.templates import template
from harness.report.text.findings import Findings
from harness.results.collect import Results
from harness.results.row_order import kept_split, rows_by, tunings

__all__ = ["page"]


def page(results: Results, findings: Findings, charts: Gallery, pictures: Mapping[str, Picture]) -> str:
    """Return ``report.html``; ``pictures`` holds each chart by its name, drawn."""
    return template("html/page.html.j2").render(
        report_facts(results, findings, charts),
        pictures=pictures,
        places=study_places(results),
        split=kept_split(results),
        tunings=tunings(results),
        rows_by=rows_by(results),
        heat=heat_map(results, findings),
        bar_axis=bar_axis,
    )
