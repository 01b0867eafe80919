"""The page that people look at: ``report.html``, one file that needs nothing else.

==============  ===============================================================================================
file            what it holds
==============  ===============================================================================================
`tables`        the axes of drawn intervals, the heat map's shades
`samples`       what the cells answered to the same inputs
``*.html.j2``   all wording of headings and captions; ``style.css`` the looks in light, dark, print and on a phone
==============  ===============================================================================================

Whatever comes from data, prompts or models is escaped by the templates.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.data.template import Template
from harness.report import plain_tables
from harness.report.charts.gallery import Gallery
from harness.report.charts.page_drawings import Picture
from harness.report.html.samples import first_examples, samples
from harness.report.html.tables import bar_axis, heat_map
from harness.report.number_format import study_places
from harness.report.ranked_table import ranked_table
from harness.report.templates import template
from harness.report.text.cautions import caption_on_test, cautions
from harness.report.text.cost_sentences import cost_sentences
from harness.report.text.effects import effect_families
from harness.report.text.findings import Findings
from harness.report.text.headline import MARKED, examples_to_see
from harness.report.text.search_sentences import searches
from harness.results.collect import Results
from harness.results.row_order import kept_split, rows_by, tunings

__all__ = ["page"]


def page(results: Results, findings: Findings, charts: Gallery, pictures: Mapping[str, Picture]) -> str:
    """Return ``report.html``.

    Args:
        results: The study.
        findings: What may be claimed of it.
        charts: What is drawn of it.
        pictures: Each chart by its name, drawn.
    """
    verdicts = findings.verdicts
    sign = -1.0 if results.maximize else 1.0
    differences = sorted(verdicts.to_baseline, key=lambda row: sign * row.difference.value) if verdicts else []
    return template("html/page.html.j2").render(
        results=results,
        findings=findings,
        verdicts=verdicts,
        places=study_places(results),
        better="higher is better" if results.maximize else "lower is better",
        split=kept_split(results),
        cautions=cautions(results, findings),
        test_access=caption_on_test(results),
        ranked=ranked_table(results, findings),
        generality=plain_tables.generality(results),
        differences=differences,
        to_see=examples_to_see(verdicts) if verdicts else "",
        marked=MARKED,
        families=effect_families(verdicts),
        tunings=tunings(results),
        rows_by=rows_by(results),
        heat=heat_map(results, findings),
        bar_axis=bar_axis,
        charts=charts,
        pictures=pictures,
        samples=samples(results, findings),
        first=first_examples(results, findings),
        prompts=_prompts(results),
        searches=[_lines(paragraph) for paragraph in searches(results).split("\n\n")],
        costs=plain_tables.costs(results),
        cost_sentences=cost_sentences(results).replace("`", ""),
        forecast=plain_tables.forecast(results),
    )


def _prompts(results: Results) -> list[tuple[str, str, str]]:
    """Return each prompt's name, its text, and what it makes of the first test example where the source is enough."""
    example = results.answers.examples[0] if results.answers else None
    prompts = []
    for name, text in results.prompts.items():
        form = results.forms.get(name, Template(name, text))
        enough = form is not None and example is not None and form.names() <= example.fields.keys()
        prompts.append((name, text, form.render(example.fields) if form and example and enough else ""))
    return prompts


def _lines(paragraph: str) -> tuple[str, list[str]]:
    """Return a paragraph's text and, where it is a list, its items."""
    lines = paragraph.replace("`", "").split("\n")
    items = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    return " ".join(line for line in lines if not line.startswith("- ")), items
