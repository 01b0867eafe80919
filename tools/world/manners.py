"""How people address each other in messages, and how an answer greets back."""

from __future__ import annotations

from typing import NamedTuple

from tools.world.draw import Draw
from tools.world.surroundings import FEMALE, SURNAMES

__all__ = ["Manner", "manner"]


class Manner(NamedTuple):
    """The frame of a message."""

    opening: str
    closing: str
    answer: str
    """The greeting of the answer, in the manner of the opening."""


def manner(draw: Draw, words: dict[str, str]) -> Manner:
    """Choose between friends, acquaintances and strangers.

    Args:
        draw: The choices.
        words: The blanks of the message; ``who`` writes to ``two``.
    """
    who, two, surname = words["who"], words["two"], words["surname"]
    kind = draw.number(0, 2)
    if kind == 0:
        return Manner(f"Hi {two},", f"Best, {who}", f"Hi {who},")
    if kind == 1:
        return Manner(f"Hello {two},", f"Yours, {who}", f"Hello {who},")
    title, other = ("Ms" if name in FEMALE else "Mr" for name in (who, two))
    return Manner(f"Dear {other} {draw.pick(SURNAMES)},", f"Kind regards, {who} {surname}", f"Dear {title} {surname},")
