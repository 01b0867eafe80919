"""ROUGE (Lin 2004) by rouge_score: the mean over examples of the F-measure, 0 to 1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
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

REMEMBERED = 4096
"""Texts whose tokens are kept."""


class _Tokenizer:
    """The tokenizer object that rouge_score asks for; a reference is that of many predictions, so texts are kept."""

    def __init__(self, tokenize: Callable[[str], list[str]]) -> None:
        self.tokenize = lru_cache(maxsize=REMEMBERED)(tokenize)


@cache
def _tokenizer(tokenizer: str, stemmer: bool) -> _Tokenizer:
    if tokenizer == "unicode":
        return _Tokenizer(words)
    if stemmer:
        from rouge_score.tokenizers import DefaultTokenizer  # nltk, which takes seconds to import

        return _Tokenizer(DefaultTokenizer(stemmer).tokenize)
    from rouge_score.tokenize import tokenize  # all that the default tokenizer is without a stemmer

    return _Tokenizer(lambda text: tokenize(text, None))


@cache
def _scorer(kind: str, tokenizer: str, stemmer: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], use_stemmer=stemmer, tokenizer=_tokenizer(tokenizer, stemmer))


def _statistics(kind: str, tokenizer: str, stemmer: bool, prediction: Prediction, example: Example) -> Vector:
    """Return the F-measure against the best reference, shape (1,)."""
    if kind == "rougeL":
        tokenize = _tokenizer(tokenizer, stemmer).tokenize
        said = tokenize(prediction.text)
        return np.array([max(_f_of_longest(tokenize(text), said) for text in example.references)], dtype=np.float64)
    scores = _scorer(kind, tokenizer, stemmer).score_multi(example.references, prediction.text)
    return np.array([scores[kind].fmeasure], dtype=np.float64)


def _f_of_longest(reference: Sequence[str], said: Sequence[str]) -> float:
    """Return the F-measure by the longest common subsequence, as rouge_score does, which takes a table for it."""
    from rouge_score.scoring import fmeasure

    if not reference or not said:
        return 0.0
    common = _longest_common(reference, said)
    return float(fmeasure(common / len(said), common / len(reference)))


def _longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how long the longest common subsequence is, a row of the table at a time as the bits of a number.

    Hyyrö 2004, "Bit-Parallel LCS-length Computation Revisited".

    >>> _longest_common("a b c d".split(), "b a c x d".split())
    3
    """
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    whole = row = (1 << len(one)) - 1
    for word in other:
        matches = row & places.get(word, 0)
        row = (row + matches | row - matches) & whole
    return len(one) - row.bit_count()


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
