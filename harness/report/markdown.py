"""Markdown that shows texts as they are: ids, questions and answers are no headings, links, pictures, code or HTML.

Escaped is what means something where it stands, and no more, so that a report reads well as plain text too.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from harness.core.printable import printable

__all__ = ["code", "fenced", "paragraph", "table_row"]

_INLINE = re.compile(
    r"[\\`*\[\]~$|]"  # emphasis, code, links and pictures, mathematics, cells of a table
    r"|(?<![^\W_])_|_(?![^\W_])"  # within a word it is a letter
    r"|<(?=[A-Za-z/!?])|&(?=#?\w+;)"
    r"|(?i:(?<=http)|(?<=https)|(?<=ftp)|(?<=mailto)|(?<=xmpp)):|(?i:(?<=\bwww))\."  # addresses become links
)
_BEGIN = re.compile(r"\s*(?:#{1,6}(?=\s|$)|>|[-+](?=\s)|-{2,}|={2,}|\d{1,9}[.)](?=\s))")
"""Headings, quotes, lists and rules, at the beginning of a line."""

_ENTITIES = {"<": "&lt;", "&": "&amp;"}
"""Not every reader of Markdown knows a backslash before these."""


def paragraph(value: Any) -> Any:
    """Return a value as a paragraph, or a piece of one, shows it: text in one line; markup stays what it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    text = re.sub(r"^\s+", " ", _inline(value))  # a tab or four spaces would begin a block of code
    begin = _BEGIN.match(text)
    return Markup(f"{text[: begin.end() - 1]}\\{text[begin.end() - 1 :]}" if begin else text)


def table_row(cells: Sequence[str]) -> Markup:
    """Return cells as a row of a table."""
    return Markup("| " + " | ".join(map(_inline, cells)) + " |")


def code(text: str) -> Markup:
    """Return a text as code within a line."""
    marks, shown = _marks(text, 1), printable(text).replace("\n", " ")
    room = " " if "`" in (text[:1], text[-1:]) else ""
    return Markup(f"{marks}{room}{shown}{room}{marks}")


def fenced(text: str, language: str = "") -> Markup:
    """Return a text as a block of code."""
    marks = _marks(text, 3)
    return Markup(f"{marks}{language}\n{printable(text)}\n{marks}")


def _inline(text: str) -> str:
    line = re.sub(r"\s*\n\s*", " ", printable(text))
    return _INLINE.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), line)


def _marks(text: str, least: int) -> str:
    return "`" * max(least, 1 + max(map(len, re.findall("`+", text)), default=0))
