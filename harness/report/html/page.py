"""The page that people look at: ``report.html``, one file that needs nothing else.

==============  ===============================================================================================
file            what it holds
==============  ===============================================================================================
`numbers`       how scores, differences and intervals are written
`tables`        rows of the tables: ranking, differences, effects, generality, the heat map's shades
``*.html.j2``   all wording of headings and captions; ``style.css`` the looks in light, dark, print and on a phone
==============  ===============================================================================================

Whatever comes from data, prompts or models is escaped by the templates.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2 import Template as JinjaTemplate

from harness.data.template import Template
from harness.report.charts.gallery import Gallery
from harness.report.charts.svg import picture
from harness.report.html import tables
from harness.report.html.samples import first_examples, samples
from harness.report.number_format import decimals, score
from harness.report.text.cautions import caption_on_test, cautions
from harness.report.text.findings import Findings
from harness.report.text.headline import MARKED, examples_to_see
from harness.report.text.search_sentences import searches
from harness.results.collect import Results
from harness.results.cost_table import cost_line
from harness.results.row_order import kept_split, tunings

__all__ = ["page"]


def page(
    results: Results,
    findings: Findings,
    *,
    charts: Gallery,
    references: Sequence[Sequence[str]],
    forecast: Sequence[Sequence[str]],
) -> str:
    """Return ``report.html``.

    Args:
        results: The study.
        findings: What may be claimed of it.
        charts: Its drawings.
        references: Rows that need no model: rank, name, learning rate, validation, test.
        forecast: Rows of what was predicted, and what it took; empty without a plan.
    """
    return _template().render(
        results=results,
        findings=findings,
        verdicts=findings.verdicts,
        better="higher is better" if results.maximize else "lower is better",
        split=kept_split(results),
        cautions=cautions(results, findings),
        looks=caption_on_test(results),
        ranked=tables.ranked(results, findings),
        generality=tables.generality(results),
        references=[(*row, tables.reference_interval(row[1], results, findings)) for row in references],
        differences=tables.to_baseline(results, findings),
        to_see=examples_to_see(findings.verdicts) if findings.verdicts else "",
        marked=MARKED,
        beside=tables.to_references(results, findings),
        families=tables.families(results, findings),
        tunings=tunings(results),
        heat=tables.heat(results, findings),
        charts=charts,
        picture=picture,
        samples=samples(results, findings),
        first=first_examples(results, findings),
        prompts=_prompts(results),
        shown=partial(score, decimals=decimals(results)),
        searches=[_lines(paragraph) for paragraph in searches(results).split("\n\n")],
        costs=tables.costs(results),
        cost_line=cost_line(results).replace("`", ""),
        forecast=forecast,
    )


@cache
def _template() -> JinjaTemplate:
    loader = PackageLoader("harness.report", "html")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2")


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
