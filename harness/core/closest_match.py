"""The closest match of a misspelt name: "did you mean"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["closest"]

CLOSE = 0.65
"""How alike two names are, from 0 to 1, for one to be a misspelling of the other: with one letter of three changed."""


def closest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a misspelt name: the closest known one, then all of them.

    >>> closest("barre", ["bare", "cue"])
    "did you mean 'bare'? Known: bare, cue"
    >>> closest("mail", ["alts", "body"])  # another word, which some letters of are the same
    'known: alts, body'
    >>> closest("en_XX", ["ro", "en"])  # one begins with the other
    "did you mean 'en'? Known: ro, en"
    """
    names = list(known)
    listing = ", ".join(names) or "none"
    match = difflib.get_close_matches(name, names, n=1, cutoff=CLOSE)
    match = match or [one for one in names if min(len(one), len(name)) > 1 and _begins(one, name)]
    return f"did you mean {match[0]!r}? Known: {listing}" if match else f"known: {listing}"


def _begins(one: str, other: str) -> bool:
    """Return whether one of two names begins with the other."""
    return one.startswith(other) or other.startswith(one)
