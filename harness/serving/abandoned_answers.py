"""Answers that are given up while the model makes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from harness.core.errors import HarnessError

__all__ = ["Abandoned", "Wanted", "always", "while_wanted"]

Wanted = Callable[[], bool]
"""Says whether anybody still waits."""


class Abandoned(HarnessError):
    """An answer that nobody wants any more."""


def always() -> bool:
    """Say that somebody waits."""
    return True


@contextmanager
def while_wanted(model: torch.nn.Module, wanted: Wanted) -> Iterator[None]:
    """Ask before each call of the model, and so before each token, whether the answer is still wanted.

    Raises:
        Abandoned: It is not.
    """

    def ask(*call: object) -> None:
        if not wanted():
            raise Abandoned("nobody waits for this answer any more")

    ask()
    hook = model.register_forward_pre_hook(ask)
    try:
        yield
    finally:
        hook.remove()
