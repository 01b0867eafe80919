"""Mixtures of prompts: each row under one of them, by what it holds, as that prompt alone would write it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import TemplateError
from harness.core.example import Example
from harness.data.prompt_forms import form_of, restored, stored_fields
from harness.data.prompt_mixture import PromptMixture, parts_of
from harness.data.template import Template
from harness.models.load import load
from harness.testing import tiny_model

BARE = Template("bare", "{{ source }}\n", shorten="source")
CUE = Template("cue", "{{ source }}{{ note }}\nTL;DR:", shorten="source", keep="end")
MIX = PromptMixture("mix", (BARE, CUE))


@given(st.dictionaries(st.sampled_from(["source", "note", "other"]), st.text(min_size=1)))
def test_a_row_keeps_its_prompt_whatever_else_it_holds(fields: dict[str, str]) -> None:
    chosen = MIX.of(fields)
    assert chosen in (BARE, CUE)
    assert MIX.of(dict(reversed(fields.items()))) == chosen
    assert MIX.of({**fields, "id": "another"}) == chosen, "what no prompt shows does not count"


def test_every_prompt_has_about_its_share() -> None:
    counts = Counter(MIX.of({"source": f"note {number}", "note": ""}).name for number in range(2000))
    assert all(900 < counts[name] < 1100 for name in ("bare", "cue"))


def test_rows_are_those_of_the_prompt_that_they_have(tmp_path_factory: pytest.TempPathFactory) -> None:
    loaded = load(str(tiny_model("gpt2", tmp_path_factory.mktemp("gpt2"))))
    seen = set()
    for number in range(20):
        example = Example(id=str(number), fields={"source": f"a note {number} " * 9, "note": "!"}, target="a note")
        own = MIX.of(example.fields)
        seen.add(own.name)
        assert MIX.tokenize(example, loaded, limit=20) == own.tokenize(example, loaded, limit=20)
        assert MIX.render(example.fields) == own.render(example.fields)
    assert seen == {"bare", "cue"}


def test_it_is_stored_and_restored() -> None:
    assert form_of(MIX) == "mixture"
    assert restored(stored_fields(MIX)) == MIX
    assert parts_of(MIX) == ("bare", "cue")
    assert parts_of(BARE) == ()


def test_one_prompt_is_no_mixture() -> None:
    with pytest.raises(TemplateError, match="mixes 1 prompts; name two or more"):
        PromptMixture("mix", (BARE,))
