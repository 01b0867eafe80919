"""Mixtures: how many rows each of several sources gives, by their weights, and which ones.

Rows are apportioned one at a time by the quota method of Balinski and Young (1975): the next one is of the source for
whose weight it has the fewest, among those that would not get more than their share rounded up. So every beginning of a
mixture has of each source its share within one row, and a smaller one is a part of a larger one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from harness.core.errors import DataError
from harness.data.row_groups import in_whole_groups

__all__ = ["Mixture", "id_in", "ids_by_part", "mixed", "part_of", "share"]


class Mixture(NamedTuple):
    """Rows of several sources, in their order."""

    rows: tuple[tuple[str, int], ...]
    """The source and the number of each."""
    given: Mapping[str, int]
    """How many rows each source has given."""

    def line(self, split: str, weights: Mapping[str, float], sizes: Mapping[str, int]) -> str:
        """Tell what a split is made of."""
        parts = [f"{self.given[name]:,} of the {sizes[name]:,} rows of {name}" for name in weights]
        ratio = " : ".join(f"{weight:g}" for weight in weights.values())
        return f"{split} mixes {' and '.join(parts)}, {ratio} by data.sources; weights set others."


def share(size: int, name: str, weights: Mapping[str, float]) -> int:
    """Return the most rows that a source gives to a mixture of so many: its share, rounded up."""
    return math.ceil(size * _shares(weights)[name])


def _shares(weights: Mapping[str, float]) -> dict[str, Fraction]:
    """Return the part of a mixture that each source is: exact, of the weights as they are written in decimals."""
    written = {name: Fraction(str(weight)) for name, weight in weights.items()}
    return {name: weight / sum(written.values()) for name, weight in written.items()}


def mixed(
    groups: Mapping[str, Sequence[str | None]], weights: Mapping[str, float], seed: int, size: int | None
) -> Mixture:
    """Return a mixture; no row of a source is in it twice.

    Args:
        groups: By source, the group of each of its rows: those of one are drawn one after the other.
        weights: By source.
        seed: Decides which rows of a source are drawn, of which there are more than it gives.
        size: Of the mixture; ``None``: as large as it can be, but for last rows that only a rounding admits.

    Raises:
        DataError: The sources have too few rows for a mixture of that size.
    """
    sizes = {name: len(rows) for name, rows in groups.items()}
    order = _apportioned(sizes, weights, sum(sizes.values()) if size is None else size)
    if size is not None and len(order) < size:
        counts = " and ".join(f"{count:,} of {name}" for name, count in sizes.items())
        raise DataError(f"{size:,} rows are wanted, but by their weights {counts} give {len(order):,}; lower it")
    if size is None:
        order = order[: _end(order, weights)]
    given = {name: order.count(name) for name in weights}
    drawn = {
        name: iter(sorted(_drawn(groups[name], [seed, place])[:count]))
        for place, (name, count) in enumerate(given.items())
    }
    return Mixture(tuple((name, next(drawn[name])) for name in order), given)


def _drawn(groups: Sequence[str | None], seed: Sequence[int]) -> list[int]:
    shuffled = [int(number) for number in np.random.default_rng(seed).permutation(len(groups))]
    return [number for unit in in_whole_groups(shuffled, groups) for number in unit]


def _apportioned(sizes: Mapping[str, int], weights: Mapping[str, float], most: int) -> list[str]:
    """Return the source of each row, until so many are there or none can be added without a source missing a row."""
    parts = {name: part.as_integer_ratio() for name, part in _shares(weights).items()}
    given = dict.fromkeys(weights, 0)
    order: list[str] = []
    for count in range(1, most + 1):
        due = {name: (count * part, of) for name, (part, of) in parts.items()}  # of a row, in whole numbers
        under = [name for name, (part, of) in due.items() if given[name] * of < part and given[name] < sizes[name]]
        if not under:
            break
        name = max(under, key=lambda name: weights[name] / (given[name] + 1))
        given[name] += 1
        if any((given[other] + 1) * of <= part for other, (part, of) in due.items()):
            break
        order.append(name)
    return order


def _end(order: Sequence[str], weights: Mapping[str, float]) -> int:
    """Return the length, up to a row of each source less than all, at which the sources are nearest to their shares."""
    parts, counts, ends = _shares(weights), {name: order.count(name) for name in weights}, dict[int, Fraction]()
    for length in range(len(order), max(len(order) - len(weights), 0), -1):
        ends[length] = max(abs(counts[name] - length * part) for name, part in parts.items())
        counts[order[length - 1]] -= 1
    return min(ends, key=lambda length: (ends[length], -length), default=0)


def id_in(part: str, id: str) -> str:
    """Return what an example of a mixture is called."""
    return f"{part}:{id}"


def part_of(id: str) -> str:
    """Return the source of a mixture that an example is of.

    >>> part_of(id_in("news", "row:3"))
    'news'
    """
    return id.partition(":")[0]


def ids_by_part(parts: Iterable[str], ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the ids that each source of a mixture has given; of a single source, which has no parts, none."""
    found: dict[str, list[str]] = {part: [] for part in parts}
    for id in ids if found else ():
        found[part_of(id)].append(id)
    return found
