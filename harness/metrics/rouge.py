"""ROUGE (Lin 2004) by rouge_score: the mean over examples of the F-measure, 0 to 1."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from importlib.metadata import version
from typing import Any, Literal

import numpy as np

from harness.core.closest_match import closest
from harness.core.errors import MetricError
from harness.core.example import Example, Prediction
from harness.metrics.base import Metric, Vector, mean, signature
from harness.metrics.tokens import TOKENIZER, words

__all__ = ["KINDS", "rouge"]

KINDS = ("rouge1", "rouge2", "rougeL", "rougeLsum")
"""Overlap of words, of pairs of words, longest common subsequence, and the same over lines (a line a sentence)."""

_TOKENIZERS = ("default", "unicode")


class _Words:
    """The tokenizer object that rouge_score asks for."""

    def tokenize(self, text: str) -> list[str]:
        return words(text)


@cache
def _scorer(kind: str, tokenizer: str, stemmer: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], use_stemmer=stemmer, tokenizer=_Words() if tokenizer == "unicode" else None)


def _statistics(kind: str, tokenizer: str, stemmer: bool, prediction: Prediction, example: Example) -> Vector:
    """Return the F-measure against the best reference, shape (1,)."""
    scores = _scorer(kind, tokenizer, stemmer).score_multi(example.references, prediction.text)
    return np.array([scores[kind].fmeasure], dtype=np.float64)


def _signature(kind: str, tokenizer: str, stemmer: bool) -> str:
    return signature(
        kind,
        tok=TOKENIZER if tokenizer == "unicode" else "default[a-z0-9]",
        case="lc",
        stem="porter" if stemmer else "no",
        measure="f1",
        refs="max",
        version=f"rouge_score-{version('rouge_score')}",
    )


def rouge(kind: str, *, tokenizer: Literal["default", "unicode"] = "default", stemmer: bool = False) -> Metric:
    """Return a ROUGE metric; with several references the best one counts.

    Args:
        kind: One of `KINDS`.
        tokenizer: ``default`` keeps the letters a to z and digits alone, as published English numbers do;
            ``unicode`` keeps every script (`harness.metrics.tokens.words`), so that umlauts and Chinese count.
        stemmer: Whether to cut English endings (Porter), with the default tokenizer.

    Raises:
        MetricError: An unknown kind or tokenizer, or a stemmer asked of the unicode tokenizer.
    """
    _check(kind, "ROUGE", KINDS)
    _check(tokenizer, "ROUGE tokenizer", _TOKENIZERS)
    if stemmer and tokenizer == "unicode":
        raise MetricError(f"{kind}: the Porter stemmer knows English alone; use tokenizer='default' or stemmer=False")
    return Metric(
        name=kind,
        higher_is_better=True,
        statistics=partial(_statistics, kind, tokenizer, stemmer),
        reduce=mean,
        signature=partial(_signature, kind, tokenizer, stemmer),
        range=(0.0, 1.0),
    )


def _check(value: str, noun: str, known: Sequence[str]) -> None:
    if value not in known:
        raise MetricError(f"unknown {noun} {value!r}; {closest(value, known)}")
