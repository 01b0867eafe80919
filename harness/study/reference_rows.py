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

import math
import re
import statistics
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from harness.core.example import Example
from harness.metrics.tokens import words

__all__ = ["REFERENCES", "Answers"]

Answers = Callable[[Sequence[Example], Sequence[str]], list[str]]
"""Training examples and sources -> one answer a source."""

_SENTENCE = re.compile(r"\S.*?(?:[.!?…]+[\"'”’)\]]*(?=\s)|[。！？]|\n|$)", re.DOTALL)
"""Up to the first mark that ends a sentence, or the end of the line; abbreviations are not known."""

BLOCK = 256
"""Sources that are compared with the training split at a time; bounds the memory."""


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
    """Return the target of the training row with the largest TF-IDF cosine; of several the first.

    Terms are `harness.metrics.tokens.words`, weighted by (1 + log tf) log(n / df) (Manning, Raghavan and Schütze 2008,
    "Introduction to Information Retrieval", section 6.4).
    """
    bags = [Counter(words(example.source)) for example in train]
    frequency = Counter(word for bag in bags for word in bag)
    terms = {
        word: _Term(column, math.log(len(train) / count)) for column, (word, count) in enumerate(frequency.items())
    }
    there, chosen = _unit_vectors(bags, terms).T.tocsr(), []
    for start in range(0, len(sources), BLOCK):
        block = _unit_vectors([Counter(words(source)) for source in sources[start : start + BLOCK]], terms)
        chosen += (block @ there).toarray().argmax(axis=1).tolist()
    return [train[number].target.strip() for number in chosen]


class _Term(NamedTuple):
    column: int
    rarity: float


def _unit_vectors(bags: Sequence[Counter[str]], terms: Mapping[str, _Term]) -> Any:
    """Return a sparse matrix, shape (bags, terms), of rows of length 1, or 0 where no word is a term."""
    from scipy.sparse import csr_array  # its import takes as long as a whole `harness check`

    values: list[float] = []
    columns: list[int] = []
    ends = [0]
    for bag in bags:
        known = {terms[word].column: (1 + math.log(n)) * terms[word].rarity for word, n in bag.items() if word in terms}
        norm = math.hypot(*known.values()) or 1.0
        values += [value / norm for value in known.values()]
        columns += known
        ends.append(len(values))
    return csr_array((values, columns, ends), shape=(len(bags), len(terms)), dtype=float)


REFERENCES: Mapping[str, Answers] = {
    "lead_sentence": _lead_sentence,
    "lead_words": _lead_words,
    "copy_source": _copy_source,
    "frequent_reply": _frequent_reply,
    "nearest_reply": _nearest_reply,
}
"""The rows that a task may name."""
