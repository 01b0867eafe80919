"""Answers that are given up while the model makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import torch

from harness.core.errors import HarnessError

__all__ = ["Abandoned", "Wanted", "always", "each_while_wanted", "while_wanted"]

Item = TypeVar("Item")

Wanted = Callable[[], bool]
"""Says whether anybody still waits."""


class Abandoned(HarnessError):
    """An answer that nobody wants any more."""


def always() -> bool:
    """Say that somebody waits."""
    return True


def each_while_wanted(items: Iterable[Item], wanted: Wanted) -> Iterator[Item]:
    """Yield each of some items, for as long as the answer is wanted.

    Raises:
        Abandoned: It is not.
    """
    for item in items:
        _see(wanted)
        yield item


@contextmanager
def while_wanted(model: torch.nn.Module, wanted: Wanted) -> Iterator[None]:
    """Ask before each call of the model, and so before each token, whether the answer is still wanted.

    Raises:
        Abandoned: It is not.
    """
    hook = model.register_forward_pre_hook(lambda *call: _see(wanted))
    try:
        yield
    finally:
        hook.remove()


def _see(wanted: Wanted) -> None:
    if not wanted():
        raise Abandoned("nobody waits for this answer any more")
