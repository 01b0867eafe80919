"""The report as Markdown: all claims, tables and warnings of the page, with figures as files beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness.report.charts.chart import Chart
from harness.report.charts.gallery import Gallery
from harness.report.number_format import digits, probability, shown_interval
from harness.report.ranked_table import RankedRow, rank, reference_rows
from harness.report.text.cautions import caption_on_test, cautions
from harness.report.text.findings import Findings
from harness.report.text.headline import MARKED, effect_families, examples_to_see
from harness.report.text.search_sentences import searches
from harness.results.collect import Results
from harness.results.cost_table import cost_line
from harness.results.plan_vs_actual import predicted_rows
from harness.stats import Comparison, Estimate

__all__ = ["markdown"]

LONGEST = 1200
"""Characters of the words that stand for a picture."""


def markdown(results: Results, findings: Findings, charts: Gallery) -> str:
    """Return ``report.md``."""
    sections = [
        f"# {results.study}",
        results.question,
        findings.answer,
        "\n".join(f"- {sentence}" for sentence in cautions(results, findings)),
        f"## Ranked by {results.lead} on validation",
        _ranked(results, findings),
        f"Mean ± standard deviation of {results.lead} over final seeds; cells without final runs stand last, by their "
        f"best trial. {caption_on_test(results)} "
        f"Baseline: {results.baseline}.",
        *_differences(findings),
        *_references(findings),
        *_effects(results, findings),
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
    scores, fixed = findings.verdicts.scores, findings.verdicts.references
    for row in rows:
        name = row[1]
        row[1] += " ●" if name in findings.group else ""
        row.append(_interval(scores.get(name)))
    for row in references:
        row.append(_interval(fixed.get(row[1].removeprefix("reference: "))))
    table = _table([*header, "95% interval (test)"], [*rows, *references])
    return f"{table}\n\n●: not told apart from {findings.verdicts.best} on test ({MARKED})."


def _differences(findings: Findings) -> list[str]:
    """Return the comparisons with the baseline, as far as there are any."""
    verdicts = findings.verdicts
    if not verdicts or not verdicts.to_baseline:
        return []
    return [
        "## Differences to the baseline",
        _compared("cell", verdicts.to_baseline, findings),
        f"Test {verdicts.metric} minus that of {verdicts.baseline}, paired by example; intervals are those of each "
        "comparison alone, p-values and verdicts are corrected for all of them. Claims are about training at the "
        "learning rate that was found: the search is not repeated.",
        examples_to_see(verdicts),
        _image(f"The table above drawn: differences to {verdicts.baseline} with 95% intervals", "differences"),
    ]


def _references(findings: Findings) -> list[str]:
    verdicts = findings.verdicts
    if not verdicts or not verdicts.to_references:
        return []
    title = f"### Rows that need no model, each against {verdicts.best}"
    return [title, _compared("reference", verdicts.to_references, findings)]


def _effects(results: Results, findings: Findings) -> list[str]:
    """Return what prompts and tunings do on the whole, and whether they depend on each other."""
    families = effect_families(results.baseline, findings.verdicts)
    parts = [(f"### {title}", _compared(head, members, findings)) for title, head, members in families]
    return [text for part in parts for text in part]


def _compared(head: str, comparisons: Sequence[Comparison], findings: Findings) -> str:
    assert findings.verdicts
    places = digits(findings.verdicts.scores[findings.verdicts.best].value)
    rows = [
        [
            found.a,
            "-" if math.isnan(found.difference.value) else f"{found.difference.value:+.{places}f}",
            shown_interval(found.difference, places),
            probability(found.p_adjusted),
            found.verdict,
        ]
        for found in comparisons
    ]
    return _table([head, "difference", "95% interval", "p (Holm)", "verdict"], rows)


def _interval(score: Estimate | None) -> str:
    return "-" if score is None else shown_interval(score, digits(score.value))


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
