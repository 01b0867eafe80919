"""Reference rows: answers that need no model, so that a reader sees what a cell's score is worth.

==================  ============================================================================================
name                its answer
==================  ============================================================================================
``lead_sentence``   the source's first sentence
``lead_words``      the source's first k words, k the median length of a training target
``copy_source``     the source as it is
``frequent_reply``  the most frequent training target, whatever the source
``nearest_reply``   the target of the training row whose source is most like this one
==================  ============================================================================================

Of the training split they may know everything, of the others the sources alone. Zero-shot is no reference row: it is
the ``none`` cell of every prompt.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from harness.core.example import Example
from harness.data.bm25_index import Bm25Index

__all__ = ["REFERENCES", "VERSIONS", "Answers"]

Answers = Callable[[Sequence[Example], Sequence[str]], list[str]]
"""Training examples and sources -> one answer a source."""

_SENTENCE = re.compile(r"\S.*?(?:[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]|\n|$)", re.DOTALL)
"""Up to the first mark that ends a sentence, or the end of the line; abbreviations are not known."""


def _lead_sentence(train: Sequence[Example], sources: Sequence[str]) -> list[str]:
    found = [_SENTENCE.search(source) for source in sources]
    return [match.group().strip() if match else "" for match in found]


def _lead_words(train: Sequence[Example], sources: Sequence[str]) -> list[str]:
    """Return the first words, told apart by spaces; an even number of targets takes the lower of two medians."""
    length = statistics.median_low([len(example.target.split()) for example in train])
    return [" ".join(source.split()[:length]) for source in sources]


def _copy_source(train: Sequence[Example], sources: Sequence[str]) -> list[str]:
    return [source.strip() for source in sources]


def _frequent_reply(train: Sequence[Example], sources: Sequence[str]) -> list[str]:
    """Return the most frequent target up to spacing; of several the first."""
    counts = Counter(" ".join(example.target.split()) for example in train)
    return [counts.most_common(1)[0][0]] * len(sources)


def _nearest_reply(train: Sequence[Example], sources: Sequence[str]) -> list[str]:
    """Return the target of the training row with the largest BM25 score; of several the first."""
    index = Bm25Index([example.source for example in train])
    return [train[int(index.scores(source).argmax())].target.strip() for source in sources]


REFERENCES: Mapping[str, Answers] = {
    "lead_sentence": _lead_sentence,
    "lead_words": _lead_words,
    "copy_source": _copy_source,
    "frequent_reply": _frequent_reply,
    "nearest_reply": _nearest_reply,
}
"""The rows that a task may name."""

VERSIONS: Mapping[str, int] = {"nearest_reply": 2}
"""Of the rows whose answers are others than in the first stores."""
