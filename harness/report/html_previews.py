"""What a notebook shows of a study and of its result: a small table, and the answer in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

from harness.report.ranked_table import TEXT_HEADER, ranked_table, text_row
from harness.report.text.findings import Findings
from harness.results.collect import Results
from harness.study.axes import AXES
from harness.study.load_study import StudyFile

__all__ = ["result_preview", "study_preview"]

SHOWN = 40
"""The most cells that a table has."""


def study_preview(file: StudyFile) -> str:
    """Return what will run of a study, as HTML: its cells, with trials and final runs."""
    study = file.study
    trials, finals = study.search.trials, len(study.final.seeds)
    levels = {axis.name: axis.levels(study) for axis in AXES}
    shown = [name for name, each in levels.items() if len(each) > 1 or name in ("prompt", "tuning")]
    budgets = [(trials, finals) if tuning.trains else (0, min(finals, 1)) for tuning in study.tunings()]
    others = 1
    for name in shown:
        others *= 1 if name == "tuning" else len(levels[name])
    rows = [(tuning.name, *map(str, budget)) for tuning, budget in zip(study.tunings(), budgets, strict=True)]
    facts = [f"task {study.task}", f"model {study.model.name}"]
    facts += [f"{name}s {', '.join(level.name for level in levels[name])}" for name in shown if name != "tuning"]
    runs = others * sum(sum(budget) for budget in budgets)
    total = f"{others * len(budgets)} cells, {runs} runs: {others * sum(t for t, _ in budgets)} trials, "
    total += f"{others * sum(f for _, f in budgets)} final runs"
    head = ("tuning", "trials of each cell", "final runs of each cell")
    return _page(study.name, [file.question, "; ".join(facts), total], head, rows)


def result_preview(results: Results, findings: Findings) -> str:
    """Return the ranked table of a study and its answer, as HTML."""
    rows = [text_row(row) for row in ranked_table(results, findings)]
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
