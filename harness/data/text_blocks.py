"""Blocks of text: a split of a token file, as examples and as rows that are made when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from harness.core.example import Example, ListDigest
from harness.data.plain_text import PlainText, TextBlock
from harness.data.token_files import TokenFile
from harness.data.tokenization import Ids, Row
from harness.metrics.likelihood import SCORED_BYTES

__all__ = ["BlockRows", "TextBlocks", "ids_of"]

PART = 2**16
"""Numbers of blocks that become Python's own at a time."""


@dataclass(frozen=True, eq=False)
class TextBlocks(Sequence[Example]):
    """Some blocks of a token file, in its order."""

    tokens: TokenFile
    form: PlainText
    numbers: NDArray[np.int64]
    """Which, counted from 0; shape (blocks,)."""
    tokenizer: Any
    """Reads them back."""
    around: tuple[Ids, Ids] = ((), ())
    """What a masked model's tokenizer puts before and behind each of them."""

    @property
    def width(self) -> int:
        """How many tokens of the text a block holds."""
        return self.form.block_tokens - sum(map(len, self.around))

    def __len__(self) -> int:
        return len(self.numbers)

    @overload
    def __getitem__(self, place: int) -> Example: ...
    @overload
    def __getitem__(self, place: slice) -> TextBlocks: ...
    def __getitem__(self, place: int | slice) -> Example | TextBlocks:
        if isinstance(place, slice):
            return self.chosen(self.numbers[place])
        ids, beginning = self.ids(place), self.form.beginning
        texts = self.tokenizer.batch_decode(
            [ids[:beginning], ids[beginning:]], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        first = int(self.numbers[place]) * self.width
        read = 0 if self.around[0] else 1  # a token that nothing predicts
        scored = int(self.tokens.sizes[first + read : first + self.width].sum(dtype=np.int64))
        return TextBlock(self.id(place), {"source": texts[0], SCORED_BYTES: scored}, texts[1], ids=ids)

    def id(self, place: int) -> str:
        """Return what a block is called."""
        return f"block-{self.numbers[place] + 1}"

    def ids(self, place: int) -> Ids:
        """Return a block in token ids."""
        first, (before, behind) = int(self.numbers[place]) * self.width, self.around
        return (*before, *self.tokens.ids[first : first + self.width].tolist(), *behind)

    def tokens_of(self, start: int, end: int) -> NDArray[Any]:
        """Return the text of some of the blocks in token ids, shape (blocks, tokens)."""
        size = self.width
        ids: NDArray[Any] = self.tokens.ids[self.numbers[start:end, None] * size + np.arange(size)]
        return ids

    def chosen(self, numbers: NDArray[np.int64]) -> TextBlocks:
        """Return other blocks of the same file."""
        return replace(self, numbers=numbers)

    @cached_property
    def fingerprint(self) -> str:
        """The content hash of the blocks."""
        total = ListDigest()
        total.add(self.tokens.key)
        total.add(self.form.block_tokens)
        total.add_list(self.numbers[start : start + PART].tolist() for start in range(0, len(self), PART))
        if any(self.around):
            total.add(self.around)
        return str(total)


def ids_of(examples: Sequence[Example]) -> tuple[str, ...]:
    """Return what the examples of a split are called."""
    if isinstance(examples, TextBlocks):
        return tuple(map(examples.id, range(len(examples))))
    return tuple(example.id for example in examples)


class BlockRows(Sequence[Row]):
    """Blocks as rows; all of one length."""

    def __init__(self, blocks: Sequence[Example], form: PlainText) -> None:
        self.blocks, self.form = blocks, form

    def __len__(self) -> int:
        return len(self.blocks)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        return self.form.row(*self.block(place))

    def block(self, place: int) -> tuple[str, Ids]:
        """Return what a block is called, and its token ids."""
        if isinstance(self.blocks, TextBlocks):
            return self.blocks.id(place), self.blocks.ids(place)
        block = self.blocks[place]
        assert isinstance(block, TextBlock)
        return block.id, block.ids
