"""The registry of metrics: names to factories.

============================  ===========  ==================================================
name                          scale        what it asks
============================  ===========  ==================================================
rouge1 rouge2 rougeL(sum)     0 to 1       which words of the reference are said
bleu                          0 to 100     which runs of words are the reference's
chrf                          0 to 100     the same of characters and words (chrF++)
ter                           0 up, lower  how many edits lead to the reference
token_f1                      0 to 1       do the bags of words agree
exact_match                   0 to 1       is it the reference
distinct1 distinct2           0 to 1       does the model repeat itself
length_ratio                  1 is right   is it too long or too short (never rank by it)
perplexity                    1 up, lower  does the reference surprise the model
pseudo_perplexity             1 up, lower  does each token of a text surprise a masked model
bits_per_byte                 0 up, lower  the same, whatever the tokenizer
accuracy                      0 to 1       is it the right label
macro_f1                      0 to 1       the same, each label as much as any other
calibration_error             0 to 1       how far a label's probability is from the truth (lower)
============================  ===========  ==================================================

A task that needs a variant calls its factory: ``rouge("rougeL", tokenizer="unicode")``, ``bleu(tokenize="zh")``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

from harness.core.closest_match import closest
from harness.core.errors import MetricError
from harness.metrics.base import Metric
from harness.metrics.classification import ACCURACY, CALIBRATION_ERROR, MACRO_F1
from harness.metrics.diversity import distinct
from harness.metrics.likelihood import BITS_PER_BYTE, PERPLEXITY, PSEUDO_PERPLEXITY
from harness.metrics.rouge import KINDS, rouge
from harness.metrics.sacrebleu import bleu, chrf, ter
from harness.metrics.tokens import EXACT_MATCH, LENGTH_RATIO, TOKEN_F1

__all__ = ["get", "is_registered", "names"]

_METRICS: dict[str, Callable[[], Metric]] = {
    **{kind: partial(rouge, kind) for kind in KINDS},
    "bleu": bleu,
    "chrf": chrf,
    "ter": ter,
    "token_f1": lambda: TOKEN_F1,
    "exact_match": lambda: EXACT_MATCH,
    "distinct1": partial(distinct, 1),
    "distinct2": partial(distinct, 2),
    "length_ratio": lambda: LENGTH_RATIO,
    "perplexity": lambda: PERPLEXITY,
    "pseudo_perplexity": lambda: PSEUDO_PERPLEXITY,
    "bits_per_byte": lambda: BITS_PER_BYTE,
    "accuracy": lambda: ACCURACY,
    "macro_f1": lambda: MACRO_F1,
    "calibration_error": lambda: CALIBRATION_ERROR,
}
"""Factories, so that listing the names imports no library."""


def names() -> list[str]:
    """Return the names that `get` knows."""
    return list(_METRICS)


def is_registered(metric: Metric) -> bool:
    """Return whether a metric is one of these in its default form."""
    return metric.name in _METRICS and metric is get(metric.name)


@cache
def get(name: str) -> Metric:
    """Return the metric of that name, in its default form.

    Raises:
        MetricError: There is none.
    """
    if name not in _METRICS:
        raise MetricError(f"unknown metric {name!r}; {closest(name, _METRICS)}")
    return _METRICS[name]()
