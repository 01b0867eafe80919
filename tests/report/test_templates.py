"""Prose in templates: however its lines are broken, a paragraph is one line and a list keeps its items."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from jinja2 import UndefinedError

from harness.report.templates import paragraphs
from harness.stats import Estimate


def needed(examples: int | None) -> dict[str, Any]:
    estimate = Estimate(0.25, 0.1, 0.4, 0.1, 9.0, 0.04, True)
    comparison = SimpleNamespace(a="p/full", b="p/none", difference=estimate)
    return {
        "verdicts": SimpleNamespace(needed=(comparison, 0.02, examples), metric="rougeL", examples=1200),
    }


@pytest.mark.parametrize(
    ("examples", "words"), [(None, "100,000 test examples would not do"), (34567, "about 34,567 test examples")]
)
def test_a_paragraph_is_one_line_whichever_way_its_template_branches(examples: int | None, words: str) -> None:
    (text,) = paragraphs("text/examples_to_see.md.j2", **needed(examples))
    assert text.startswith(
        "A study like this one that is to see a difference of 0.02 rougeL between p/full and p/none "
    )
    assert words in text
    assert "\n" not in text
    assert "  " not in text


def test_a_template_that_says_nothing_has_no_paragraphs() -> None:
    assert paragraphs("text/examples_to_see.md.j2", verdicts=SimpleNamespace(needed=None)) == []


def test_a_fact_that_is_missing_is_an_error() -> None:
    with pytest.raises(UndefinedError, match="scorings"):
        paragraphs("text/test_access.md.j2")
