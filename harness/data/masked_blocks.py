"""Blocks of text as a masked language model takes them: tokens hidden to be told, and each token hidden in turn.

Training hides 15% of a block's tokens and asks for them: of these 80% are masked, 10% are other tokens, and 10% stay as
they are (Devlin et al. 2019, "BERT", section 3.1). They are drawn anew in every epoch (Liu et al. 2019, "RoBERTa",
section 4.1), by the run's seed, the epoch and the block's name alone. Scoring masks one token at a time (Salazar et al.
2020, "Masked Language Model Scoring", equation 1). Special tokens are neither hidden nor asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from harness.core.example import Example
from harness.data.plain_text import PlainText
from harness.data.text_blocks import BlockRows
from harness.data.tokenization import Ids, Reader, Row

__all__ = ["HIDDEN", "MaskedBlocks", "OneByOne", "masked_rows", "special_ids"]

HIDDEN, MASKED, REPLACED = 0.15, 0.8, 0.1
"""The share of a block's tokens that are asked for; of these, the shares that are masked, and that are other tokens."""

Numbers = NDArray[np.int64]


def special_ids(reader: Reader) -> Numbers:
    """Return the ids of a model's special tokens."""
    vocabulary = reader.tokenizer.get_vocab()
    return np.unique([vocabulary[token] for token in reader.tokenizer.all_special_tokens if token in vocabulary])


def masked_rows(blocks: Sequence[Example], form: PlainText, reader: Reader, *, of_train: bool) -> BlockRows:
    """Return blocks as rows of a masked model: to be trained on, or to be scored."""
    return MaskedBlocks(blocks, form, reader) if of_train else OneByOne(blocks, form, reader)


class _Blocks(BlockRows):
    """Blocks with the places of the tokens that may be hidden."""

    def __init__(self, blocks: Sequence[Example], form: PlainText, reader: Reader) -> None:
        super().__init__(blocks, form)
        self.reader, self.special = reader, special_ids(reader)
        self.mask = int(reader.tokenizer.mask_token_id)

    def places(self, ids: Ids) -> Numbers:
        """Return where a block's own tokens stand, shape (tokens,)."""
        return np.flatnonzero(~np.isin(ids, self.special))

    def hidden(self, id: str, ids: Ids, places: Numbers, said: Numbers) -> Row:
        """Return a block that says other tokens at some places."""
        told = np.array(ids, dtype=np.int64)
        target = told[places].tolist()
        told[places] = said
        return Row(id, tuple(told.tolist()), tuple(target), truncated=False, places=tuple(places.tolist()))


class MaskedBlocks(_Blocks):
    """Blocks to be trained on, as one epoch hides their tokens.

    Args:
        blocks: A split.
        form: How long they are.
        reader: The model.
        draw: The run's seed, and the epoch.
    """

    def __init__(
        self, blocks: Sequence[Example], form: PlainText, reader: Reader, draw: tuple[int, int] = (0, 0)
    ) -> None:
        super().__init__(blocks, form, reader)
        self._draw = draw

    def drawn(self, seed: int, epoch: int) -> MaskedBlocks:
        """Return the same blocks as another epoch hides their tokens."""
        return MaskedBlocks(self.blocks, self.form, self.reader, (seed, epoch))

    @cached_property
    def _words(self) -> Numbers:
        """What a token may be replaced by."""
        rows = self.reader.embedding_rows[0]
        known = max(self.reader.tokenizer.get_vocab().values()) + 1
        return np.setdiff1d(np.arange(min(known, rows or known)), self.special)

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        id, ids = self.block(place)
        draws = np.random.default_rng([*self._draw, int.from_bytes(sha256(id.encode()).digest()[:8])])
        own = self.places(ids)
        count = min(len(own), max(1, round(HIDDEN * len(own))))
        places = np.sort(draws.choice(own, count, replace=False))
        kind, others = draws.random(count), draws.choice(self._words, count)
        kept = np.array(ids, dtype=np.int64)[places]
        said = np.where(kind < MASKED, self.mask, np.where(kind < MASKED + REPLACED, others, kept))
        return self.hidden(id, ids, places, said)


class OneByOne(_Blocks):
    """Blocks to be scored: a row for each token, in which it alone is masked; a block's rows follow each other."""

    def __len__(self) -> int:
        return int(self._ends[-1])

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self[number] for number in range(*place.indices(len(self)))]
        if not 0 <= place < len(self):
            raise IndexError(place)
        number = int(np.searchsorted(self._ends, place, side="right"))
        id, ids = self.block(number)
        token = place - int(self._ends[number]) + self.counts[number]
        return self.hidden(id, ids, self._scored(id, ids)[[token]], np.array([self.mask]))

    @cached_property
    def counts(self) -> list[int]:
        """How many rows each block has."""
        return [len(self._scored(*self.block(number))) for number in range(len(self.blocks))]

    @cached_property
    def _ends(self) -> Numbers:
        return np.cumsum(self.counts)

    def _scored(self, id: str, ids: Ids) -> Numbers:
        """Return the places of a block that are scored: all, or so many as the study says, drawn by its name."""
        places, most = self.places(ids), self.form.scored_tokens
        if most is None or most >= len(places):
            return places
        draws: Any = np.random.default_rng(int.from_bytes(sha256(id.encode()).digest()[:8]))
        return np.sort(draws.choice(places, most, replace=False))
