"""What to do after a study, in everyday words: what to use, how good that is, what is cheaper, what the axes do.

The words are in ``recommendation.md.j2``; they say no more than the tests do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from harness.metrics import names
from harness.metrics.likelihood import LOSS, PERPLEXITY
from harness.metrics.tokens import EXACT_MATCH
from harness.report.templates import paragraphs
from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.results.predictions import exact_share
from harness.results.row_order import alike, own_words
from harness.stats import Comparison
from harness.stats.verdicts import Verdicts
from harness.tracking.schema import score_name

__all__ = ["Recommendation", "leading_references", "recommend", "recommendation_facts"]


SUBJECTS = {"prompt": "the prompt", "tuning": "the depth of training"}
"""What axes are called; others by their names."""

LEVELS = {"prompt": "prompts", "tuning": "depths"}
"""What all levels of an axis are called; of others by a name with an ``s``."""

NOTICEABLE = 0.9
"""The share of the time from which on training is hardly shorter."""


NEAR = 0.9
"""The share of the best cell's score from which on a cheaper one is worth a word, if no test tells them apart."""


class Recommendation(NamedTuple):
    """The cell to use, and the cheapest one that may be as good."""

    cell: CellResult
    """The first on validation of those that something may be claimed of."""
    cheapest: CellResult | None
    """Of the cells not told apart from it, and nearly as good on test, the one that trains in the least time, if that
    is noticeably less."""
    sentences: tuple[str, ...]
    """Paragraphs: what to use, how good it is, how sure that is and what is cheaper, what each axis does, whether they
    depend on each other."""


def recommend(results: Results, verdicts: Verdicts) -> Recommendation | None:
    """Return what to do; ``None`` where nothing may be claimed of any cell."""
    if verdicts.best in verdicts.unclaimed:
        return None
    cells = {cell.id: cell for cell in results.cells}
    best = cells[verdicts.best]
    tied = () if verdicts.untestable else verdicts.group[1:]
    others = [cell for cell in results.ranked() if cell.id in tied]
    quicker = [cell for cell in others if cell.training_seconds < NOTICEABLE * best.training_seconds]
    close = [cell for cell in quicker if _is_close(cell.id, verdicts)]
    cheapest = min(close, key=lambda cell: cell.training_seconds, default=None)
    sentences = paragraphs(
        "text/recommendation.md.j2",
        results=results,
        verdicts=verdicts,
        best=best,
        baseline=cells.get(verdicts.baseline),
        cheapest=cheapest,
        others=others,
        quicker=quicker,
        faster=any(cell.training_seconds < NOTICEABLE * best.training_seconds for cell in results.cells),
        likeness=results.lead in names(),
        timed=not any(math.isnan(cell.training_seconds) for cell in [best, *others]),
        comparison=verdicts.against_baseline(best.id),
        gain=_gain_of_training(best, results, verdicts),
        exact=_exact_share(best, results),
        perfect=math.nan if isinstance(results.metric, str) else results.metric.range[1 if results.maximize else 0],
        references=leading_references(results),
        trained=any(cell.tuning != "none" for cell in results.cells),
        words=own_words(results),
        subjects=SUBJECTS,
        levels=LEVELS,
    )
    return Recommendation(best, cheapest, tuple(sentences))


def _is_close(cell: str, verdicts: Verdicts) -> bool:
    """Return whether a cell is nearly as good on test as the best, or better: of few rows a test tells none apart."""
    score, best = verdicts.scores[cell].value, verdicts.scores[verdicts.best].value
    lost = best - score if verdicts.higher_is_better else score - best
    return lost <= (1 - NEAR) * abs(best)


def _gain_of_training(best: CellResult, results: Results, verdicts: Verdicts) -> Comparison | None:
    """Return what a cell has over its prompt without training, of the family of comparisons with the best."""
    untrained = [cell.id for cell in alike(best, results, but="tuning") if cell.tuning == "none"]
    rows: Sequence[Comparison] = () if verdicts.untestable else verdicts.with_best
    return next((row.turned for row in rows if row.a in untrained and not row.reason), None)


def _exact_share(cell: CellResult, results: Results) -> float:
    """Return which share of a cell's answers equals a target; nan where nothing is answered, or the metric says it."""
    told = results.lead in (EXACT_MATCH.name, LOSS.name, PERPLEXITY.name)
    return math.nan if told or results.answers is None else exact_share(results.answers, cell.id)


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
        "hyperparameters": dict(cell.hyperparameters),
        "cheapest": cheapest.id if cheapest else None,
    }
