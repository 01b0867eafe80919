"""The Jinja templates of all that is shown as text: filters of `number_format` write their numbers, in all of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2 import Template as JinjaTemplate

from harness.report import number_format
from harness.study.tuning_kinds import in_words

__all__ = ["count", "listed", "paragraphs", "template"]

FORMATS = (
    "amount",
    "difference",
    "duration",
    "interval",
    "learning_rate",
    "percent",
    "probability",
    "score",
    "significant",
)


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
    words: dict[str, Callable[..., Any]] = {
        "count": count,
        "fenced": _fenced,
        "in_words": in_words,
        "listed": listed,
        "table_row": _table_row,
    }
    environment.filters |= words | {"places": number_format.places, "typeset": number_format.typeset}
    environment.tests |= {"nan": math.isnan, "finite": math.isfinite}
    return environment.get_template(name)


def paragraphs(name: str, **facts: Any) -> list[str]:
    """Return the paragraphs of a template of prose: each in one line, apart from items of a list."""
    blocks = re.split(r"\n\s*\n", template(name).render(**facts))
    return [re.sub(r" *\n(?!- ) *| {2,}", " ", block.strip()) for block in blocks if block.strip()]


def count(number: int, noun: str) -> str:
    """Return so many of a noun.

    >>> count(1, "cell"), count(2, "cell")
    ('1 cell', '2 cells')
    """
    return f"{number} {noun}{'s' * (number != 1)}"


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return the first names, and how many more there are."""
    few = ", ".join(names[:most])
    return few if len(names) <= most else f"{few} and {len(names) - most} more"


def _typesetting(write: Callable[..., str]) -> Callable[..., str]:
    return lambda *arguments, **named: number_format.typeset(write(*arguments, **named))


def _fenced(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def _table_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
