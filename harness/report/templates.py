"""The Jinja templates of page and report; in both filters of `number_format` write the numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2 import Template as JinjaTemplate

from harness.report import number_format

__all__ = ["template"]

FORMATS = ("amount", "difference", "interval", "learning_rate", "probability", "score", "significant")


@cache
def template(name: str) -> JinjaTemplate:
    """Return a template by its path below ``report``.

    In one that ends in ``.html.j2`` all values are escaped and numbers typeset; in any other a filter ``table_row``
    writes cells as a row of a Markdown table.
    """
    html = name.endswith(".html.j2")
    environment = Environment(
        loader=PackageLoader("harness", "report"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for kind in FORMATS:
        write = getattr(number_format, kind)
        environment.filters[kind] = _typesetting(write) if html else write
    environment.filters |= {"typeset": number_format.typeset, "table_row": _table_row}
    return environment.get_template(name)


def _typesetting(write: Callable[..., str]) -> Callable[..., str]:
    return lambda *arguments, **named: number_format.typeset(write(*arguments, **named))


def _table_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
