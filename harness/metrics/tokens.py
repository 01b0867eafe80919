"""Words of any script, and the metrics that compare bags, strings and numbers of them."""

from __future__ import annotations

import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from harness.core.example import Example, Prediction
from harness.metrics.base import Metric, Vector, mean, signature, total

__all__ = ["EXACT_MATCH", "LENGTH_RATIO", "TOKENIZER", "TOKEN_F1", "words"]

TOKENIZER = f"unicode-{unicodedata.unidata_version}"
"""What a signature says of `words`; Python's character tables decide what a letter is."""

_ONE_BY_ONE = ("CJK ", "HIRAGANA", "IDEOGRAPHIC", "KATAKANA", "HALFWIDTH KATAKANA")
"""Opening words of the Unicode names of Chinese and Japanese characters."""


class _Spacing(dict[int, str]):
    """How each character reads to `words`, worked out when it is first met (a table for `str.translate`)."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        category, name = unicodedata.category(character), unicodedata.name(character, "")
        if category == "Cf" or name.startswith("VARIATION SELECTOR"):
            spaced = ""  # soft hyphens, joiners, emoji styles: they steer the rendering and split no word
        elif category[0] not in "LMN":  # M: without its marks a Hindi or Thai word loses its vowels
            spaced = " "
        else:
            spaced = f" {character} " if name.startswith(_ONE_BY_ONE) else character
        self[code] = spaced
        return spaced


_spacing = _Spacing()


def words(text: str) -> list[str]:
    """Split a text into lowercased runs of letters, marks and digits of any script.

    Chinese and Japanese, which put no spaces between words, give one token a character. On ASCII text this is the
    tokenization of the original ROUGE. Thai, Lao, Khmer and Burmese phrases remain one token each.

    >>> words("Über müde, isn't it?")
    ['über', 'müde', 'isn', 't', 'it']
    >>> words("GPT读了3本书。")
    ['gpt', '读', '了', '3', '本', '书']
    """
    return unicodedata.normalize("NFC", text.lower()).translate(_spacing).split()


def _best(score: Callable[[str, str], float], prediction: Prediction, example: Example) -> Vector:
    """Return the score against the reference that suits the prediction best, shape (1,)."""
    return np.array([max(score(prediction.text, reference) for reference in example.references)])


def _f1(text: str, reference: str) -> float:
    """Return the F1 of two bags of words; two empty ones agree (as in the SQuAD evaluation)."""
    said, wanted = Counter(words(text)), Counter(words(reference))
    if not said or not wanted:
        return float(said == wanted)
    return 2 * (said & wanted).total() / (said.total() + wanted.total())


def _same(text: str, reference: str) -> float:
    return float(text.split() == reference.split())


def _lengths(prediction: Prediction, example: Example) -> Vector:
    """Return the words of the prediction and of the reference closest in length, the shorter on a tie; shape (2,)."""
    said = len(words(prediction.text))
    lengths = [len(words(reference)) for reference in example.references]
    return np.array([said, min(lengths, key=lambda length: (abs(length - said), length))], dtype=np.float64)


def _ratio(statistics: Sequence[Vector]) -> float:
    if not len(statistics):
        return math.nan
    said, wanted = total(statistics)
    return float(said / wanted) if wanted else math.nan


TOKEN_F1 = Metric(
    name="token_f1",
    higher_is_better=True,
    statistics=partial(_best, _f1),
    reduce=mean,
    signature=partial(signature, "token_f1", tok=TOKENIZER, case="lc", articles="kept", refs="max"),
    range=(0.0, 1.0),
)
"""Mean F1 of the bags of words, 0 to 1 (as for SQuAD, Rajpurkar et al. 2016, but articles count)."""

EXACT_MATCH = Metric(
    name="exact_match",
    higher_is_better=True,
    statistics=partial(_best, _same),
    reduce=mean,
    signature=partial(signature, "exact_match", space="normalized", case="mixed", refs="max"),
    range=(0.0, 1.0),
)
"""Share of predictions that equal a reference up to white space, 0 to 1."""

LENGTH_RATIO = Metric(
    name="length_ratio",
    higher_is_better=False,
    statistics=_lengths,
    reduce=_ratio,
    signature=partial(signature, "length_ratio", tok=TOKENIZER, refs="closest"),
)
"""Words said over words wanted: 1 is right, and nothing should be ranked by it. nan where the references are empty.

Neither direction is true. ``higher_is_better`` is False because a study ranks by metrics that are better when higher,
and because rambling, not silence, is how an untuned model fails.
"""
