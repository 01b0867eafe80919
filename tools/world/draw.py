"""Random choices that are the same on every machine, and the rule that holds combinations out."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from functools import cache
from typing import TypeVar

__all__ = ["HELD_OUT_ONE_IN", "Draw", "held_out", "split_pairs"]

T = TypeVar("T")
Pair = tuple[str, str]

HELD_OUT_ONE_IN = 8
"""One combination in this many occurs in validation and test alone."""


@cache
def held_out(pair: Pair) -> bool:
    """Say whether a combination is kept away from the corpus and from train.

    The rule is a stable hash of the two names, so that it needs no list and no seed. A combination is
    a verb with its object, a thing with its state, a traveler with a place, a plan or a request with
    its day.
    """
    code = hashlib.sha256("|".join(pair).encode()).digest()
    return code[0] % HELD_OUT_ONE_IN == 0


def split_pairs(pairs: Iterable[Pair]) -> dict[bool, tuple[Pair, ...]]:
    """Sort combinations by whether they are held out (the keys), in their order."""
    pairs = list(pairs)
    return {held: tuple(pair for pair in pairs if held_out(pair) is held) for held in (False, True)}


class Draw:
    """A stream of choices that depends on its seed alone.

    Only ``random.random()`` is used, whose sequence Python promises to keep between versions.

    Args:
        seed: Any text; equal texts give equal streams.
        held: Whether the main combination of what is made shall be a held-out one. Combinations on
            the side (a distracting sentence) are never held out.
    """

    def __init__(self, seed: str, *, held: bool = False) -> None:
        self._rng = random.Random(seed)
        self.held = held

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items."""
        return items[int(self._rng.random() * len(items))]

    def some(self, items: Sequence[T], count: int) -> list[T]:
        """Return ``count`` different items in random order."""
        pool = list(items)
        return [pool.pop(int(self._rng.random() * len(pool))) for _ in range(count)]

    def shuffled(self, items: Sequence[T]) -> list[T]:
        """Return all the items in random order."""
        return self.some(items, len(items))

    def chance(self, probability: float) -> bool:
        """Return true with this probability."""
        return self._rng.random() < probability

    def number(self, low: int, high: int) -> int:
        """Return a whole number from ``low`` to ``high``, both included."""
        return low + int(self._rng.random() * (high - low + 1))

    def pair(self, pairs: dict[bool, tuple[Pair, ...]], *, main: bool = True) -> Pair:
        """Return a combination: a held-out one if it is the main one and this stream holds out."""
        return self.pick(pairs[self.held and main])
