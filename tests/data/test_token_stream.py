"""A text in windows: the tokens that its tokenizer gives at once, and the bytes of the text that they stand for."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from harness.data import token_stream
from harness.data.token_stream import tokens_of
from harness.study.model_config import describe
from harness.study.tokenizer_without_model import light_reader
from harness.testing import tiny_model

WORDS = [
    "note",
    "meeting",
    "the",
    "Überraschung",
    "naïve",
    "日本語",
    "👩\u200d🚀",
    "12",
    "...",
    "\n",
    "\n\n",
    " ",
    "\t",
    "a",
]


@pytest.fixture(scope="module", params=["byte-level", "sentencepiece-style"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp(request.param)
    return tiny_model("gpt2", place, tokenizer=request.param)


@pytest.fixture(autouse=True)
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_stream, "WINDOW", 120)
    monkeypatch.setattr(token_stream, "OVERLAP", 90)
    monkeypatch.setattr(token_stream, "AGREED", 6)


def text_of(words: list[str]) -> str:
    return "".join(f" {word}" if number % 3 else word for number, word in enumerate(words))


def streamed(folder: Path, pieces: list[str]) -> tuple[list[int], list[int]]:
    runs = list(tokens_of(pieces, light_reader(describe(str(folder))).tokenizer.spans))
    return [int(i) for run in runs for i in run.ids], [int(size) for run in runs for size in run.sizes]


@given(words=st.lists(st.sampled_from(WORDS), max_size=300), cuts=st.lists(st.integers(0, 900), max_size=4))
def test_windows_give_the_tokens_of_the_whole(folder: Path, words: list[str], cuts: list[int]) -> None:
    text = text_of(words)
    ends = sorted({0, *(min(cut, len(text)) for cut in cuts), len(text)})
    ids, sizes = streamed(folder, [text[a:b] for a, b in pairwise(ends)])
    assert ids == Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=False).ids
    assert sum(sizes) == (len(text.encode()) if ids else 0)
    assert len(sizes) == len(ids)
    assert min(sizes, default=0) >= 0


@given(words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=60))
def test_sizes_are_the_bytes_up_to_the_next_token(folder: Path, words: list[str]) -> None:
    text = text_of(words)
    encoding = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=False)
    starts = [0, *(start for start, _ in encoding.offsets[1:]), len(text)]
    expected = np.diff([len(text[:start].encode()) for start in starts])
    assert streamed(folder, [text])[1] == expected.tolist()


def test_a_text_of_one_character_is_stitched_as_well(folder: Path) -> None:
    """Where windows share too few tokens, both are tokenized as one."""
    for text in ("a" * 2000, " " * 1000, "\n" * 700):
        whole = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text, add_special_tokens=False).ids
        assert streamed(folder, [text])[0] == whole


def test_nothing_is_no_token(folder: Path) -> None:
    assert streamed(folder, []) == ([], [])
    assert streamed(folder, ["", ""]) == ([], [])
