"""Masks in prompts: one that `{{ mask }}` writes is read as one, and none that a row's text spells."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError, TemplateError
from harness.core.example import Example
from harness.data.mask_field import filled
from harness.data.template import Template
from harness.data.token_seam import word_ids
from harness.data.tokenization import Limits, Row, encode
from harness.models.load import Loaded, load
from harness.study.model_config import describe
from harness.study.tokenizer_without_model import light_reader
from harness.testing import MASKED_FAMILIES

Tiny = Callable[..., Path]

CLOZE = Template("cloze", "{{ source }} It was {{ mask }}.", shorten="source")
LIMITS = Limits(60, 20)
PIECES = st.lists(st.sampled_from(["<mask>", "mask", "<", ">", " ", "the ", "note", "\n", "é", "</s>"]), max_size=12)


def readers(folder: Path) -> list[Any]:
    return [load(str(folder)), light_reader(describe(str(folder)))]


def row_of(reader: Any, source: str, target: str, prompt: Template = CLOZE, limits: Limits = LIMITS) -> Row:
    (row,) = encode([Example("1", {"source": source}, target)], prompt, reader, limits=limits).rows
    return row


@pytest.mark.parametrize("family", MASKED_FAMILIES)
def test_a_prompt_reads_as_the_tokenizer_writes_its_mask(tiny_folder: Tiny, family: str) -> None:
    for reader in readers(tiny_folder(family)):
        row = row_of(reader, "The train left early.", "late")
        tokenizer, mask = reader.tokenizer, reader.tokenizer.mask_token_id
        (place,) = row.places[:1]
        word = tuple(tokenizer(" late", add_special_tokens=False)["input_ids"])
        assert row.target == word
        assert row.places == tuple(range(place, place + len(word)))
        one = [id for at, id in enumerate(row.prompt) if at not in row.places[1:]]
        assert one == tokenizer("The train left early. It was <mask>.")["input_ids"]
        assert [at for at, id in enumerate(row.prompt) if id == mask] == list(row.places)


def test_a_word_of_several_tokens_takes_as_many_masks(tiny: Callable[..., Loaded]) -> None:
    reader = tiny("bert")
    row = row_of(reader, "A note.", "zebra crossing")
    assert len(row.target) == len(row.places) > 2
    assert list(row.prompt) == reader.tokenizer(f"A note. It was {'<mask>' * len(row.target)}.")["input_ids"]
    word = word_ids(reader, "It was ", "short")
    other = filled(row, word)
    assert other == row_of(reader, "A note.", "short")
    assert filled(other, row.target) == row


@pytest.mark.parametrize(
    ("before", "word", "joint"),
    [
        ("It was ", "late", " late"),
        ("", "late", "late"),
        ("It was (", "late", "late"),
        ("Note:\n", "late", "late"),
    ],
)
def test_a_word_is_tokenized_as_it_stands_at_its_mask(
    tiny: Callable[..., Loaded], before: str, word: str, joint: str
) -> None:
    reader = tiny("roberta")
    assert word_ids(reader, before, word) == tuple(reader.tokenizer(joint, add_special_tokens=False)["input_ids"])


@given(pieces=PIECES)
def test_no_text_of_a_row_becomes_a_mask(tiny_folder: Tiny, pieces: list[str]) -> None:
    for family in ("bert", "roberta"):
        reader = light_reader(describe(str(tiny_folder(family))))
        row = row_of(reader, "note " + "".join(pieces), "late", limits=Limits(128, 20))
        assert [at for at, id in enumerate(row.prompt) if id == 4] == list(row.places)


def test_nor_does_a_target_or_a_nested_text(tiny: Callable[..., Loaded]) -> None:
    reader = tiny("bert")
    nested = Template("turns", "{% for turn in turns %}{{ turn.text }}\n{% endfor %}{{ mask }}", shots=1)
    turns = [{"text": "a <mask>"}, {"text": "<mask> b"}]
    shown = Example("0", {"turns": turns}, "so <mask>")
    example = Example("1", {"turns": turns}, "<mask>", shots=(shown,))
    (row,) = encode([example], nested, reader, limits=Limits(128, 20)).rows
    assert row.shots == 1
    assert [at for at, id in enumerate(row.prompt) if id == 4] == list(row.places)
    assert 4 not in row.target


def test_what_is_shortened_is_the_field_and_never_the_mask(tiny: Callable[..., Loaded]) -> None:
    row = row_of(tiny("bert"), "a short note about the meeting " * 20, "late", limits=Limits(24, 20))
    assert row.truncated
    assert len(row.prompt) <= 24
    assert row.places
    assert 2 not in row.prompt[:-1]


def test_a_demonstration_shows_its_answer_in_the_mask_s_place(tiny: Callable[..., Loaded]) -> None:
    example = Example("1", {"source": "A note."}, "late", shots=(Example("0", {"source": "A train."}, "early"),))
    few = Template("few", CLOZE.text, shots=1)
    assert few.render(example.fields, example.shots) == "A train. It was early.\n\nA note. It was [MASK]."
    assert few.reads(example.fields, tiny("bert"), example.shots) == "A train. It was early.\n\nA note. It was <mask>."
    assert few.names() == {"source"}


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_a_model_that_fills_no_masks_is_refused(tiny: Callable[..., Loaded], family: str) -> None:
    with pytest.raises(TemplateError, match=r"prompt 'cloze' uses \{\{ mask \}\}, .* and this model is none: write a"):
        CLOZE.reads({"source": "a"}, tiny(family))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "{{ source }} {{ mask }} or {{ mask }}",
            r"writes the mask token '<mask>' 2 times; \{\{ mask \}\} must stand in",
        ),
        ("{{ source }}{% if mask == 1 %}{{ mask }}{% endif %}", r"0 times; \{\{ mask \}\} must stand in it once"),
        ("{{ source }} It was <mask>.", r"'<mask>' 1 times; write \{\{ mask \}\} where it is meant"),
        ("{{ source }} {{ mask }} <mask>", r"'<mask>' 2 times; \{\{ mask \}\} must stand in it once"),
    ],
)
def test_a_prompt_has_one_mask_and_writes_it_by_its_field(tiny: Callable[..., Loaded], text: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        row_of(tiny("bert"), "a", "b", Template("p", text))
