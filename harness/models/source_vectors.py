"""Source vectors: texts as the means of a model's own input embeddings, to see which are alike."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from harness.data.demonstrations import Demonstrations, pick_of
from harness.models.load import Loaded

if TYPE_CHECKING:
    from harness.data.tokenization import PromptForm

__all__ = ["SourceVectors", "embedding_table", "with_vectors"]

LONGEST = 2**16
"""Characters of a text that are read."""


class SourceVectors:
    """Texts as vectors of length 1, the mean embeddings of their tokens; of a text without any, zeros.

    Args:
        tokenizer: The model's.
        table: The embeddings, shape (tokens, width); pretrained ones, so that training moves no pick.
    """

    def __init__(self, tokenizer: Any, table: NDArray[np.float32]) -> None:
        self._tokenizer, self.table = tokenizer, table

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return a vector for each text, shape (texts, width)."""
        means = np.zeros((len(texts), self.table.shape[1]))
        for mean, text in zip(means, texts, strict=True):
            if ids := self._tokenizer(text[:LONGEST], add_special_tokens=False, verbose=False)["input_ids"]:
                mean[:] = self.table[ids].mean(axis=0, dtype=np.float64)
        lengths = np.linalg.norm(means, axis=1, keepdims=True)
        return means / np.where(lengths > 0, lengths, 1.0)


def embedding_table(loaded: Loaded) -> NDArray[np.float32]:
    """Return a copy of a model's input embeddings as they stand, shape (tokens, width)."""
    weights = next(loaded.model.get_input_embeddings().parameters()).detach()
    table: NDArray[np.float32] = weights.to("cpu", torch.float32, copy=True).numpy()
    return table


def with_vectors(demonstrations: Demonstrations, prompts: Iterable[PromptForm], loaded: Loaded) -> Demonstrations:
    """Return demonstrations that a pretrained model's embeddings pick, where a prompt wants that."""
    if not any(pick_of(prompt) == "similar" for prompt in prompts):
        return demonstrations
    return Demonstrations(demonstrations.rows, SourceVectors(loaded.tokenizer, embedding_table(loaded)))
