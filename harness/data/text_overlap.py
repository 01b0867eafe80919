"""Overlap of plain text: blocks that hold a long run of tokens which an earlier split holds, too.

A run of fifty tokens, as Lee et al. 2022 ("Deduplicating Training Data Makes Language Models Better", section 4) have
it; of shorter blocks, half of one. Wherever a run begins in its block, it is found: runs are told by a hash that rolls
over the tokens. The later split's are held, a part at a time, and the earlier split passes by them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.core.errors import DataError
from harness.core.example import SPLITS, Example, Split
from harness.data.text_blocks import TextBlocks
from harness.data.train_test_overlap import Overlap, Twin, lost

__all__ = ["RUN", "shared_runs", "without_shared"]

RUN = 50
"""Tokens in a row that stand in two texts by no chance."""

PART = 2**19
"""Tokens that are hashed at a time."""

HELD = 2**22
"""Tokens of the later split whose hashes are held at a time; the earlier split passes by each such part."""

FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that no token is lost from a hash modulo 2**64."""

Hashes = NDArray[np.uint64]


def shared_runs(examples: Mapping[Split, Sequence[Example]]) -> tuple[Overlap, ...]:
    """Return what every two splits of blocks have in common."""
    parts = {split: examples[split] for split in SPLITS if split in examples}
    found = []
    for earlier, later in combinations(parts, 2):
        before, behind = parts[earlier], parts[later]
        assert isinstance(before, TextBlocks)
        assert isinstance(behind, TextBlocks)
        found.append(_overlap(earlier, later, before, behind))
    return tuple(found)


def _overlap(earlier: Split, later: Split, before: TextBlocks, behind: TextBlocks) -> Overlap:
    size = behind.form.block_tokens
    run, twins, others = min(RUN, size // 2), list[Twin](), set[str]()
    for start in range(0, len(behind), max(1, HELD // size)):
        held = _hashes(behind, start, start + max(1, HELD // size), run)
        values, rows, found = _passing_by(held, before, run)
        others |= {before.id(row) for row in found}
        shared, which = _among(held, values)
        for row in np.flatnonzero(shared.any(axis=1)):
            other = int(rows[which[row, shared[row].argmax()]])
            twins.append(Twin(behind.id(start + int(row)), before.id(other), "near"))
    return Overlap(earlier, later, len(behind), tuple(twins), frozenset(others))


def _passing_by(held: Hashes, before: TextBlocks, run: int) -> tuple[Hashes, NDArray[np.int64], set[int]]:
    """Return the hashes that a split shares, sorted, the first row that each stands in, and all rows that share any."""
    known, size = np.unique(held), max(1, PART // before.form.block_tokens)
    values, rows, found = np.empty(0, np.uint64), np.empty(0, np.int64), set[int]()
    for start in range(0, len(before), size):
        hashes = _hashes(before, start, start + size, run)
        places = np.argwhere(_among(hashes, known)[0])
        found.update((start + np.unique(places[:, 0])).tolist())
        values = np.concatenate([values, hashes[tuple(places.T)]])
        rows = np.concatenate([rows, start + places[:, 0]])
        values, first = np.unique(values, return_index=True)
        rows = rows[first]
    return values, rows, found


def _among(hashes: Hashes, known: Hashes) -> tuple[NDArray[np.bool_], NDArray[np.intp]]:
    """Return which hashes are among some that are sorted, and where there."""
    if not len(known):
        return np.zeros(hashes.shape, dtype=bool), np.zeros(hashes.shape, dtype=np.intp)
    places = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return known[places] == hashes, places


def _hashes(blocks: TextBlocks, start: int, end: int, run: int) -> Hashes:
    """Return a hash of every run of tokens inside of each block, shape (blocks, runs)."""
    ids = blocks.tokens_of(start, end).astype(np.uint64) + np.uint64(1)
    runs = ids.shape[1] - run + 1
    total = np.zeros((len(ids), runs), dtype=np.uint64)
    for offset in range(run):
        total = total * FACTOR + ids[:, offset : offset + runs]
    return total


def without_shared(
    examples: Mapping[Split, Sequence[Example]], found: Sequence[Overlap], on_overlap: Literal["warn", "drop", "error"]
) -> dict[Split, Sequence[Example]]:
    """Return the splits as a study wants them: whole, or without blocks that share a run with a later split.

    Raises:
        DataError: There are such blocks and must not be, or none but such.
    """
    across = [overlap for overlap in found if overlap.twins]
    if on_overlap == "error" and across:
        listing = "; ".join(overlap.line() for overlap in across)
        raise DataError(f"runs of text stand in two splits: {listing}; correct the data, or set data.on_overlap: drop")
    if on_overlap != "drop":
        return dict(examples)
    rest: dict[Split, Sequence[Example]] = {}
    for split, blocks in examples.items():
        assert isinstance(blocks, TextBlocks)
        gone = lost(split, found)
        places = [place for place in range(len(blocks)) if blocks.id(place) not in gone]
        rest[split] = blocks.chosen(blocks.numbers[places])
        if not places:
            raise DataError(f"every block of {split} shares a run of text with a later split; correct the data")
    return rest
