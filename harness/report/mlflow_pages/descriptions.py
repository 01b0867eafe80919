"""Descriptions for MLflow's pages, in Markdown: what was asked, what came out, and where to look next.

The description of a study is folded to its first line at first, so that line is the way to everything else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from harness.report.mlflow_pages.page_views import Views, cell_view
from harness.report.number_format import difference, learning_rate, places, score
from harness.report.ranked_table import ranked_table, text_row
from harness.report.text.cautions import cautions
from harness.report.text.findings import Findings
from harness.report.text.headline import comparison_in_words, interval_in_words, p_in_words
from harness.results.collect import CellResult, Results
from harness.stats import Comparison
from harness.tracking.mlflow.ui_views import NOTE_LIMIT, Address
from harness.tracking.store_protocols import Run

__all__ = ["Places", "begun_note", "cell_note", "final_note", "model_note", "study_note", "summary_note", "verdict"]

SHOWN = 10
"""Rows of the ranked table in the description of a study."""

REPORT = "report/report.html"


class Places(NamedTuple):
    """Where the parts of a study are in the store."""

    address: Address
    views: Views
    summary: str
    """The id of the run that holds the report."""
    parents: Mapping[str, str]
    """The ids of the cells' runs."""
    prompts: Mapping[str, str]
    """Prompts by name, as ``prompts:/name/version``."""
    model: str | None = None
    """The URI of the best model, where one is stored."""


def begun_note(question: str, places: Places) -> str:
    """Return the description of a study that has no results yet."""
    return _joined(_ways(places, report=False), f"**{question}**" if question else "", "Not finished yet.")


def study_note(results: Results, findings: Findings, places: Places) -> str:
    """Return the description of a study: ways to all views, the answer, the first rows, what each view shows."""
    left_out, ranked = len(results.cells) - SHOWN, places.address.view(places.views.ranked.key)
    return _joined(
        _ways(places),
        f"**{results.question}**" if results.question else "",
        findings.answer,
        _ranked(results, findings, places, most=SHOWN),
        f"and {left_out} more in [the ranked view]({ranked})" if left_out > 0 else "",
        "\n".join(_guide(results, places)),
    )


def summary_note(results: Results, findings: Findings, places: Places) -> str:
    """Return the description of the run that holds the report."""
    address = places.address
    report = f"[The report]({address.run(places.summary, REPORT)})"
    figures = f"[its figures]({address.run(places.summary, 'report/figures')})"
    return _joined(
        f"{report}, {figures} and all tables are this run's artifacts.",
        f"**{results.question}**" if results.question else "",
        findings.answer,
        "\n".join(f"- {sentence}" for sentence in cautions(results, findings)),
        _ranked(results, findings, places, most=len(results.cells)),
    )


def cell_note(cell: CellResult, results: Results, findings: Findings, places: Places) -> str:
    """Return the description of a cell: its result, the verdict on it, ways to its trials, its prompt's text."""
    return _joined(
        " · ".join(_ways_of(cell, places)),
        _result(cell, results, findings),
        _judged(cell, results, findings),
        _prompt(cell, results, places),
    )


def final_note(cell: str, seed: str, learning_rate: str) -> str:
    """Return the description of a final run."""
    made = (
        f"The winner of `{cell}`, learning rate {_rate(learning_rate)}, retrained on seed {seed}"
        if seed.isdigit()
        else f"`{cell}` as it is, without training"
    )
    return f"{made}, and scored. Every prediction is under Artifacts, in `predictions`."


def model_note(run: Run, lead: str, address: Address) -> str:
    """Return the description of a stored model.

    Args:
        run: The final run that made it.
        lead: The metric that ranks.
        address: Of the study.
    """
    uri = run.tags.get("prompt_uri", "")
    prompt = f"[{uri}]({address.prompt(uri)})" if uri else run.params["prompt"]
    names = {split: f"{split}/{lead}" for split in ("validation", "test")}
    scores = [f"{score(run.metrics[name])} on {split}" for split, name in names.items() if name in run.metrics]
    return _joined(
        f"Prompt {prompt}, {_trained(run)}.",
        f"{lead}: {', '.join(scores)}." if scores else "",
        "The prompt, the tokenizer and the generation settings are inside: it answers rows, not prompts.",
    )


def verdict(cell: str, results: Results, findings: Findings) -> str:
    """Return what is claimed of a cell, short enough for a column; empty where nothing is."""
    if findings.verdicts is None or cell not in findings.verdicts.scores:
        return ""
    found = findings.verdicts.against_baseline(cell)
    parts = ["the baseline"] if cell == results.baseline else [_against(found)] if found else []
    if cell == findings.verdicts.best:
        parts.insert(0, "first on validation")
    elif cell in findings.group:
        parts.append("not told apart from the first")
    return "; ".join(parts)


def _against(comparison: Comparison) -> str:
    if math.isnan(comparison.p_adjusted):
        return "no defined difference to the baseline"
    value, seeds = comparison.difference.value, comparison.difference.covers_seeds
    size = f"{difference(value, places(value))}, {p_in_words(comparison.p_adjusted)}"
    word = "undecided against" if comparison.verdict == "undecided" else f"{comparison.verdict} than"
    return f"{word} the baseline ({size}{'' if seeds else '; these models alone'})"


def _ways(places: Places, *, report: bool = True) -> str:
    """Return links to all there is to see, in one line."""
    views, address = places.views, places.address
    links = [f"[{view.name}]({address.view(view.key, view.mode)})" for view in views.all()]
    if report:
        links.append(f"[Report]({address.run(places.summary, REPORT)})")
    if places.model:
        links.append(f"[Best model]({address.model(places.model)})")
    return " · ".join(links)


def _guide(results: Results, places: Places) -> Iterator[str]:
    """Yield what each view shows."""
    views, tuning = places.views, places.views.facts.tuning
    shown = [
        (views.ranked, f"prompt by tuning, best {results.lead} on validation first; a name leads to the cell"),
        (views.runs, "open a cell to see its trials and final runs"),
        (views.rates, f"{results.objective} (the objective) over learning rate, one dot a trial; parallel axes"),
        (views.curves, f"losses by epoch, one line a prompt, {tuning} trained"),
        (views.depths, "runs grouped by how much of the network trains, with the means of each group"),
        (views.predictions, f"what each prompt's model made of a source, {tuning} trained"),
    ]
    for view, what in shown:
        if view:
            yield f"- **{view.name}**: {what}."


def _ranked(results: Results, findings: Findings, places: Places, *, most: int) -> str:
    head = ["rank", "cell", "learning rate", f"validation {results.lead}", f"test {results.lead}", "verdict"]
    rows = []
    for row in ranked_table(results, findings)[:most]:
        rank, name, *numbers = text_row(row)
        link = f"[{name}]({places.address.run(places.parents[name])})"
        rows.append([rank, link, *numbers, verdict(name, results, findings)])
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _result(cell: CellResult, results: Results, findings: Findings) -> str:
    trained = cell.params.get("trainable_parameters", "?")
    rate = "nothing trains" if cell.learning_rate is None else f"learning rate {learning_rate(cell.learning_rate, 3)}"
    search = f"best of {len(cell.trials)} trials" if cell.trials else "no search"
    parts = [f"**{cell.id}**: {trained} of {cell.params.get('parameters', '?')} parameters train; {rate} ({search})."]
    for split in ("validation", "test"):
        value = cell.score(f"{split}/{results.lead}")
        if not math.isnan(value):
            runs = f"mean of {len(cell.finals)}" if len(cell.finals) > 1 else "one run"
            parts.append(f"{results.lead} on {split} {score(value)} ({_range(cell, split, findings) or runs}).")
    return " ".join(parts)


def _range(cell: CellResult, split: str, findings: Findings) -> str:
    estimate = findings.verdicts.scores.get(cell.id) if findings.verdicts and split == "test" else None
    return interval_in_words(estimate, places(estimate.value)) if estimate else ""


def _judged(cell: CellResult, results: Results, findings: Findings) -> str:
    if findings.verdicts is None:
        return findings.answer
    comparison = findings.verdicts.against_baseline(cell.id)
    if comparison is None:
        return "It is the baseline." if cell.id == results.baseline else ""
    decimals, b = places(findings.verdicts.scores[findings.verdicts.best].value), f"the baseline {comparison.b}"
    words = comparison_in_words(comparison, decimals, a="it", b=b, note=" after Holm's correction")
    return f"Verdict: {words}."


def _ways_of(cell: CellResult, places: Places) -> Iterator[str]:
    address, views = places.address, places.views
    if cell.trials:
        yield f"[Its trials, best first]({address.view(cell_view(cell.id, views.facts).key)})"
    yield f"[{views.ranked.name}]({address.view(views.ranked.key)})"
    yield f"[Report]({address.run(places.summary, REPORT)})"


def _prompt(cell: CellResult, results: Results, places: Places) -> str:
    uri = places.prompts.get(cell.prompt)
    name = f"[{uri}]({places.address.prompt(uri)})" if uri else cell.prompt
    text = results.prompts.get(cell.prompt, "")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    shown = text if len(text) <= NOTE_LIMIT // 2 else f"{text[: NOTE_LIMIT // 2]} ..."
    return f"Prompt {name}:\n\n{fence}\n{shown}\n{fence}" if text else f"Prompt {name}."


def _rate(learning_rate: str) -> str:
    """Return a param as people read it; zero-shot has none."""
    try:
        return f"{float(learning_rate):.3g}"
    except ValueError:
        return learning_rate


def _joined(*parts: str) -> str:
    text = "\n\n".join(part for part in parts if part)
    if len(text) <= NOTE_LIMIT:
        return text
    return text[:NOTE_LIMIT].rpartition("\n")[0] + "\n\n(More in the report.)"


def _trained(run: Run) -> str:
    if run.params["tuning"] == "none":
        return "zero-shot: nothing was trained"
    return f"`{run.params['tuning']}` trained at learning rate {_rate(run.params['learning_rate'])}"
