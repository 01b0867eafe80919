"""A prompt's text here and in MLflow's Prompt Registry, so that both fill it in alike.

Here a prompt is always Jinja2. MLflow fills in ``{{ name }}`` and nothing else, until a text holds a statement
``{% ... %}``: then it is Jinja2 there as well, but without the newline at its very end. So a text that needs Jinja2 is
registered with a statement behind it, which does nothing; it keeps the newline and tells MLflow what it is. All line
ends become newlines, as Jinja2 has it.
"""

from __future__ import annotations

import re

from harness.core.errors import TemplateError

__all__ = ["from_registry", "to_registry"]

FIELD = re.compile(r"\{\{\s*[a-zA-Z_]\w*\s*\}\}", re.ASCII)
"""What MLflow fills in by itself."""

STATEMENT = "{% set jinja = true %}"
"""Renders nothing."""

LINE_END = re.compile(r"\r\n|\r")


def to_registry(text: str) -> str:
    """Return the text to register; MLflow's ``format`` makes of it what `Template.render` makes of the prompt."""
    lines = LINE_END.sub("\n", text)
    if _is_plain(lines):
        return lines
    return STATEMENT + lines if lines.endswith("{") else lines + STATEMENT  # "{" and "{%" would be read as "{{"


def from_registry(text: str, *, uri: str) -> str:
    """Return a registered text as Jinja2 that renders as MLflow's ``format`` does.

    Raises:
        TemplateError: MLflow would leave a part of it as it stands that Jinja2 would fill in.
    """
    lines = LINE_END.sub("\n", text)
    if lines.startswith(STATEMENT) or lines.endswith(STATEMENT):
        return lines.removeprefix(STATEMENT).removesuffix(STATEMENT)
    if "{%" in lines and "%}" in lines:
        return lines.removesuffix("\n")
    if not _is_plain(lines):
        raise TemplateError(
            f"{uri}: MLflow fills in plain {{{{ fields }}}} alone and would leave its other braces as they stand; "
            f"register it with {STATEMENT} behind it to make it Jinja2"
        )
    return lines


def _is_plain(text: str) -> bool:
    rest = FIELD.sub("", text)
    return not any(mark in rest for mark in ("{{", "{%", "{#"))
