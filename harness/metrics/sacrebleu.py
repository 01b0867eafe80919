"""BLEU, chrF++ and TER by sacreBLEU (Post 2018): corpus scores from statistics that add up."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from harness.core.closest_match import closest
from harness.core.errors import MetricError
from harness.core.example import Example, Prediction
from harness.metrics.base import Metric, Vector, total
from harness.metrics.sacrebleu_compat import segment_statistics, summed_score

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric as Scorer

__all__ = ["bleu", "chrf", "ter"]


@cache
def _bleu(tokenize: str) -> Scorer:
    from sacrebleu.metrics.bleu import BLEU

    if tokenize not in BLEU.TOKENIZERS:
        raise MetricError(f"bleu: unknown tokenizer {tokenize!r}; {closest(tokenize, sorted(BLEU.TOKENIZERS))}")
    try:
        return BLEU(tokenize=tokenize)
    except (ImportError, OSError, RuntimeError) as error:  # a package or a downloaded file is not there
        reason = " ".join(str(error).split())
        raise MetricError(f"bleu: tokenizer {tokenize!r} cannot be set up ({reason}); 13a needs nothing") from error


@cache
def _chrf(word_order: int) -> Scorer:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(word_order=word_order)


@cache
def _ter() -> Scorer:
    from sacrebleu.metrics.ter import TER

    return TER()


def _statistics(scorer: Callable[[], Scorer], prediction: Prediction, example: Example) -> Vector:
    return segment_statistics(scorer(), prediction.text, example.references)


def _reduce(scorer: Callable[[], Scorer], statistics: Sequence[Vector]) -> float:
    return summed_score(scorer(), total(statistics)) if len(statistics) else math.nan


def _signature(name: str, scorer: Callable[[], Scorer]) -> str:
    """Return sacreBLEU's signature under the metric's name.

    The number of references reads ``var``: it belongs to the data, and may differ by example.
    """
    scorer().corpus_score([""], [[""]])  # sacreBLEU signs nothing before it has scored something
    signed = scorer().get_signature()
    signed.update("nrefs", "var")
    return f"{name}|{signed.format()}"


def _metric(name: str, scorer: Callable[[], Scorer], *, higher_is_better: bool) -> Metric:
    return Metric(
        name=name,
        higher_is_better=higher_is_better,
        statistics=partial(_statistics, scorer),
        reduce=partial(_reduce, scorer),
        signature=partial(_signature, name, scorer),
        range=(0.0, 100.0 if higher_is_better else math.inf),
    )


def bleu(*, tokenize: str = "13a") -> Metric:
    """Return corpus BLEU, 0 to 100 (Papineni et al. 2002), cased, with exponential smoothing.

    Args:
        tokenize: A tokenizer of sacreBLEU; ``zh`` and ``char`` are for text without spaces.

    Raises:
        MetricError: The tokenizer is unknown, or lacks a package or a file here.
    """
    _bleu(tokenize)  # fail where the metric is named, not after the training
    return _metric("bleu", partial(_bleu, tokenize), higher_is_better=True)


def chrf(*, word_order: int = 2) -> Metric:
    """Return corpus chrF, 0 to 100 (Popović 2015, 2017): characters to order 6 and words to ``word_order``, beta 2.

    Two is chrF++, none the original chrF.
    """
    return _metric("chrf", partial(_chrf, word_order), higher_is_better=True)


def ter() -> Metric:
    """Return the translation edit rate in percent (Snover et al. 2006), lowercased; 0 is best, 100 no bound."""
    return _metric("ter", _ter, higher_is_better=False)
