"""What to do after a study, in everyday words: what to use, what it costs, what is cheaper, what the axes do.

The words are in ``recommendation.md.j2``; they say no more than the tests do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from harness.report.templates import paragraphs
from harness.report.text.effects import WORDS, effects_by_name
from harness.results.cell_result import CellResult
from harness.results.collect import Reference, Results
from harness.stats import mean
from harness.stats.verdicts import Verdicts
from harness.tracking.schema import score_name

__all__ = ["Recommendation", "leading_references", "recommend", "recommendation_facts"]


class Recommendation(NamedTuple):
    """The cell to use, and the cheapest one that may be as good."""

    cell: CellResult
    """The first on validation of those that something may be claimed of."""
    cheapest: CellResult | None
    """Of the cells that are not told apart from it the one that trains least, if it trains less."""
    sentences: tuple[str, ...]
    """The recommendation in a paragraph, then what each axis does, and whether they depend on each other."""


def recommend(results: Results, verdicts: Verdicts) -> Recommendation | None:
    """Return what to do; ``None`` where nothing may be claimed of any cell."""
    if verdicts.best in verdicts.unclaimed:
        return None
    cells = {cell.id: cell for cell in results.cells}
    best = cells[verdicts.best]
    tied = [cell for cell in results.ranked() if cell.id in verdicts.group and cell.trainable is not None]
    least = min(tied, key=lambda cell: cell.trainable or 0, default=None)
    cheapest = least if least and best.trainable and (least.trainable or 0) < best.trainable else None
    sentences = paragraphs(
        "text/recommendation.md.j2",
        results=results,
        verdicts=verdicts,
        best=best,
        cheapest=cheapest,
        comparison=verdicts.against_baseline(best.id),
        references=leading_references(results),
        seconds=_seconds(best),
        memory=max((final.costs.get("peak_memory_mib", math.nan) for final in best.finals), default=math.nan),
        ratio=_seconds(cheapest) / _seconds(best) if cheapest and _seconds(best) else math.nan,
        axes=WORDS,
        effects=effects_by_name(verdicts),
    )
    return Recommendation(best, cheapest, tuple(sentences))


def _seconds(cell: CellResult) -> float:
    """Return how long one of its final runs trained, on average."""
    return mean([final.costs.get("train_seconds", math.nan) for final in cell.finals])


def leading_references(results: Results) -> list[Reference]:
    """Return the rows that need no model and score better on validation than the first cell, best first."""
    metric, sign = score_name("validation", results.lead), 1.0 if results.maximize else -1.0
    first = next((cell for cell in results.ranked() if cell.ranks_by(results.lead)), None)
    mark = sign * first.score(metric) if first else -math.inf
    ahead = [row for row in results.references if sign * row.metrics.get(metric, math.nan) > mark]
    return sorted(ahead, key=lambda row: -sign * row.metrics[metric])


def recommendation_facts(recommendation: Recommendation | None) -> Mapping[str, Any] | None:
    """Return it for programs; ``None`` where there is none."""
    if recommendation is None:
        return None
    cell, cheapest, _ = recommendation
    return {
        "cell": cell.id,
        "prompt": cell.prompt,
        "tuning": cell.tuning,
        "learning_rate": cell.learning_rate,
        "cheapest": cheapest.id if cheapest else None,
    }
