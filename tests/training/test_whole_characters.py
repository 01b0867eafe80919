"""Predictions that end inside a character, against Python's own incremental decoder, and against the text."""

from __future__ import annotations

import codecs
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from transformers.convert_slow_tokenizer import bytes_to_unicode

from harness.data.target_texts import decoded
from harness.models.load import Loaded
from harness.training.whole_characters import whole_characters

TEXTS = st.text(st.sampled_from("ab é日本😀👍\u0301\ufffd"), min_size=1, max_size=8).map(str.strip).filter(bool)


@pytest.mark.parametrize("tokenizer", ["byte-level", "sentencepiece-style"])
def test_wherever_a_text_is_cut_it_begins_like_the_text(tiny: Callable[..., Loaded], tokenizer: str) -> None:
    loaded = tiny("llama", tokenizer=tokenizer)

    @settings(max_examples=100, deadline=None)
    @given(text=TEXTS)
    @example(text="好吗😀")
    @example(text="a\ufffd")
    def begins(text: str) -> None:
        ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
        seen = []
        for end in range(1, len(ids) + 1):
            cut = ids[:end]
            seen.append(whole_characters(loaded, cut, decoded(loaded, [cut])[0]).strip())
            assert text.startswith(seen[-1])
        assert seen[-1] == text
        assert seen == sorted(seen, key=len)

    begins()


def test_what_is_no_character_stays(tiny: Callable[..., Loaded]) -> None:
    """Any bytes, as an untrained model says them; but for surrogates, which Python waits for and nobody writes."""
    loaded = tiny("gpt2")
    written = bytes_to_unicode()

    @settings(max_examples=200, deadline=None)
    @given(data=st.lists(st.integers(0, 255), min_size=1, max_size=8).map(bytes).filter(lambda data: 0xED not in data))
    @example(data=b"\x80\x80")
    @example(data=b"a\xf0\x9f\x98\xff")
    @example(data=b"\xf0\x9f\x98")
    def stays(data: bytes) -> None:
        ids = loaded.tokenizer.convert_tokens_to_ids([written[byte] for byte in data])
        whole = codecs.getincrementaldecoder("utf-8")("replace").decode(data)
        assert whole_characters(loaded, ids, decoded(loaded, [ids])[0]) == whole

    stays()
