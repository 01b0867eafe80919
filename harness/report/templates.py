"""The Jinja templates of all that is shown as text: filters of `number_format` write their numbers, in all of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from jinja2 import Template as JinjaTemplate
from markupsafe import Markup

from harness.core.printable import printable
from harness.report import markdown, number_format

__all__ = ["count", "listed", "paragraphs", "template"]

FORMATS = (
    "amount",
    "difference",
    "duration",
    "interval",
    "interval_of",
    "learning_rate",
    "percent",
    "probability",
    "score",
    "significant",
)


@cache
def template(name: str) -> JinjaTemplate:
    """Return a template by its path below ``report``, HTML or Markdown: all values in it are escaped accordingly.

    In HTML numbers are typeset.
    """
    html = name.endswith(".html.j2")
    environment = _environment(autoescape=True, finalize=_seen if html else markdown.paragraph)
    if html:
        environment.filters |= {kind: _typesetting(getattr(number_format, kind)) for kind in FORMATS}
    return environment.get_template(name)


def paragraphs(name: str, **facts: Any) -> list[str]:
    """Return the paragraphs of a template of prose: each in one line, apart from items of a list.

    It is plain text, for a terminal too; what shows it elsewhere escapes it.
    """
    blocks = re.split(r"\n\s*\n", _prose(name).render(**facts))
    return [re.sub(r" *\n(?!- ) *| {2,}", " ", block.strip()) for block in blocks if block.strip()]


@cache
def _prose(name: str) -> JinjaTemplate:
    return _environment(autoescape=False, finalize=_of_one_paragraph).get_template(name)


def _environment(**options: Any) -> Environment:
    environment = Environment(
        loader=PackageLoader("harness", "report"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    words: dict[str, Callable[..., Any]] = {
        "code": markdown.code,
        "count": count,
        "fenced": markdown.fenced,
        "listed": listed,
        "table_row": markdown.table_row,
    }
    environment.filters |= words | {kind: getattr(number_format, kind) for kind in FORMATS}
    environment.filters |= {"places": number_format.places, "typeset": number_format.typeset}
    environment.tests |= {"nan": math.isnan, "finite": math.isfinite}
    return environment


def _of_one_paragraph(value: Any) -> Any:
    return re.sub(r"\n\s*\n", " ", value) if isinstance(value, str) else value


def _seen(value: Any) -> Any:
    """Return a value with nothing hidden in it, to be escaped as HTML."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


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
