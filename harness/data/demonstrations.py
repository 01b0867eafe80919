"""Demonstrations: the training rows that stand, with their answers, before a row in its prompt.

They are picked by the row's source alone, since of a row that is to be answered no more is known: so a stored model
picks what its study did. Never picked is a row whose source reads as this one's, nor one that could be a near duplicate
of it whatever its target (`harness.data.duplicates.may_be_duplicates`). Nor, for a training row, one of its own group,
which may quote it; the groups of other rows are not in train.

A prompt form that has fields ``shots`` and ``pick``, and says by ``shown_names`` which fields its demonstrations show,
is given examples with demonstrations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from harness.core.example import Example, digest
from harness.data.bm25_index import Bm25Index
from harness.data.duplicates import Form, Forms, Worth, may_be_duplicates

if TYPE_CHECKING:
    from harness.data.tokenization import PromptForm

__all__ = ["NO_DEMONSTRATIONS", "Demonstrations", "Pick", "Vectors", "pick_of", "shots_of"]

Pick = Literal["fixed", "random", "bm25", "similar"]

Vectors = Callable[[Sequence[str]], NDArray[np.float64]]
"""Texts -> a vector of length 1 for each, or of zeros; shape (texts, width)."""

SEED = 0
"""Of the draw that all rows share."""

DECIMALS = 9
"""Of a cosine: what lies beyond depends on how many threads multiplied."""


def shots_of(prompt: PromptForm) -> int:
    """Return how many demonstrations a prompt asks for; a form that knows none asks for 0."""
    shots: int = getattr(prompt, "shots", 0)
    return shots


def pick_of(prompt: PromptForm) -> Pick | None:
    """Return how a prompt picks its demonstrations; ``None`` where it asks for none."""
    pick: Pick = getattr(prompt, "pick", "fixed")
    return pick if shots_of(prompt) else None


class Demonstrations:
    """The training rows that demonstrations are picked from.

    Args:
        rows: The training split, in its order.
        vectors: By which ``similar`` compares sources; left out, it takes what ``bm25`` picks.
    """

    def __init__(self, rows: Sequence[Example], vectors: Vectors | None = None) -> None:
        self.rows, self.vectors = rows, vectors

    def attached(self, prompt: PromptForm, examples: Sequence[Example], *, of_train: bool = False) -> Sequence[Example]:
        """Return examples with the demonstrations that a prompt asks for.

        Args:
            prompt: The prompt.
            examples: Of one split.
            of_train: Whether that is the one that the demonstrations are from.
        """
        if not shots_of(prompt):
            return examples
        return [replace(one, shots=self.picked(prompt, one, of_train=of_train)) for one in examples]

    def picked(self, prompt: PromptForm, example: Example, *, of_train: bool = False) -> tuple[Example, ...]:
        """Return an example's demonstrations, the nearest last; fewer than asked for where there are no more.

        Takes what `attached` does.
        """
        (form,) = Forms([replace(example, target="", references=())])
        group = example.group if of_train else None
        allowed = (
            self.rows[number]
            for number in self._nearest_first(pick_of(prompt), example)
            if (group is None or self.rows[number].group != group)
            and not may_be_duplicates(form, self._forms[number], self._worth)
        )
        return tuple(reversed(list(islice(allowed, shots_of(prompt)))))

    def _nearest_first(self, pick: Pick | None, example: Example) -> Iterator[int]:
        """Yield the numbers of all rows; of those that are equally near, the earlier one first."""
        if pick == "fixed":
            return map(int, self._drawn)
        if pick == "random":
            return map(int, np.random.default_rng(int(digest(example.source), 16)).permutation(len(self.rows)))
        if pick == "similar" and self.vectors:
            (vector,) = self.vectors([example.source])
            return _from_largest(np.round(self._matrix @ vector, DECIMALS))
        return _from_largest(self._index.scores(example.source))

    @cached_property
    def _drawn(self) -> NDArray[np.int64]:
        return np.random.default_rng(SEED).permutation(len(self.rows))

    @cached_property
    def _index(self) -> Bm25Index:
        return Bm25Index([row.source for row in self.rows])

    @cached_property
    def _matrix(self) -> NDArray[np.float64]:
        """The rows' sources as vectors, shape (rows, width)."""
        assert self.vectors is not None
        return self.vectors([row.source for row in self.rows])

    @cached_property
    def _alike(self) -> Forms:
        return Forms(self.rows)

    @cached_property
    def _worth(self) -> Worth:
        return Worth(self._alike)

    @cached_property
    def _forms(self) -> list[Form]:
        """Each row as it is compared."""
        by_number = {number: form for form in self._alike for number in form.numbers}
        return [by_number[number] for number in range(len(self.rows))]


def _from_largest(scores: NDArray[np.floating[Any]]) -> Iterator[int]:
    """Yield the places of scores, the largest first; of equal ones the earlier first.

    Few are asked for, and of many rows few share a word with one: the others are not sorted before them.
    """
    for some in (scores > 0, scores == 0, scores < 0):
        places = np.flatnonzero(some)
        yield from map(int, places[np.argsort(-scores[places], kind="stable")])


NO_DEMONSTRATIONS = Demonstrations(())
"""Where no prompt asks for any."""
