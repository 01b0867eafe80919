"""What to do after a study, in everyday words: what to use, what it costs, what is cheaper, what the axes do.

The words are in ``recommendation.md.j2``; they say no more than the tests do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from harness.report.number_format import fraction
from harness.report.templates import paragraphs
from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.stats import mean
from harness.stats.verdicts import Verdicts
from harness.tracking.schema import score_name

__all__ = ["Recommendation", "leading_references", "recommend", "recommendation_facts"]


SUBJECTS = {"prompt": "the prompt", "tuning": "the depth of training"}
"""What axes are called; others by their names."""

NOTICEABLE = 0.9
"""The share of the time from which on training is hardly shorter."""


class Recommendation(NamedTuple):
    """The cell to use, and the cheapest one that may be as good."""

    cell: CellResult
    """The first on validation of those that something may be claimed of."""
    cheapest: CellResult | None
    """Of the cells not told apart from it the one that trains the least share of its weights, if that is less."""
    sentences: tuple[str, ...]
    """Paragraphs: what to use, how sure that is and what is cheaper, what each axis does, whether they depend on each
    other."""


def recommend(results: Results, verdicts: Verdicts) -> Recommendation | None:
    """Return what to do; ``None`` where nothing may be claimed of any cell."""
    if verdicts.best in verdicts.unclaimed:
        return None
    cells = {cell.id: cell for cell in results.cells}
    best = cells[verdicts.best]
    group = () if verdicts.untestable else verdicts.group
    tied = [cell for cell in results.ranked() if cell.id in group and not math.isnan(cell.trained_share)]
    least = min(tied, key=lambda cell: cell.trained_share, default=None)
    cheapest = least if least and least.trained_share < best.trained_share else None
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
        saving=_saving(cheapest, best) if cheapest else "",
        trained=any(cell.tuning != "none" for cell in results.cells),
        subjects=SUBJECTS,
    )
    return Recommendation(best, cheapest, tuple(sentences))


def _saving(cheaper: CellResult, best: CellResult) -> str:
    """Return what a cell spares."""
    if cheaper.tuning == "none":
        return "needs no training at all"
    share = _seconds(cheaper) / _seconds(best) if _seconds(best) else math.nan
    return f"trains in {fraction(share)} of the time" if share <= NOTICEABLE else "trains less"


def _seconds(cell: CellResult) -> float:
    """Return how long one of its final runs trained, on average."""
    return mean([final.costs.get("train_seconds", math.nan) for final in cell.finals])


def leading_references(results: Results) -> list[tuple[str, float]]:
    """Return the rows that need no model and score better on validation than every cell, best first, and how well."""
    metric, sign = score_name("validation", results.lead), 1.0 if results.maximize else -1.0
    ranking = [cell.score(metric) for cell in results.cells if cell.ranks_by(results.lead)]
    mark = max((sign * score for score in ranking), default=-math.inf)
    scores = {name: metrics.get(metric, math.nan) for name, metrics in results.references.items()}
    ahead = [(name, score) for name, score in scores.items() if sign * score > mark]
    return sorted(ahead, key=lambda row: -sign * row[1])


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
