"""BM25: how like a text each of many others is, by the words that they share (Robertson and Zaragoza 2009)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bm25Index"]


class Bm25Index:
    """Texts to compare others with, as ``bm25s`` does with its own defaults, English stop words among them.

    Args:
        texts: In the order of the scores.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        import bm25s  # it imports scipy, which takes as long as a whole `harness check`

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # it tells of each index on its own
        self._rows, self._index = len(texts), bm25s.BM25()
        words = bm25s.tokenize(list(texts), show_progress=False)
        self._has_words = bool(words.vocab)
        if self._has_words:
            self._index.index(words, show_progress=False)

    def scores(self, text: str) -> NDArray[np.float32]:
        """Return how like a text each one is, shape (texts,); 0 where they share no word."""
        import bm25s

        (words,) = bm25s.tokenize([text], return_ids=False, show_progress=False)
        if not (words and self._has_words):
            return np.zeros(self._rows, np.float32)
        scores: NDArray[np.float32] = self._index.get_scores(words)
        return scores
