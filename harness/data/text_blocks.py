"""Blocks of text: a split of a token file, as examples and as rows that are made when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from harness.core.example import Example, digest
from harness.data.choice_rows import encode_choices
from harness.data.label_words import is_labelled
from harness.data.plain_text import PlainText, TextBlock
from harness.data.token_files import TokenFile
from harness.data.tokenization import Encoded, Ids, Limits, PromptForm, Reader, Row, encode
from harness.metrics.likelihood import SCORED_BYTES

__all__ = ["BlockRows", "TextBlocks", "encode_split", "ids_of"]


@dataclass(frozen=True, eq=False)
class TextBlocks(Sequence[Example]):
    """Some blocks of a token file, in its order."""

    tokens: TokenFile
    form: PlainText
    numbers: NDArray[np.int64]
    """Which, counted from 0; shape (blocks,)."""
    tokenizer: Any
    """Reads them back."""

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
        read = self.tokenizer.batch_decode(
            [ids[:beginning], ids[beginning:]], skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        first = int(self.numbers[place]) * self.form.block_tokens
        scored = int(self.tokens.sizes[first + 1 : first + len(ids)].sum(dtype=np.int64))
        return TextBlock(self.id(place), {"source": read[0], SCORED_BYTES: scored}, read[1], ids=ids)

    def id(self, place: int) -> str:
        """Return what a block is called."""
        return f"block-{self.numbers[place] + 1}"

    def ids(self, place: int) -> Ids:
        """Return a block in token ids."""
        first = int(self.numbers[place]) * self.form.block_tokens
        return tuple(self.tokens.ids[first : first + self.form.block_tokens].tolist())

    def tokens_of(self, start: int, end: int) -> NDArray[Any]:
        """Return some of the blocks in token ids, shape (blocks, tokens)."""
        size = self.form.block_tokens
        ids: NDArray[Any] = self.tokens.ids[self.numbers[start:end, None] * size + np.arange(size)]
        return ids

    def chosen(self, numbers: NDArray[np.int64]) -> TextBlocks:
        """Return other blocks of the same file."""
        return TextBlocks(self.tokens, self.form, numbers, self.tokenizer)

    @cached_property
    def fingerprint(self) -> str:
        """The content hash of the blocks."""
        return digest([self.tokens.key, self.form.block_tokens, self.numbers.tolist()])


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
        if isinstance(self.blocks, TextBlocks):
            return self.form.row(self.blocks.id(place), self.blocks.ids(place))
        block = self.blocks[place]
        assert isinstance(block, TextBlock)
        return self.form.row(block.id, block.ids)


def encode_split(
    examples: Sequence[Example], prompt: PromptForm, reader: Reader, *, limits: Limits, drop_long_targets: bool = False
) -> Encoded:
    """Return a split in token ids, blocks of text each when it is asked for; takes and raises what `encode` does."""
    if isinstance(prompt, PlainText):
        return Encoded(BlockRows(examples, prompt), [], 0.0, dropped=0)
    if is_labelled(prompt):
        return encode_choices(examples, prompt, reader, limits=limits)
    return encode(examples, prompt, reader, limits=limits, drop_long_targets=drop_long_targets)
