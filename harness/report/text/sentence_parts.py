"""Small phrases that sentences share: so many of something, and names in a row."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["count", "listed", "times"]


def count(number: int, noun: str) -> str:
    """Return so many of a noun.

    >>> count(1, "cell"), count(2, "cell")
    ('1 cell', '2 cells')
    """
    return f"{number} {noun}{'s' * (number != 1)}"


def times(number: int) -> str:
    """Return how often."""
    return "once" if number == 1 else f"{number} times"


def listed(names: Sequence[str], most: int = 8) -> str:
    """Return the first names, and how many more there are."""
    few = ", ".join(names[:most])
    return few if len(names) <= most else f"{few} and {len(names) - most} more"
