"""Rows that look like a study's own, as a stored model is asked: names within values, instructions."""

from __future__ import annotations

from typing import Any

import pytest

from harness.data.known_columns import Instructions
from harness.data.nested_names import value_at
from harness.data.template import Template
from harness.data.tokenization import Limits
from harness.models.base_of_delta import Base
from harness.serving.recipe import Recipe
from harness.study.decoding_settings import Decoding
from harness.study.tuning import Tuning

BASE = Base("embedded", None, None, "float32", False, False, "w", "a", {})


def recipe(text: str = "{{ source }}\n", **keys: Any) -> Recipe:
    parts = (Template("own", text), Limits(90, 12), Decoding(8), "fp32", Tuning(kind="head"), BASE, "full", "w")
    return Recipe(*parts, **keys)


def read(made: Recipe, row: dict[str, Any]) -> dict[str, Any]:
    whole = made.with_turns(row)
    return {name: value_at(whole, column) for name, column in made.columns_of(whole).items()}


def test_a_name_within_a_value_is_read() -> None:
    made = recipe(columns={"source": "translation.en"})
    assert read(made, {"translation": {"en": "a", "fr": "b"}}) == {"source": "a"}
    assert read(made, {"translation": '{"en": "a"}'}) == {"source": "a"}, "a cell of a table"
    assert read(made, {"translation.en": "a"}) == read(made, {"source": "a"}) == {"source": "a"}
    assert read(made, {"translation": {"fr": "b"}}) == {}


@pytest.mark.parametrize(
    ("row", "source"),
    [
        ({"instruction": "Sum up.", "input": "A text."}, "Sum up.\nA text."),
        ({"instruction": "Say a.", "input": ""}, "Say a."),
        ({"instruction": "Say a."}, "Say a."),
        ({"instruction": "Say a.", "source": "own"}, "own"),
    ],
)
def test_an_instruction_is_the_source(row: dict[str, Any], source: str) -> None:
    names = Instructions("instruction", "input", "output")
    made = recipe(instructions=names)
    assert read(made, row) == {"source": source}
    assert Recipe.from_json(made.as_json()) == made
    assert read(recipe(), row) == ({"source": "own"} if "source" in row else {}), "of other data it is none"
    assert "instructions" not in recipe().as_json()
    assert read(recipe("{{ source }} {{ input }}", instructions=names), row).get("input") == row.get("input")
