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
"""Nats by which a language must be likelier than those that are expected."""


def languages_of(rows: Sequence[Example]) -> frozenset[str]:
    """Return the languages of sources and of targets, as ISO 639-1 codes; without those that cannot be told."""
    some = rows[:ROWS]
    texts = [" ".join(row.source for row in some), " ".join(row.target for row in some)]
    return frozenset(language for text in texts if (language := language_of(text[:CHARACTERS])))


def language_of(text: str, expected: Collection[str] = ()) -> str | None:
    """Return a text's language, ``None`` where it has too few words, or an expected one is nearly as likely."""
    if len(re.findall(r"[^\W\d_]{2,}", text)) < WORDS:
        return None
    (best, score), *others = _identifier().rank(text)
    near = [other for other, less in others if other in expected and score - less < SURE]
    return str(near[0] if near else best)


@cache
def _identifier() -> Any:
    """Return the identifier; its model is unpacked once."""
    from py3langid import langid  # a third of a second

    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE)
