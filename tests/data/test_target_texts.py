"""What a target is as text: its ends are a prediction's, and what is read back of it is what `generate` would say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from harness.core.example import Example, fingerprint
from harness.data.decoder_prefix import AnswerTokens
from harness.data.target_texts import said_by_heart, trimmed
from harness.models.load import Loaded
from harness.study.model_config import Description
from harness.study.tokenizer_without_model import light_reader
from tests.support.odd_tokenizers import MADE, write_tokenizer


@pytest.mark.parametrize(
    ("text", "end", "left"),
    [
        ("key", "</s>", "key"),
        (" \tkey \n", "</s>", "key"),
        ("key</s>", "</s>", "key"),
        ("key </s> </s>\n", "</s>", "key"),
        ("</s>", "</s>", ""),
        ("a</s> b", "</s>", "a</s> b"),
        ("key</s>", "<|endoftext|>", "key</s>"),
        ("key</s> ", None, "key</s>"),
        ("  \n", "</s>", ""),
    ],
)
def test_targets_and_references_lose_what_predictions_cannot_end_in(text: str, end: str | None, left: str) -> None:
    row = Example("a", {"source": "x"}, text, ("other", text), group="g")
    assert trimmed(row, end) == Example("a", {"source": "x"}, left, ("other", left), group="g")


@given(st.text().filter(lambda text: text == text.strip()))
def test_nothing_else_changes_by_a_byte(text: str) -> None:
    rows = [Example("a", {"source": text}, text), Example("b", {"source": text}, text, ("other", text))]
    after = [trimmed(row, "</s>") for row in rows]
    if not text.endswith("</s>"):
        assert all(new is old for new, old in zip(after, rows, strict=True))
        assert fingerprint(after) == fingerprint(rows)


class _Whole(NamedTuple):
    """A reader with transformers' own tokenizer."""

    tokenizer: object
    is_encoder_decoder: bool
    context: None = None
    answers: AnswerTokens = AnswerTokens()


PIECES = st.sampled_from(
    [
        *"ab1{.,:!?'\n\t ",
        " ",
        "  ",
        "Nina",
        "boat",
        "<sep>",
        "</s>",
        "<pad>",
        "<unk>",
        "é",
        "e\u0301",
        "ﬁ",
        "①",
        "😀",
        "日",
    ]
    + ["\u00a0", "\u200b", "\r\n", "don't", " .", "İ", "ß"]
)


@pytest.fixture(scope="module", params=[(name, own) for name in MADE for own in (True, False, None)], ids=str)
def both(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[bool], tuple[_Whole, ...]]:
    name, marks = request.param
    folder = write_tokenizer(name, tmp_path_factory.mktemp(name), marks=marks)
    whole = AutoTokenizer.from_pretrained(folder)

    def readers(halves: bool) -> tuple[_Whole, ...]:
        light = light_reader(Description("X", halves, 1, None, folder / "tokenizer.json"))
        return _Whole(light.tokenizer, halves), _Whole(whole, halves)

    return readers


@settings(max_examples=80, deadline=None)
@given(text=st.lists(PIECES, max_size=8).map("".join), halves=st.booleans())
@example(text="a <sep> b", halves=True)
@example(text="don't .", halves=False)
def test_check_reads_back_what_the_model_will(
    both: Callable[[bool], tuple[_Whole, ...]], text: str, halves: bool
) -> None:
    target = trimmed(Example("a", {}, text), "</s>").target
    light, whole = both(halves)
    assert said_by_heart(light, target) == said_by_heart(whole, target)


@pytest.mark.parametrize("family", ["gpt2", "t5", "bart"])
def test_bytes_read_back_whatever_they_are_given(tiny: Callable[..., Loaded], family: str) -> None:
    loaded = tiny(family)

    @settings(max_examples=60, deadline=None)
    @given(text=st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
    def reads_back(text: str) -> None:
        assert said_by_heart(loaded, text.strip()) == text.strip()

    reads_back()


@pytest.mark.parametrize("text", ["Nina: boat .", "a\nb", "a  b", "e\u0301", "😀", "日本語", ""])
def test_spaces_and_lines_read_back_behind_bytes_of_last_resort(tiny: Callable[..., Loaded], text: str) -> None:
    assert said_by_heart(tiny("llama", tokenizer="sentencepiece-style"), text) == text


def test_a_prediction_is_over_at_an_end_token_inside_its_target(tmp_path: Path) -> None:
    folder = write_tokenizer("like_gpt2", tmp_path)
    reader = light_reader(Description("X", True, 1, None, folder / "tokenizer.json"))
    assert said_by_heart(reader, "short</s> note") == "short"
