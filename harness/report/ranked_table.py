"""The ranked table as people read it, and what stands below it."""

from __future__ import annotations

import math
from typing import NamedTuple

from harness.report.number_format import digits
from harness.results.collect import CellResult, Results
from harness.stats import spread

__all__ = ["RankedRow", "rank", "reference_rows"]


class RankedRow(NamedTuple):
    """One line of the ranked table, ready to print."""

    rank: str
    cell: str
    learning_rate: str
    validation: str
    test: str


def rank(results: Results) -> list[RankedRow]:
    """Return the table, best on validation first."""
    rows = []
    for number, cell in enumerate(results.ranked(), start=1):
        rows.append(
            RankedRow(
                rank=str(number),
                cell=cell.id,
                learning_rate="-" if cell.learning_rate is None else f"{cell.learning_rate:.2g}",
                validation="all diverged" if cell.all_diverged else _shown(cell, f"validation/{results.lead}"),
                test=_shown(cell, f"test/{results.lead}"),
            )
        )
    return rows


def reference_rows(results: Results) -> list[RankedRow]:
    """Return what stands below the ranked table: results that need no model."""
    rows = []
    for row in results.references:
        scores = [_number(row.metrics.get(f"{split}/{results.lead}", math.nan)) for split in ("validation", "test")]
        rows.append(RankedRow("-", f"reference: {row.name}", "-", *scores))
    return rows


def _shown(cell: CellResult, metric: str) -> str:
    return _number(cell.score(metric), spread(cell.values(metric)))


def _number(score: float, deviation: float = math.nan) -> str:
    if math.isnan(score):
        return "-"
    places = digits(score)
    return f"{score:.{places}f}" + ("" if math.isnan(deviation) else f" ± {deviation:.{places}f}")
