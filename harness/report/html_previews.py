"""What a notebook shows of a study and of its result: a small table, and the answer in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from markupsafe import Markup, escape

from harness.core.errors import UserError
from harness.data.template import Template
from harness.report.number_format import study_places
from harness.report.ranked_table import TEXT_HEADER, ranked_table, text_row
from harness.report.text.findings import Findings
from harness.results.collect import Results
from harness.study.axes import AXES
from harness.study.grid import Cell, expand
from harness.study.load_study import StudyFile
from harness.study.search_faults import search_plan
from harness.study.spec import StudySpec

__all__ = ["result_preview", "study_preview"]

SHOWN = 40
"""The most cells that a table has."""


def study_preview(file: StudyFile) -> str:
    """Return what will run of a study, as HTML: its cells, with trials and final runs."""
    study, budgets = file.study, dict[str, list[tuple[int, int]]]()
    cells = expand(study, [Template(prompt.name, "") for prompt in study.prompt_levels()])
    for cell in cells:
        finals = len(study.final.seeds) if cell.tuning.trains else 1
        budgets.setdefault(cell.tuning.name, []).append((_trials(cell, study, cells), finals))
    rows = [(tuning, *map(str, max(own))) for tuning, own in budgets.items()]
    levels = {axis.name: axis.levels(study) for axis in AXES}
    shown = [name for name, each in levels.items() if name != "tuning" and (len(each) > 1 or name == "prompt")]
    adapter = f" with the adapter {study.model.adapter}" if study.model.adapter else ""
    model = f"models {', '.join(one.level for one in study.models)}" if study.models else f"model {study.model.name}"
    facts = [f"task {study.task}", f"{model}{adapter}"]
    facts += [f"{name}s {', '.join(level.name for level in levels[name])}" for name in shown]
    trials, finals = (sum(each) for each in zip(*(one for own in budgets.values() for one in own), strict=True))
    total = f"{len(cells)} cells, {trials + finals} runs: {trials} trials, {finals} final runs"
    head = ("tuning", "trials of each cell", "final runs of each cell")
    return _page(study.name, [file.question, "; ".join(facts), total], head, rows)


def _trials(cell: Cell, study: StudySpec, cells: Sequence[Cell]) -> int:
    if not cell.tuning.trains:
        return 0
    with suppress(UserError):  # there is no such search, and `check` says why
        return search_plan(cell, study, cells).trials
    return study.search.trials


def result_preview(results: Results, findings: Findings) -> str:
    """Return the ranked table of a study and its answer, as HTML."""
    decimals = study_places(results)
    rows = [text_row(row, decimals) for row in ranked_table(results, findings)]
    header = [f"{name} {results.lead}" if name in ("validation", "test") else name for name in TEXT_HEADER]
    return _page(results.study, [findings.answer, *findings.advice], header, rows)


def _page(title: str, lines: Iterable[str], header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    paragraphs = [Markup("<p>{}</p>").format(line) for line in lines if line]
    left = len(rows) - SHOWN
    more = [Markup("<p>and {} more</p>").format(left)] if left > 0 else []
    cells = [Markup("<tr>{}</tr>").format(_cells("td", row)) for row in rows[:SHOWN]]
    table = Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(
        _cells("th", header), Markup("").join(cells)
    )
    return str(Markup("").join([Markup("<h4>{}</h4>").format(title), *paragraphs, table, *more]))


def _cells(tag: str, texts: Iterable[str]) -> Markup:
    return Markup("").join(Markup(f"<{tag}>") + escape(text) + Markup(f"</{tag}>") for text in texts)
