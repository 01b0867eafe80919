"""Many rows: what is done in one pass, or many at a time, says what one row at a time does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import TemplateError
from harness.core.example import ListDigest, digest
from harness.data import template
from harness.data.template import Template
from harness.study.model_config import describe
from harness.study.tokenizer_without_model import KNOWN, light_reader

TEXTS = st.text(st.sampled_from("ab -.,!\n\ré日\u0301\ud800<>{}"), max_size=12)
FIELDS = st.dictionaries(st.sampled_from(["source", "speaker", "range", "self"]), TEXTS | st.none() | st.integers())
PLAIN = st.lists(
    st.sampled_from(["{{ source }}", "{{speaker}}", "{{ range }}", "{{ self }}", "Say:\r\n", " \n", "{# no #}"])
)


@given(text=PLAIN.map("".join), fields=FIELDS)
def test_a_plain_template_is_what_jinja_makes_of_it(text: str, fields: dict[str, object]) -> None:
    def rendered() -> str:
        try:
            return Template("t", text).render(fields)
        except TemplateError as error:
            return f"refused: {error}"

    joined = rendered()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(template, "_joined", lambda text, fields: None)
        assert joined == rendered()


@given(items=st.lists(st.recursive(TEXTS.filter(str.isascii) | st.integers() | st.none(), st.lists)))
def test_a_list_that_passes_has_the_digest_of_one_that_is_there(items: list[object]) -> None:
    total = ListDigest()
    for item in items:
        total.add(item)
    assert str(total) == digest(items)


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "marian"])
def test_texts_read_ahead_have_the_same_tokens(family: str, tiny_folder: Callable[..., Path]) -> None:
    tokenizer = light_reader(describe(str(tiny_folder(family)))).tokenizer
    texts = [
        "",
        "short note",
        " \n two  spaces ",
        "émigré 日本語 </s><pad>",
        *(f"row {number}" for number in range(200)),
    ]
    alone = {
        (text, own): tokenizer(text, add_special_tokens=own)["input_ids"] for text in texts for own in (True, False)
    }
    tokenizer.read_ahead(texts, texts)
    assert {key: tokenizer(key[0], add_special_tokens=key[1])["input_ids"] for key in alone} == alone


def test_few_texts_are_remembered(tiny_folder: Callable[..., Path]) -> None:
    tokenizer = light_reader(describe(str(tiny_folder("gpt2")))).tokenizer
    for number in range(KNOWN + 100):
        tokenizer(f"row {number}")
    assert len(tokenizer._known) <= KNOWN
