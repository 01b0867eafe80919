"""The languages of a study's prompts and data, as `py3langid` tells them (Lui and Baldwin 2012, "langid.py")."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from harness.core.example import Example

__all__ = ["language_of", "languages_of"]

ROWS, CHARACTERS = 50, 2000
"""Rows that are looked at, and the most characters of all their sources, or all their targets."""

WORDS = 4
"""The fewest of a text whose language can be told."""

SURE = 20.0
"""Nats by which a language must be likelier than those that are expected; that of data, than any other."""

NONE = "zxx"
"""What is no language, such as formulas."""


def languages_of(rows: Sequence[Example]) -> frozenset[str]:
    """Return the languages of sources and of targets, as ISO 639-1 codes.

    Those that cannot be told are left out: names of things and formulas look like this language or that, and so do
    labels, of which each counts once.
    """
    some = rows[:ROWS]
    texts = [" ".join(dict.fromkeys(each)) for each in ([row.source for row in some], [row.target for row in some])]
    told = [ranked[:2] for text in texts if len(ranked := _ranked(text[:CHARACTERS])) > 1]
    return frozenset(best for (best, score), (_, less) in told if best != NONE and score - less >= SURE)


def language_of(text: str, expected: Collection[str] = ()) -> str | None:
    """Return a text's language, ``None`` where it has too few words; an expected one where that is nearly as likely."""
    ranked = _ranked(text)
    near = [language for language, less in ranked if language in expected and ranked[0][1] - less < SURE]
    return next(iter([*near, *(language for language, _ in ranked)]), None)


def _ranked(text: str) -> list[tuple[str, float]]:
    """Return languages with their log-likelihoods, the likeliest first; none of a text with too few words."""
    if len(re.findall(r"[^\W\d_]{2,}", text)) < WORDS:
        return []
    return [(str(language), float(score)) for language, score in _identifier().rank(text)]


@cache
def _identifier() -> Any:
    """Return the identifier; its model is unpacked once."""
    from py3langid import langid  # a third of a second

    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE)
