"""The closest match of a misspelt name: "did you mean"."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["closest"]


def closest(name: str, known: Iterable[str]) -> str:
    """Return a hint for a misspelt name: the closest known one, then all of them.

    >>> closest("barre", ["bare", "cue"])
    "did you mean 'bare'? Known: bare, cue"
    >>> closest("zzz", ["bare", "cue"])
    'known: bare, cue'
    """
    names = list(known)
    listing = ", ".join(names) or "none"
    match = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {match[0]!r}? Known: {listing}" if match else f"known: {listing}"
