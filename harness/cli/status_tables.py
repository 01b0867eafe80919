"""How far studies are, as people read it: all of a store, or one with its cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import RenderableType
from rich.table import Column, Table

from harness.report.number_format import score
from harness.results.study_status import CellStatus, StudyStatus

__all__ = ["list_table", "status_tables"]


def list_table(studies: Sequence[StudyStatus]) -> Table:
    """Return a row per study."""
    right = [Column(name, justify="right") for name in ("cells", "runs")]
    best = "best cell", "its final runs, on average"
    table = Table("study", "state", *right, *best, "last run", box=None, header_style="bold")
    for study in studies:
        cells = f"{study.cells_done}/{len(study.cells)}"
        told = f"validation {study.lead} {score(study.score)}" if study.score is not None else ""
        table.add_row(study.study, study.state, cells, f"{study.runs:,}", study.best or "", told, _when(study.updated))
    return table


def status_tables(study: StudyStatus) -> Iterator[RenderableType]:
    """Yield a study's state, and a row per cell."""
    by = f", by {study.held_by}" if study.held_by else ", no process runs it" if study.state == "unfinished" else ""
    last = f"; last run {_when(study.updated)}" if study.updated is not None else ""
    yield f"{study.study}: {study.state}{by}; {study.cells_done} of {len(study.cells)} cells done{last}"
    scores = f"best trial so far: {study.objective}", f"final runs, on average: {study.lead}"
    names = ("trials", "final runs", "running", "diverged or failed", *scores)
    table = Table("cell", *(Column(name, justify="right") for name in names), box=None, header_style="bold")
    for cell in study.cells:
        table.add_row(*_row(cell, is_running=study.state == "running"), style="dim" if cell.is_done else "")
    if study.cells:
        yield table
        yield "scores are those on validation; final runs rank the cells, and the best of many trials owes some to luck"


def _row(cell: CellStatus, *, is_running: bool) -> tuple[str, ...]:
    scores = ["" if value is None else score(value) for value in (cell.best, cell.score)]
    left = str(cell.running or "") if is_running or not cell.running else f"{cell.running} cut short"
    done = f"{cell.trials}/{cell.trials_wanted}", f"{cell.finals}/{cell.finals_wanted}"
    return cell.cell, *done, left, str(cell.failed or ""), *scores


def _when(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S")
