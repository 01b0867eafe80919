"""What a command prints, as text for a Python prompt and as HTML for a notebook."""

from __future__ import annotations

import io
from collections.abc import Iterable

from rich.console import Console, RenderableType

from harness.core.printable import printable

__all__ = ["as_html", "as_text"]

PAGE = '<pre style="line-height: normal; white-space: pre; overflow-x: auto">{code}</pre>'
"""What a notebook shows; ``{code}`` is escaped."""

WIDTH = 120
"""Characters of a line; tables are laid out for it."""


def as_text(parts: Iterable[RenderableType]) -> str:
    """Return what a terminal would show, without colors."""
    return printable(_printed(parts).export_text().rstrip("\n"))


def as_html(parts: Iterable[RenderableType]) -> str:
    """Return the same with its colors, escaped."""
    return _printed(parts).export_html(code_format=PAGE, inline_styles=True)


def _printed(parts: Iterable[RenderableType]) -> Console:
    console = Console(
        file=io.StringIO(), width=WIDTH, record=True, force_jupyter=False, markup=False, emoji=False, highlight=False
    )
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, str))
    return console
