"""Descriptions for MLflow's pages, in Markdown: what was asked, what came out, and where to look next.

The description of a study is folded to its first line at first, so that line is the way to everything else.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from harness.report.number_format import difference, learning_rate, places, score
from harness.report.ranked_table import ranked_table, text_row
from harness.report.text.cautions import cautions
from harness.report.text.findings import Findings
from harness.report.text.headline import comparison_in_words, interval_in_words, p_in_words
from harness.results.collect import CellResult, Results
from harness.stats import Comparison
from harness.tracking.mlflow.ui_views import NOTE_LIMIT, Address, View
from harness.tracking.schema import NONE, Artifacts, Params, Tags, score_name
from harness.tracking.store_protocols import Run

__all__ = ["StudyLinks", "begun_note", "cell_note", "final_note", "model_note", "study_note", "summary_note", "verdict"]

SHOWN = 10
"""Rows of the ranked table in the description of a study."""


class StudyLinks(NamedTuple):
    """Where the parts of a study are in the store."""

    address: Address
    views: Sequence[View]
    """That of ranked cells first."""
    summary: str
    """The id of the run that holds the report."""
    parents: Mapping[str, str]
    """The ids of the cells' runs."""
    prompts: Mapping[str, str]
    """Prompts by name, as ``prompts:/name/version``."""
    model: str | None = None
    """The URI of the best model, where one is stored."""


def begun_note(question: str, links: StudyLinks) -> str:
    """Return the description of a study that has no results yet."""
    return _joined(_ways(links, report=False), f"**{question}**" if question else "", "Not finished yet.")


def study_note(results: Results, findings: Findings, links: StudyLinks) -> str:
    """Return the description of a study: ways to all views, the answer, the first rows, what each view shows."""
    left_out, ranked = len(results.cells) - SHOWN, links.address.view(links.views[0].key)
    return _joined(
        _ways(links),
        f"**{results.question}**" if results.question else "",
        findings.answer,
        _ranked(results, findings, links, most=SHOWN),
        f"and {left_out} more in [the ranked view]({ranked})" if left_out > 0 else "",
        "\n".join(f"- **{view.name}**: {view.shows}." for view in links.views),
    )


def summary_note(results: Results, findings: Findings, links: StudyLinks) -> str:
    """Return the description of the run that holds the report."""
    address = links.address
    report = f"[The report]({address.run(links.summary, Artifacts.PAGE)})"
    figures = f"[its figures]({address.run(links.summary, Artifacts.FIGURES)})"
    return _joined(
        f"{report}, {figures} and all tables are this run's artifacts.",
        f"**{results.question}**" if results.question else "",
        findings.answer,
        "\n".join(f"- {sentence}" for sentence in cautions(results, findings)),
        _ranked(results, findings, links, most=len(results.cells)),
    )


def cell_note(cell: CellResult, results: Results, findings: Findings, links: StudyLinks) -> str:
    """Return the description of a cell: its result, the verdict on it, its prompt's text."""
    return _joined(
        f"{_view(links.views[0], links)} · {_report(links)}",
        _result(cell, results, findings),
        _judged(cell, results, findings),
        _prompt(cell, results, links),
    )


def final_note(cell: str, seed: str, rate: str) -> str:
    """Return the description of a final run."""
    model = (
        f"The winner of `{cell}`, learning rate {_rate(rate)}, retrained on seed {seed}"
        if seed.isdigit()
        else f"`{cell}` as it is, without training"
    )
    return f"{model}, and scored. Every prediction is under Artifacts, in `predictions`."


def model_note(run: Run, lead: str, address: Address) -> str:
    """Return the description of a stored model.

    Args:
        run: The final run that made it.
        lead: The metric that ranks.
        address: Of the study.
    """
    uri = run.tags.get(Tags.PROMPT_URI, "")
    prompt = f"[{uri}]({address.prompt(uri)})" if uri else run.params[Params.PROMPT]
    names = {split: score_name(split, lead) for split in ("validation", "test")}
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
    comparison = findings.verdicts.against_baseline(cell)
    parts = ["the baseline"] if cell == results.baseline else [_against(comparison)] if comparison else []
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


def _ways(links: StudyLinks, *, report: bool = True) -> str:
    """Return links to all there is to see, in one line."""
    parts = [_view(view, links) for view in links.views]
    if report:
        parts.append(_report(links))
    if links.model:
        parts.append(f"[Best model]({links.address.model(links.model)})")
    return " · ".join(parts)


def _view(view: View, links: StudyLinks) -> str:
    return f"[{view.name}]({links.address.view(view.key, view.mode)})"


def _report(links: StudyLinks) -> str:
    return f"[Report]({links.address.run(links.summary, Artifacts.PAGE)})"


def _ranked(results: Results, findings: Findings, links: StudyLinks, *, most: int) -> str:
    head = ["rank", "cell", "learning rate", f"validation {results.lead}", f"test {results.lead}", "verdict"]
    rows = []
    for row in [row for row in ranked_table(results, findings) if row.rank][:most]:
        rank, name, *numbers = text_row(row)
        link = f"[{name}]({links.address.run(links.parents[name])})"
        rows.append([rank, link, *numbers, verdict(name, results, findings)])
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])


def _result(cell: CellResult, results: Results, findings: Findings) -> str:
    trained, total = (cell.params.get(name, "?") for name in (Params.TRAINABLE, Params.PARAMETERS))
    rate = "nothing trains" if cell.learning_rate is None else f"learning rate {learning_rate(cell.learning_rate, 3)}"
    search = f"best of {len(cell.trials)} trials" if cell.trials else "no search"
    parts = [f"**{cell.id}**: {trained} of {total} parameters train; {rate} ({search})."]
    for split in ("validation", "test"):
        value = cell.score(score_name(split, results.lead))
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


def _prompt(cell: CellResult, results: Results, links: StudyLinks) -> str:
    uri = links.prompts.get(cell.prompt)
    name = f"[{uri}]({links.address.prompt(uri)})" if uri else cell.prompt
    text = results.prompts.get(cell.prompt, "")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    start = text if len(text) <= NOTE_LIMIT // 2 else f"{text[: NOTE_LIMIT // 2]} ..."
    return f"Prompt {name}:\n\n{fence}\n{start}\n{fence}" if text else f"Prompt {name}."


def _joined(*parts: str) -> str:
    text = "\n\n".join(part for part in parts if part)
    if len(text) <= NOTE_LIMIT:
        return text
    return text[:NOTE_LIMIT].rpartition("\n")[0] + "\n\n(More in the report.)"


def _rate(param: str) -> str:
    """Return a learning rate as people read it; zero-shot has none."""
    return param if param == "none" else learning_rate(float(param), 3)


def _trained(run: Run) -> str:
    if run.params[Params.TUNING] == NONE:
        return "zero-shot: nothing was trained"
    return f"`{run.params[Params.TUNING]}` trained at learning rate {_rate(run.params[Params.LEARNING_RATE])}"
