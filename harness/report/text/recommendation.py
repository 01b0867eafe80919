"""What to do after a study, in everyday words: what to use, how good that is, what is cheaper, what the axes do.

The words are in ``recommendation.md.j2``; they say no more than the tests do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from harness.metrics import names
from harness.metrics.classification import ACCURACY, CALIBRATION_ERROR, MACRO_F1
from harness.metrics.likelihood import OF_LIKELIHOODS
from harness.metrics.tokens import EXACT_MATCH
from harness.report.templates import paragraphs
from harness.report.text.axis_words import axis_words, level_words
from harness.report.text.more_data import more_data
from harness.results.cell_result import CellResult
from harness.results.collect import Results
from harness.results.predictions import exact_share
from harness.results.row_order import alike
from harness.results.what_trains import tuning_named, tunings_in_words, untrained_model, what_trains
from harness.stats import Comparison
from harness.stats.verdicts import Verdicts
from harness.tracking.schema import score_name

__all__ = ["Recommendation", "leading_references", "recommend", "recommendation_facts"]


OF_LABELS = {metric.name for metric in (ACCURACY, MACRO_F1, CALIBRATION_ERROR)}
"""Metrics that count what is right, not likeness to a target."""

SUBJECTS = {"prompt": "the prompt", "tuning": "the depth of training"}
"""What axes are called; others as `axis_words` has them."""

LEVELS = {"prompt": "prompts", "tuning": "depths"}
"""What all levels of an axis are called; of one without words by its name with an ``s``."""

METHODS = {"tuning": "what trains"}, {"tuning": "choices of what trains"}
"""The same where some tunings are adapters, which no depth tells from one another."""

SMALLER = 0.5
"""The share of the weights up to which a cell that trains fewer is worth a word, if no test tells it apart."""

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
    tied = () if verdicts.untestable else verdicts.may_be_as_good
    others = [cell for cell in results.ranked() if cell.id in tied]
    quicker = [cell for cell in others if cell.training_seconds < NOTICEABLE * best.training_seconds]
    close = [cell for cell in quicker if _is_close(cell.id, verdicts)]
    cheapest = min(close, key=lambda cell: cell.training_seconds, default=None)
    methods = any(known.adapter for cell in results.cells if (known := tuning_named(cell.tuning, results)))
    further = {axis: f"the {axis_words(axis).one}" for axis in results.axes}
    all_levels = {axis: words.every for axis in results.axes if (words := axis_words(axis)).every != axis}
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
        likeness=results.lead in names() and results.lead not in OF_LABELS,
        timed=not any(math.isnan(cell.training_seconds) for cell in [best, *others]),
        comparison=verdicts.against_baseline(best.id),
        gain=(gain := _gain_of_training(best, results, verdicts)),
        doubted=gain is not None and (gain.b in verdicts.disputed or _nothing_trained(best, verdicts) == "undecided"),
        helped=_nothing_trained(None, verdicts) == "worse",
        exact=_exact_share(best, results),
        perfect=math.nan if isinstance(results.metric, str) else results.metric.range[1 if results.maximize else 0],
        references=leading_references(results),
        trained=any(cell.tuning != "none" for cell in results.cells),
        trains=partial(what_trains, results=results),
        words=tunings_in_words(results),
        untrained=untrained_model(results),
        smallest=_smallest(best, [cell for cell in others if cell != cheapest and _is_close(cell.id, verdicts)]),
        subjects=further | SUBJECTS | (METHODS[0] if methods else {}),
        levels=all_levels | LEVELS | (METHODS[1] if methods else {}),
        named=level_words,
    )
    return Recommendation(best, cheapest, (*sentences, *more_data(best, verdicts)))


def _is_close(cell: str, verdicts: Verdicts) -> bool:
    """Return whether a cell is nearly as good on test as the best, or better: of few rows a test tells none apart."""
    score, best = verdicts.scores[cell].value, verdicts.scores[verdicts.best].value
    lost = best - score if verdicts.higher_is_better else score - best
    return lost <= (1 - NEAR) * abs(best)


def _smallest(best: CellResult, cells: Sequence[CellResult]) -> CellResult | None:
    """Return which of some cells trains the fewest weights, if that is far fewer than the best does."""
    few = [cell for cell in cells if cell.trainable and cell.trainable <= SMALLER * (best.trainable or 0)]
    return min(few, key=lambda cell: cell.trainable or 0, default=None)


def _gain_of_training(best: CellResult, results: Results, verdicts: Verdicts) -> Comparison | None:
    """Return what a cell has over its prompt without training, of the family of comparisons with the best."""
    untrained = [cell.id for cell in alike(best, results, but="tuning") if cell.tuning == "none"]
    rows: Sequence[Comparison] = () if verdicts.untestable else verdicts.with_best
    return next((row.turned for row in rows if row.a in untrained and not row.reason), None)


def _nothing_trained(cell: CellResult | None, verdicts: Verdicts) -> str:
    """Return what the effect of training nothing is judged, against the baseline's tuning; empty where it is not.

    Args:
        cell: Of a cell alone: where that is the baseline, and the effect is one of its own comparisons once more.
        verdicts: The study's.
    """
    if not verdicts.effects or (cell and cell.id != verdicts.baseline):
        return ""
    moving = [axis for axis, rows in verdicts.effects.main.items() if rows]
    rows = [row for row in verdicts.effects.main.get("tuning", ()) if row.a == "none" and not row.reason]
    return rows[0].verdict if rows and (cell is None or moving == ["tuning"]) else ""


def _exact_share(cell: CellResult, results: Results) -> float:
    """Return which share of a cell's answers equals a target; nan where nothing is answered, or the metric says it."""
    told = results.lead in (EXACT_MATCH.name, ACCURACY.name, *OF_LIKELIHOODS)
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
