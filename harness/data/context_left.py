"""What virtual tokens leave of a model's context, which says so wherever a message quotes it."""

from __future__ import annotations

from typing import Self

__all__ = ["ContextLeft", "context_beside"]


class ContextLeft(int):
    """A number of tokens like any other, but for its text.

    >>> f"{ContextLeft(16, 240, 256)}", ContextLeft(16, 240, 256) - 10
    ('16 (256 without the 240 virtual tokens of a tuning, which may be fewer)', 6)
    """

    virtual: int
    """How many virtual tokens there are."""
    whole: int
    """Tokens that there are without them."""

    def __new__(cls, left: int, virtual: int = 0, whole: int = 0) -> Self:
        """Make one of what is left; the others are there again where a copy is made."""
        own = super().__new__(cls, left)
        own.virtual, own.whole = virtual, whole
        return own

    def __format__(self, spec: str) -> str:
        """Return the number, and what it would be without a tuning."""
        number = super().__format__(spec)
        return f"{number} ({self.whole} without the {self.virtual} virtual tokens of a tuning, which may be fewer)"


def context_beside(context: int | None, virtual: int) -> int | None:
    """Return what virtual tokens leave of a context, as a number that says what it was."""
    if context is None or not virtual:
        return context
    return ContextLeft(max(0, context - virtual), virtual, context)
