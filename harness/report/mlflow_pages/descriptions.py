"""Descriptions for MLflow's pages, in Markdown: what was asked, what came out, and where to look next.

All words are in ``*.md.j2``. The description of a study is folded to its first line at first, so that line is the way
to everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.report.number_format import study_places
from harness.report.ranked_table import ranked_table, text_row
from harness.report.templates import paragraphs, template
from harness.report.text.cautions import cautions
from harness.report.text.findings import Findings
from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.study.search_space import Hyperparameters
from harness.tracking.mlflow.ui_views import NOTE_LIMIT, Address, View
from harness.tracking.schema import Artifacts, Params, Tags, score_name
from harness.tracking.shot_names import untrained
from harness.tracking.stored_run import Run

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

    def report(self, file: str = Artifacts.PAGE) -> str:
        """Return the address of the page, or of another of its artifacts."""
        return self.address.run(self.summary, file)


def begun_note(question: str, links: StudyLinks) -> str:
    """Return the description of a study that has no results yet."""
    return _note("study", question=question, links=links, findings=None)


def study_note(results: Results, findings: Findings, links: StudyLinks) -> str:
    """Return the description of a study: ways to all views, the answer, the first rows, what each view shows."""
    rows = _rows(results, findings)
    facts = {"question": results.question, "lead": results.lead, "rows": rows, "shown": SHOWN}
    return _note("study", links=links, findings=findings, **facts)


def summary_note(results: Results, findings: Findings, links: StudyLinks) -> str:
    """Return the description of the run that holds the report."""
    return _note(
        "summary",
        results=results,
        findings=findings,
        links=links,
        cautions=cautions(results, findings),
        rows=_rows(results, findings),
        figures=Artifacts.FIGURES,
    )


def cell_note(cell: CellResult, results: Results, findings: Findings, links: StudyLinks) -> str:
    """Return the description of a cell: its result, the verdict on it, its prompt's text."""
    text = results.prompts.get(cell.prompt, "")
    return _note(
        "cell",
        cell=cell,
        results=results,
        findings=findings,
        links=links,
        params=Params,
        scores={split: cell.score(score_name(split, results.lead)) for split in ("validation", "test")},
        uri=links.prompts.get(cell.prompt),
        text=text if len(text) <= NOTE_LIMIT // 2 else f"{text[: NOTE_LIMIT // 2]} ...",
    )


def final_note(cell: str, seed: str, winner: Hyperparameters) -> str:
    """Return the description of a final run; its seed is as in its params."""
    return _note("final", cell=cell, seed=seed, winner=winner)


def model_note(run: Run, winner: Hyperparameters, lead: str, address: Address) -> str:
    """Return the description of a stored model: that of a final run, scored by the metric that leads."""
    names = {split: score_name(split, lead) for split in ("validation", "test")}
    return _note(
        "model",
        uri=run.tags.get(Tags.PROMPT_URI),
        prompt=run.params[Params.PROMPT],
        address=address,
        tuning=run.params[Params.TUNING],
        untrained=untrained(run.params),
        winner=winner,
        lead=lead,
        scores={split: run.metrics[name] for split, name in names.items() if name in run.metrics},
    )


def verdict(cell: str, results: Results, findings: Findings) -> str:
    """Return what is claimed of a cell, short enough for a column; empty where nothing is."""
    if findings.verdicts is None or cell not in findings.verdicts.scores:
        return ""
    comparison = findings.verdicts.against_baseline(cell)
    parts = ["first on validation"] if cell == findings.first else []
    if cell in findings.group and cell != findings.first:
        parts.append("may equal the first")
    if cell == results.baseline:
        parts.append("the baseline")
    elif comparison:
        parts += paragraphs("mlflow_pages/verdict.md.j2", comparison=comparison)
    return "; ".join(parts)


def _rows(results: Results, findings: Findings) -> list[tuple[list[str], str]]:
    """Return the cells of the ranked table as texts, and what is claimed of each."""
    rows = [row for row in ranked_table(results, findings) if not row.is_reference]
    decimals = study_places(results)
    return [(text_row(row, decimals), verdict(row.name, results, findings)) for row in rows]


def _note(kind: str, **facts: Any) -> str:
    text = template(f"mlflow_pages/{kind}_note.md.j2").render(**facts).strip()
    return text if len(text) <= NOTE_LIMIT else text[:NOTE_LIMIT].rpartition("\n")[0] + "\n\n(More in the report.)"
