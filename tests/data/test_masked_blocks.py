"""Tokens of blocks that are hidden: shares as published, drawn by seed, epoch and block alone; scored one at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.data.masked_blocks import MaskedBlocks, OneByOne
from harness.data.plain_text import PlainText, TextBlock
from harness.data.tokenization import Row
from harness.study.model_config import describe
from harness.study.tokenizer_without_model import light_reader

CLS, SEP, MASK, PAD = 1, 2, 4, 0


@pytest.fixture(scope="module")
def reader(tiny_folder: Callable[..., Path]) -> Any:
    return light_reader(describe(str(tiny_folder("bert"))))


def blocks(count: int, size: int = 32, seed: int = 0, first: int = 0) -> list[TextBlock]:
    """Return blocks as they are cut: text between the special tokens, with the end of a document amid some."""
    ids = np.random.default_rng(seed).integers(5, 300, (count, size))
    ids[:, 0], ids[:, -1] = CLS, SEP
    ids[::3, size // 2] = SEP
    return [TextBlock(f"block-{first + n}", {"source": ""}, "", ids=tuple(row.tolist())) for n, row in enumerate(ids)]


def hiding(some: list[TextBlock], reader: Any, seed: int = 3, epoch: int = 1) -> list[Row]:
    return list(MaskedBlocks(some, PlainText(), reader).drawn(seed, epoch))


@given(size=st.integers(8, 64), seed=st.integers(0, 2**31), epoch=st.integers(1, 9))
def test_what_is_hidden_is_told_and_nothing_else_is_changed(reader: Any, size: int, seed: int, epoch: int) -> None:
    some = blocks(4, size, seed % 97)
    for block, row in zip(some, hiding(some, reader, seed, epoch), strict=True):
        whole = np.array(block.ids)
        own = np.flatnonzero(~np.isin(whole, [CLS, SEP, MASK, PAD, 3]))
        assert row.id == block.id
        assert len(row.places) == len(row.target) == max(1, round(0.15 * len(own)))
        assert set(row.places) <= set(own)
        assert row.target == tuple(whole[list(row.places)])
        said = np.array(row.prompt)
        said[list(row.places)] = row.target
        assert (said == whole).all()


def test_shares_are_those_that_were_published(reader: Any) -> None:
    some = blocks(2000, 64)
    rows = hiding(some, reader)
    said = np.concatenate([np.array(row.prompt)[list(row.places)] for row in rows])
    told = np.concatenate([np.array(row.target) for row in rows])
    assert (said == MASK).mean() == pytest.approx(0.8, abs=0.01)
    other = said[(said != MASK) & (said != told)]
    assert len(other) / len(said) == pytest.approx(0.1, abs=0.01)
    assert ((said == told) & (said != MASK)).mean() == pytest.approx(0.1, abs=0.01)
    assert not np.isin(other, [CLS, SEP, PAD, MASK, 3]).any()
    assert len(np.unique(other)) > 300, "any word of the vocabulary"
    places = np.concatenate([np.array(row.places) for row in rows])
    counts = np.bincount(places, minlength=64)[1:-1]
    assert counts.min() > 0.6 * counts.mean(), "wherever it stands; amid a third of the blocks stands an end"


@settings(max_examples=20)
@given(order=st.permutations(range(6)), epoch=st.integers(1, 4))
def test_a_block_s_draws_are_its_own(reader: Any, order: list[int], epoch: int) -> None:
    some = blocks(6)
    rows = hiding(some, reader, epoch=epoch)
    assert hiding([some[place] for place in order], reader, epoch=epoch) == [rows[place] for place in order]
    lazy = MaskedBlocks(some, PlainText(), reader).drawn(3, epoch)
    assert [lazy[place] for place in order] == [rows[place] for place in order]


def test_epochs_seeds_and_blocks_draw_anew(reader: Any) -> None:
    some = blocks(1) * 3
    named = [TextBlock(f"block-{n}", block.fields, "", ids=block.ids) for n, block in enumerate(some)]
    drawn = [hiding(named, reader, seed, epoch) for seed in (1, 2) for epoch in (1, 2, 3)]
    assert len({row.places for rows in drawn for row in rows}) == len(drawn) * len(named)
    assert hiding(named, reader, 1, 2) == drawn[1]


def test_each_token_is_masked_in_turn(reader: Any) -> None:
    some = blocks(4, 12)
    rows = OneByOne(some, PlainText(block_tokens=12), reader)
    expected = []
    for block in some:
        for place, token in enumerate(block.ids):
            if token not in (CLS, SEP):
                masked = (*block.ids[:place], MASK, *block.ids[place + 1 :])
                expected.append(Row(block.id, masked, (token,), truncated=False, places=(place,)))
    assert list(rows) == expected
    assert len(rows) == len(expected)
    assert rows.counts == [9, 10, 10, 9]
    assert [rows[place] for place in (30, 0, 17)] == [expected[place] for place in (30, 0, 17)]
    with pytest.raises(IndexError):
        rows[len(expected)]


@pytest.mark.parametrize("most", [1, 5, 30, 99])
def test_fewer_are_scored_where_the_study_says_so(reader: Any, most: int) -> None:
    some = blocks(5, 32)
    form = PlainText(block_tokens=32, scored_tokens=most)
    rows, whole = OneByOne(some, form, reader), OneByOne(some, PlainText(block_tokens=32), reader)
    assert rows.counts == [min(most, count) for count in whole.counts]
    assert len(set(rows)) == len(rows)
    assert set(rows) <= set(whole)
    assert list(OneByOne(some, form, reader)) == list(rows), "the same in every cell"
