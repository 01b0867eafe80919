"""The ranked table: one row for each cell and reference row, as values that terminal, page and notes lay out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from harness.report.number_format import UNDEFINED, learning_rate, score
from harness.report.text.findings import Findings
from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.stats import Estimate, spread
from harness.study.hyperparameters import shown_value, title
from harness.study.written_space import RATE
from harness.tracking.schema import score_name

__all__ = ["TEXT_HEADER", "Measured", "RankedRow", "ranked_table", "text_row"]

TEXT_HEADER = ("rank", "cell", "learning rate", "validation", "test")
"""The columns of `text_row`."""


class Measured(NamedTuple):
    """A score over the final runs of a cell."""

    mean: float
    """nan: not measured."""
    deviation: float
    """The sample standard deviation; nan of one run."""


class RankedRow(NamedTuple):
    """A cell, or below all cells a reference row."""

    rank: int | None
    """From 1, best on validation first; ``None`` for a cell that does not rank, and for a reference row."""
    name: str
    learning_rate: float | None
    validation: Measured
    test: Measured
    interval: Estimate | None = None
    """Of the score on test, where the verdicts have one."""
    finals: int | None = None
    generality_kept: float = math.nan
    in_group: bool = False
    """Whether it is the first, or cannot be told apart from it."""
    is_baseline: bool = False
    all_diverged: bool = False
    trainable: int | None = None
    """How many weights train; ``None`` where the store does not say."""
    training_seconds: float = math.nan
    """Of one final run."""
    is_reference: bool = False
    found: str = ""
    """What else its search found, as ``rank 16``."""


def ranked_table(results: Results, findings: Findings) -> list[RankedRow]:
    """Return the cells, best on validation first, then the reference rows."""
    intervals = findings.verdicts.scores if findings.verdicts else {}
    fixed = findings.verdicts.references if findings.verdicts else {}
    cells = [
        RankedRow(
            rank=rank if cell.ranks_by(results.lead) and not findings.unranked else None,
            name=cell.id,
            learning_rate=cell.learning_rate,
            validation=_measured(cell, score_name("validation", results.lead)),
            test=_measured(cell, score_name("test", results.lead)),
            interval=intervals.get(cell.id),
            finals=len(cell.finals),
            generality_kept=cell.generality_kept,
            in_group=cell.id in findings.group,
            is_baseline=cell.id == results.baseline,
            all_diverged=cell.all_diverged,
            trainable=cell.trainable,
            training_seconds=cell.training_seconds,
            found=_found(cell),
        )
        for rank, cell in enumerate(results.ranked(), start=1)
    ]
    return [*cells, *(_reference(*row, results.lead, fixed) for row in results.references.items())]


def text_row(row: RankedRow, decimals: int) -> list[str]:
    """Return a row for terminal, Markdown and notes, all scores with as many decimals."""
    validation = "all diverged" if row.all_diverged else _text(row.validation, decimals)
    found = ", ".join(filter(None, (learning_rate(row.learning_rate), row.found)))
    return [str(row.rank or UNDEFINED), row.name, found, validation, _text(row.test, decimals)]


def _found(cell: CellResult) -> str:
    """Return a winner's hyperparameters beyond the learning rate, each by the end of its name."""
    beyond = {name: value for name, value in cell.hyperparameters.items() if name != RATE}
    return ", ".join(f"{title(name.rpartition('.')[2])} {shown_value(value)}" for name, value in beyond.items())


def _measured(cell: CellResult, metric: str) -> Measured:
    return Measured(cell.score(metric), spread(cell.values(metric)))


def _reference(name: str, scores: Mapping[str, float], lead: str, intervals: Mapping[str, Estimate]) -> RankedRow:
    validation, test = (
        Measured(scores.get(score_name(split, lead), math.nan), math.nan) for split in ("validation", "test")
    )
    return RankedRow(None, f"reference: {name}", None, validation, test, intervals.get(name), is_reference=True)


def _text(measured: Measured, decimals: int) -> str:
    mean = score(measured.mean, decimals)
    if math.isnan(measured.mean) or math.isnan(measured.deviation):
        return mean
    return f"{mean} ± {score(measured.deviation, decimals)}"
