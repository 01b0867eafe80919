"""Overlap of plain text, against sets of runs."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.core.example import digest
from harness.data import text_blocks, text_overlap
from harness.data.plain_text import PlainText
from harness.data.text_blocks import TextBlocks
from harness.data.text_overlap import shared_runs, without_shared
from harness.data.token_files import token_file
from harness.data.token_stream import TokenRun

SIZE, RUN = 12, 4
FORM = PlainText(block_tokens=SIZE)


@pytest.fixture(autouse=True)
def _short_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_overlap, "RUN", RUN)
    monkeypatch.setattr(text_overlap, "PART", 2 * SIZE)
    monkeypatch.setattr(text_overlap, "HELD", 3 * SIZE)


def blocks(ids: list[int], name: str) -> TextBlocks:
    run = TokenRun(np.array(ids), np.ones(len(ids), dtype=np.int64))
    tokens = token_file(None, name, 100, lambda: iter([(run, 0)]))
    return TextBlocks(tokens, FORM, np.arange(len(ids) // SIZE), None)


def runs(part: TextBlocks, place: int) -> set[tuple[int, ...]]:
    ids = part.ids(place)
    return {ids[start : start + RUN] for start in range(SIZE - RUN + 1)}


texts = st.lists(st.integers(0, 3), min_size=2 * SIZE, max_size=6 * SIZE)


@given(train=texts, test=texts)
def test_shared_runs_are_those_of_sets(train: list[int], test: list[int]) -> None:
    parts: dict[Any, TextBlocks] = {"train": blocks(train, "train"), "test": blocks(test, "test")}
    (found,) = shared_runs(parts)
    before, behind = parts["train"], parts["test"]
    known = set[tuple[int, ...]]().union(*(runs(before, place) for place in range(len(before))))
    asked = set[tuple[int, ...]]().union(*(runs(behind, place) for place in range(len(behind))))
    assert [twin.id for twin in found.twins] == [behind.id(p) for p in range(len(behind)) if runs(behind, p) & known]
    assert found.others == {before.id(place) for place in range(len(before)) if runs(before, place) & asked}
    by_id = {before.id(place): place for place in range(len(before))}
    for twin in found.twins:
        place = int(twin.id.removeprefix("block-")) - 1
        assert runs(behind, place) & runs(before, by_id[twin.other]), "the block that is named holds such a run"


@given(numbers=st.lists(st.integers(0, 10**6), max_size=9))
def test_the_digest_of_blocks_is_that_of_their_numbers_at_once(numbers: list[int]) -> None:
    some = blocks(list(range(SIZE)), "some").chosen(np.array(numbers, dtype=np.int64))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_blocks, "PART", 2)
        assert some.fingerprint == digest(["some", SIZE, numbers])


def test_what_is_shared_is_told_dropped_or_refused() -> None:
    same = list(range(10, 10 + SIZE))
    parts: dict[Any, TextBlocks] = {
        "train": blocks([*same, *range(40, 40 + SIZE)], "train"),
        "validation": blocks(list(range(60, 60 + SIZE)), "validation"),
        "test": blocks([*range(80, 80 + SIZE), *same], "test"),
    }
    found = shared_runs(parts)
    assert [(o.earlier, o.later, len(o.twins)) for o in found] == [
        ("train", "validation", 0),
        ("train", "test", 1),
        ("validation", "test", 0),
    ]
    assert without_shared(parts, found, "warn") == parts
    dropped = without_shared(parts, found, "drop")
    assert {split: len(part) for split, part in dropped.items()} == {"train": 1, "validation": 1, "test": 2}
    (kept,) = [part for split, part in dropped.items() if split == "train"]
    assert isinstance(kept, TextBlocks)
    assert kept.ids(0) == tuple(range(40, 40 + SIZE))
    with pytest.raises(DataError, match=r"stand in two splits: 1 of 2 test rows \(50.0%\) in train"):
        without_shared(parts, found, "error")


def test_a_split_of_nothing_but_what_is_shared_is_refused() -> None:
    parts: dict[Any, TextBlocks] = {"train": blocks(list(range(SIZE)), "a"), "test": blocks(list(range(SIZE)), "b")}
    with pytest.raises(DataError, match="every block of train"):
        without_shared(parts, shared_runs(parts), "drop")


def test_blocks_shorter_than_a_run_are_compared_by_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_overlap, "RUN", 50)
    half = list(range(20, 20 + SIZE // 2))
    parts: dict[Any, TextBlocks] = {
        "train": blocks([*half, *range(40, 40 + SIZE // 2)], "a"),
        "test": blocks([*range(60, 60 + SIZE // 2), *half], "b"),
    }
    (found,) = shared_runs(parts)
    assert len(found.twins) == 1


def test_tokens_are_told_apart_by_place(tmp_path: Path) -> None:
    parts: dict[Any, TextBlocks] = {
        "train": blocks([1, 2, 3, 4] * 3, "a"),
        "test": blocks([4, 3, 2, 1] * 3, "b"),
    }
    assert shared_runs(parts)[0].twins == ()


def test_memory_does_not_grow_with_the_splits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_overlap, "PART", 2**12)
    monkeypatch.setattr(text_overlap, "HELD", 2**12)
    draws, peaks = np.random.default_rng(0), []
    for size in (2**12, 2**16):
        ids = {"train": draws.integers(0, 50, size), "test": draws.integers(50, 100, size)}
        parts: dict[Any, TextBlocks] = {split: blocks(own.tolist(), split) for split, own in ids.items()}
        tracemalloc.start()
        (found,) = shared_runs(parts)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert not found.twins
    assert peaks[1] < 1.5 * peaks[0]
