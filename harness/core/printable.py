"""Text that is safe to show: what acts on a terminal, hides or turns the text around it stands as its escape."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["printable"]

UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
"""Categories of Unicode: controls, marks of format (bidirectional, of zero width), halves of pairs, separators."""

JOINERS = "\u200c\u200d"
"""Of no width either, but spelling in Persian and in the scripts of India, and what families of emoji are made of."""

_SUSPECT = re.compile(r"[^\t\n -~]")


def printable(text: str) -> str:
    r"""Return a text with each character that cannot be seen as its escape; lines and tabs stay.

    >>> printable("a\x1b[2Jb\r\u202ec")
    'a\\x1b[2Jb\\r\\u202ec'
    """
    return _SUSPECT.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    character = found[0]
    if unicodedata.category(character) not in UNSEEN:
        return character
    before = found.string[found.start() - 1 : found.start()]
    if character in JOINERS and before > "\u036f":  # a Latin letter is joined to nothing
        return character
    return character.encode("unicode_escape").decode()
