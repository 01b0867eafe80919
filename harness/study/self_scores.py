"""Metrics that call a reference less than right: no prediction can be scored as right there, and trials look alike."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from harness.core.errors import HarnessError, MetricError
from harness.core.example import Example, Prediction
from harness.metrics.base import Metric
from harness.metrics.registry import is_registered

__all__ = ["self_scores"]

ROWS = 500
"""The most rows that are tried, evenly spread: a metric may take milliseconds for one."""

_PLAIN = re.compile(r"(\b[a-z0-9]+\b\W*){4}", re.IGNORECASE | re.ASCII)
"""Four words of a to z. What holds them gets the best score of every metric of the registry, unless it is asked for in
another form, so that the libraries of these metrics, seconds to import, are not needed for most data."""

_ONE, _OTHER = "two words here now", "nothing of the kind"

TRIED = 50
"""The most rows whose answers are exchanged, to see whether a metric tells any from another."""


def self_scores(metrics: Sequence[Metric | str], rows: Sequence[Example]) -> list[str]:
    """Return a sentence for each metric that gives references scored against themselves less than its best score.

    Metrics that measure no agreement with a reference are left out: those whose best score is not known or cannot be
    had, those of the Hub, which are not loaded here, and those that do not read the reference, unless they give one
    score to everything. A metric that gives all rows together their best is right, whatever it gives one row by itself:
    BLEU needs four words somewhere.

    Raises:
        MetricError: A metric fails on a row; names both.
    """
    chosen = rows[:: math.ceil(len(rows) / ROWS)] if rows else []
    sentences = []
    for metric in (metric for metric in metrics if isinstance(metric, Metric)):
        if short := _short(metric, chosen):
            example = short[0]
            sentences.append(
                f"{metric.name} gives {len(short) / len(chosen):.0%} of references less than its best score when "
                f"predicted word for word ({example.id!r}: {example.target[:40]!r}): it cannot tell right from "
                "wrong there; take a metric, or a tokenizer of it, that reads them."
            )
        elif chosen and _is_constant(metric, chosen):
            sentences.append(
                f"{metric.name} gives its best score to whatever was tried (references, other texts, nothing): it "
                "tells no answer from another; take another metric."
            )
    return sentences


def _agrees(metric: Metric, rows: Sequence[Example]) -> bool:
    """Return whether a metric has a best score, and the reference has a say in it."""
    one, other = (replace(rows[0], target=text, references=(text,)) for text in (_ONE, _OTHER))
    pairs = [(one, other), *zip(rows, rows[1:], strict=False)]
    said = ((own, other, Prediction(own.id, own.target, 0.0, 1)) for own, other in pairs)
    return math.isfinite(_best(metric)) and any(
        _score(metric, [prediction], [own]) != _score(metric, [prediction], [other]) for own, other, prediction in said
    )


def _is_constant(metric: Metric, rows: Sequence[Example]) -> bool:
    """Return whether a metric of one's own gives one score to all that is tried, whatever it says and how likely."""
    if is_registered(metric) or not math.isfinite(_best(metric)):
        return False
    tries = [(row, (row.target, _OTHER, "")) for row in rows[:TRIED]]
    scores = {
        repr(_score(metric, [Prediction(row.id, text, float(number), 1)], [row]))
        for row, texts in tries
        for number, text in enumerate(texts)
    }
    return len(scores) == 1


def _short(metric: Metric, rows: Sequence[Example]) -> list[Example]:
    """Return the rows whose target, as a prediction, does not get the best score; none where all together do."""
    if is_registered(metric):
        rows = _doubtful(rows)
    predictions = [Prediction(row.id, row.target, 0.0, 1) for row in rows]
    if not rows or not (_agrees(metric, rows) or _is_constant(metric, rows)):
        return []
    if _is_best(metric, _score(metric, predictions, rows)):
        return []
    pairs = zip(rows, predictions, strict=True)
    return [row for row, prediction in pairs if not _is_best(metric, _score(metric, [prediction], [row]))]


def _doubtful(rows: Sequence[Example]) -> list[Example]:
    """Return the rows that are not plain, and one of the others to keep them company; none where all are plain."""
    doubtful = [row for row in rows if not _PLAIN.search(row.target)]
    return [*doubtful, *([row for row in rows if _PLAIN.search(row.target)][:1] if doubtful else [])]


def _score(metric: Metric, predictions: Sequence[Prediction], rows: Sequence[Example]) -> float:
    try:
        return metric.reduce([metric.statistics(*pair) for pair in zip(predictions, rows, strict=True)])
    except HarnessError:
        raise
    except Exception as error:  # whatever a user's metric raises is that metric's problem
        said = f"on prediction {predictions[0].text[:40]!r} for example {rows[0].id!r}"
        raise MetricError(
            f"metric {metric.name!r} fails {said}: {type(error).__name__}: {error}; it must score any text"
        ) from error


def _best(metric: Metric) -> float:
    return metric.range[1] if metric.higher_is_better else metric.range[0]


def _is_best(metric: Metric, score: float) -> bool:
    return math.isclose(score, _best(metric), rel_tol=1e-6, abs_tol=1e-9)
