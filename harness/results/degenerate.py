"""Studies in which nothing can be ranked, and cells of which nothing can be claimed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from harness.core.example import Split
from harness.metrics.likelihood import OF_LIKELIHOODS
from harness.results.collect import Results
from harness.stats.answers import Answered
from harness.tracking.schema import score_name

__all__ = ["empty_shares", "nothing_ranks", "unclaimed"]


def nothing_ranks(results: Results) -> str:
    """Return why no cell of a study may be called the first; empty where one may."""
    lead, ranking = results.lead, [cell for cell in results.cells if cell.ranks_by(results.lead)]
    if not ranking:
        return f"no cell has {lead} and a loss on validation that are numbers"
    if lead not in OF_LIKELIHOODS and min(empty_shares(results).values(), default=0) == 1:
        return "all predictions on test are empty"
    splits: tuple[Split, ...] = ("validation", "test")
    for split in splits:
        scores = [cell.score(score_name(split, lead)) for cell in ranking]
        defined = [score for score in scores if math.isfinite(score)]
        if len(defined) > 1 and _equal(defined) and _says_nothing(split, defined[0], results):
            return f"all cells have the same {lead} on {split}, {defined[0]:.4f}"
    return ""


def _says_nothing(split: Split, score: float, results: Results) -> bool:
    """Return whether a score that all cells have leaves nothing to rank them by.

    Where all are perfect on validation, the least loss ranks first. An equal score on test is no fault of the ranking
    (with few rows it is common, and the tests call it undecided) unless nothing was right there.
    """
    if isinstance(results.metric, str):
        return True
    worst, best = results.metric.range if results.maximize else reversed(results.metric.range)
    return not math.isclose(score, best) if split == "validation" else math.isclose(score, worst)


def _equal(scores: Sequence[float]) -> bool:
    return max(scores) - min(scores) <= 1e-9 * max(map(abs, scores))


def unclaimed(results: Results) -> dict[str, str]:
    """Return the cells of which nothing may be claimed, and why, in grid order.

    What is left of the seeds when some have diverged is no sample of the procedure, and a loss that is no number comes
    from weights that are none.
    """
    reasons = {}
    for cell in results.cells:
        finals = len(cell.finals) + cell.diverged_finals
        if cell.diverged_finals:
            reasons[cell.id] = (
                f"{cell.diverged_finals} of {finals} final run{'s' * (finals != 1)} of {cell.id} diverged"
            )
        elif not cell.ranks_by(results.lead):
            reasons[cell.id] = f"the validation score or loss of {cell.id} is no number"
    return reasons


def empty_shares(results: Results) -> Mapping[str, float]:
    """Return each cell's share of empty predictions on test, over all its final runs; of blocks of text few have any.

    None without predictions.
    """
    cells = results.answers.cells if results.answers and not results.is_text else {}
    return {cell: _empty_share(answered) for cell, answered in cells.items()}


def _empty_share(answered: Answered) -> float:
    texts = [prediction.text for run in answered.runs for prediction in run]
    return sum(not text.strip() for text in texts) / len(texts)
