"""The page that people look at: ``report.html``, one file that needs nothing else.

This file turns results and findings into what `page.html.j2` shows, row by row; the template holds all wording of
headings and captions, and the style. Whatever comes from data, prompts or models is escaped there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2 import Template as JinjaTemplate
from markupsafe import Markup

from harness.report.cautions import cautions
from harness.report.claims import digits, probability
from harness.report.collect import CellResult, Results
from harness.report.findings import Findings
from harness.report.marks import SERIES, Curve, Scale, curves, interval, scale, swatch
from harness.report.samples import samples
from harness.report.searches import searches
from harness.stats import Comparison, Estimate
from harness.template import Template
from harness.verdicts import Verdicts

__all__ = ["page"]


class _Ranked(NamedTuple):
    """A row of the ranked table."""

    rank: int
    cell: str
    marked: bool
    """Whether it belongs to the group that cannot be told apart."""
    is_baseline: bool
    learning_rate: str
    validation: str
    test: str
    interval: str
    seeds: str
    drawing: Markup


class _Difference(NamedTuple):
    """A row of a table of comparisons."""

    name: str
    difference: str
    interval: str
    p: str
    verdict: str
    drawing: Markup


class _Shade(NamedTuple):
    """A cell of the heat map."""

    text: str
    depth: float
    """0 the worst score, 1 the best."""
    marked: bool


class _Cost(NamedTuple):
    """A row of the table of costs."""

    cell: str
    parameters: str
    trials: str
    finals: str
    seconds: str
    memory: str


def page(
    results: Results, findings: Findings, *, references: Sequence[Sequence[str]], forecast: Sequence[Sequence[str]]
) -> str:
    """Return ``report.html``.

    Args:
        results: The study.
        findings: What may be claimed of it.
        references: Rows that need no model: rank, name, learning rate, validation, test.
        forecast: Rows of what was predicted, and what it took; empty without a plan.
    """
    verdicts = findings.verdicts
    split = "test" if any(cell.values(f"test/{results.lead}") for cell in results.cells) else "validation"
    families = [] if verdicts is None or verdicts.effects is None else list(_families(results, findings))
    return _template().render(
        results=results,
        findings=findings,
        verdicts=verdicts,
        better="higher is better" if results.maximize else "lower is better",
        split=split,
        cautions=cautions(results, findings),
        ranked=_ranked(results, findings),
        references=[(*row, _reference_interval(row[1], findings)) for row in references],
        differences=_differences(_best_first(verdicts), _places(findings)) if verdicts else [],
        beside=_differences(verdicts.to_references, _places(findings)) if verdicts else [],
        families=families,
        tunings=list(dict.fromkeys(cell.tuning for cell in results.cells)),
        heat=_heat(results, findings, split),
        legend=_legend(results),
        panels=_panels(results),
        samples=samples(results, findings),
        prompts=_prompts(results),
        shown=_score,
        searches=[_lines(paragraph) for paragraph in searches(results).split("\n\n")],
        costs=[_cost(cell) for cell in results.cells],
        forecast=forecast,
    )


@cache
def _template() -> JinjaTemplate:
    loader = PackageLoader("harness.report", ".")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html.j2")


def _score(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits(value)}f}"


def _places(findings: Findings) -> int:
    """Return the decimals of differences: those of the scores."""
    return digits(findings.verdicts.scores[findings.verdicts.best].value) if findings.verdicts else 4


def _signed(value: float, places: int) -> str:
    return f"{value:+.{places}f}".replace("-", "−")


def _between(found: Estimate, places: int, *, signed: bool) -> str:
    if math.isnan(found.low):
        return "–"
    ends = [_signed(end, places) if signed else f"{end:.{places}f}" for end in (found.low, found.high)]
    return " to ".join(ends)


def _ranked(results: Results, findings: Findings) -> list[_Ranked]:
    scores = findings.verdicts.scores if findings.verdicts else {}
    on = scale(end for score in scores.values() for end in (score.low, score.value, score.high))
    rows = []
    for number, cell in enumerate(results.ranked(), start=1):
        found = scores.get(cell.id)
        rows.append(
            _Ranked(
                rank=number,
                cell=cell.id,
                marked=cell.id in findings.group,
                is_baseline=cell.id == results.baseline,
                learning_rate="–" if cell.learning_rate is None else f"{cell.learning_rate:.2g}",
                validation=_score(cell.score(f"validation/{results.lead}")),
                test=_score(cell.score(f"test/{results.lead}")),
                interval=_between(found, digits(found.value), signed=False) if found else "–",
                seeds=str(len(cell.finals)),
                drawing=interval(found.low, found.value, found.high, on=on) if found else Markup(""),
            )
        )
    return rows


def _reference_interval(label: str, findings: Findings) -> str:
    found = findings.verdicts.references.get(label.removeprefix("reference: ")) if findings.verdicts else None
    return _between(found, digits(found.value), signed=False) if found else "–"


def _best_first(verdicts: Verdicts) -> list[Comparison]:
    sign = -1.0 if verdicts.higher_is_better else 1.0
    return sorted(verdicts.to_baseline, key=lambda found: sign * found.difference.value)


def _differences(comparisons: Sequence[Comparison], places: int) -> list[_Difference]:
    on = scale([0.0, *(end for found in comparisons for end in (found.difference.low, found.difference.high))])
    rows = []
    for found in comparisons:
        one = found.difference
        drawing = interval(one.low, one.value, one.high, on=on, zero=True, tone=found.verdict)
        value = "–" if math.isnan(one.value) else _signed(one.value, places)
        p = probability(found.p_adjusted)
        rows.append(_Difference(found.a, value, _between(one, places, signed=True), p, found.verdict, drawing))
    return rows


def _families(results: Results, findings: Findings) -> list[tuple[str, str, list[_Difference]]]:
    """Return the effects: what is compared, with what, and its rows."""
    assert findings.verdicts is not None
    assert findings.verdicts.effects is not None
    prompt, _, tuning = results.baseline.rpartition("/")
    found = findings.verdicts.effects
    named = (
        (f"Prompts, each against {prompt}, averaged over what trains", "prompt", found.prompt),
        (f"What trains, each against {tuning}, averaged over prompts", "what trains", found.tuning),
        ("Both together: what a cell gains beyond its prompt's and its tuning's own gain", "cell", found.interaction),
    )
    return [
        (title, head, _differences(comparisons, _places(findings))) for title, head, comparisons in named if comparisons
    ]


def _heat(results: Results, findings: Findings, split: str) -> dict[str, list[_Shade | None]]:
    """Return the scores by prompt, in the order of the tunings."""
    scores = {(cell.prompt, cell.tuning): cell.score(f"{split}/{results.lead}") for cell in results.cells}
    known = [score for score in scores.values() if not math.isnan(score)] or [0.0]
    low, high = min(known), max(known)
    rows: dict[str, list[_Shade | None]] = {}
    for prompt in dict.fromkeys(cell.prompt for cell in results.cells):
        rows[prompt] = []
        for tuning in dict.fromkeys(cell.tuning for cell in results.cells):
            score = scores.get((prompt, tuning), math.nan)
            share = (score - low) / (high - low) if high > low else 0.5
            marked = f"{prompt}/{tuning}" in findings.group
            depth = share if results.maximize else 1 - share
            rows[prompt].append(None if math.isnan(score) else _Shade(_score(score), round(depth, 3), marked))
    return rows


def _trained(results: Results) -> list[str]:
    return [tuning for tuning in dict.fromkeys(cell.tuning for cell in results.cells) if tuning != "none"]


def _legend(results: Results) -> list[tuple[Markup, str]]:
    entries = [(swatch(number % SERIES), tuning) for number, tuning in enumerate(_trained(results))]
    zero = any(cell.tuning == "none" for cell in results.cells)
    return [*entries, (swatch(-1), "none (zero-shot)")] if zero else entries


def _panels(results: Results) -> list[tuple[str, Markup]]:
    """Return a drawing of scores over learning rates for each prompt, all on the same scales."""
    lines: dict[str, list[Curve]] = {prompt: [] for prompt in dict.fromkeys(cell.prompt for cell in results.cells)}
    for cell in results.cells:
        line = _curve(cell, results)
        if line.points:
            lines[cell.prompt].append(line)
    values = [score for own in lines.values() for line in own for _, score in line.points]
    low, high = (math.log10(results.search["learning_rate"][end]) for end in ("low", "high"))
    room, y = 0.03 * (high - low), scale(values)
    said = f"{results.objective} on validation over the learning rate, one line for each tuning"
    x = Scale(low - room, high + room)
    return [(prompt, curves(f"Prompt {prompt}: {said}", own, x=x, y=y)) for prompt, own in lines.items() if own]


def _curve(cell: CellResult, results: Results) -> Curve:
    if cell.tuning == "none":
        value = cell.score(f"validation/{results.objective}")
        return Curve("none", -1, [] if math.isnan(value) else [(1.0, value)])
    points = [(trial.learning_rate, trial.value) for trial in cell.trials if math.isfinite(trial.value)]
    return Curve(cell.tuning, _trained(results).index(cell.tuning) % SERIES, points)


def _prompts(results: Results) -> list[tuple[str, str, str]]:
    """Return each prompt's name, its text, and what it makes of the first test example where the source is enough."""
    example = results.answers.examples[0] if results.answers else None
    prompts = []
    for name, text in results.prompts.items():
        template = Template(name, text)
        enough = example is not None and template.names() <= example.fields.keys()
        prompts.append((name, text, template.render(example.fields) if example and enough else ""))
    return prompts


def _lines(paragraph: str) -> tuple[str, list[str]]:
    """Return a paragraph's text and, where it is a list, its items."""
    lines = paragraph.split("\n")
    items = [line.removeprefix("- ") for line in lines if line.startswith("- ")]
    return " ".join(line for line in lines if not line.startswith("- ")), items


def _cost(cell: CellResult) -> _Cost:
    costs = [*(trial.costs for trial in cell.trials), *(final.costs for final in cell.finals)]
    peaks = [cost["peak_memory_mib"] for cost in costs if "peak_memory_mib" in cost]
    trainable = cell.params.get("trainable_parameters", "")
    return _Cost(
        cell=cell.id,
        parameters=f"{int(trainable):,}" if trainable.isdigit() else "–",
        trials=str(len(cell.trials)),
        finals=str(len(cell.finals)),
        seconds="–" if math.isnan(cell.seconds) else f"{cell.seconds:,.1f}",
        memory=f"{max(peaks):,.0f}" if peaks else "–",
    )
