"""A prompt's text here and in MLflow's Prompt Registry, so that both fill it in alike.

Here a prompt is always Jinja2. MLflow fills in ``{{ name }}`` and nothing else, until a text holds a statement
``{% ... %}``: then it is Jinja2 there as well, but without the newline at its very end. So a text that needs Jinja2 is
registered with a statement behind it, which does nothing; it keeps the newline and tells MLflow what it is. All line
ends become newlines, as Jinja2 has it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.core.errors import TemplateError

__all__ = ["from_registry", "to_registry"]

FIELD = re.compile(r"\{\{\s*[a-zA-Z_]\w*\s*\}\}", re.ASCII)
"""What MLflow fills in by itself."""

STATEMENT = "{% set jinja = true %}"
"""Renders nothing."""

LINE_END = re.compile(r"\r\n|\r")


def to_registry(texts: Sequence[str]) -> list[str]:
    """Return the texts of a prompt to register, one, or those of a chat's turns.

    MLflow's ``format`` makes of them what `Template.render` makes; where one of a chat's is Jinja2 there, all are.
    """
    lines = [LINE_END.sub("\n", text) for text in texts]
    return lines if all(map(_is_plain, lines)) else list(map(_as_jinja, lines))


def from_registry(texts: Sequence[str], *, uri: str) -> list[str]:
    """Return registered texts, one, or those of a chat's turns, as Jinja2 that renders as MLflow's ``format`` does.

    Raises:
        TemplateError: MLflow would leave a part of them as it stands that Jinja2 would fill in.
    """
    lines = [LINE_END.sub("\n", text) for text in texts]
    if any("{%" in text and "%}" in text for text in lines):
        return list(map(_of_jinja, lines))
    if not all(map(_is_plain, lines)):
        raise TemplateError(
            f"{uri}: MLflow fills in plain {{{{ fields }}}} alone and would leave its other braces as they stand; "
            f"register it with {STATEMENT} behind it to make it Jinja2"
        )
    return lines


def _as_jinja(lines: str) -> str:
    return STATEMENT + lines if lines.endswith("{") else lines + STATEMENT  # "{" and "{%" would be read as "{{"


def _of_jinja(lines: str) -> str:
    if lines.startswith(STATEMENT) or lines.endswith(STATEMENT):
        return lines.removeprefix(STATEMENT).removesuffix(STATEMENT)
    return lines.removesuffix("\n")


def _is_plain(text: str) -> bool:
    rest = FIELD.sub("", text)
    return not any(mark in rest for mark in ("{{", "{%", "{#"))
