"""How the number of weights that runs tell follows from what a search draws of an adapter, such as its rank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from harness.core.absent_value import NONE

__all__ = ["Growth"]


class Growth(NamedTuple):
    """How the number of weights follows from what a search draws of an adapter: so many more for each one more."""

    param: str
    """The param that says what was drawn."""
    at: int
    """The value that the cell's own numbers are of."""
    each: int

    def added(self, params: Mapping[str, Any]) -> int | None:
        """Return how many more weights a run with these params has; ``None`` where they say nothing."""
        drawn = str(params.get(self.param, NONE))
        return None if drawn == NONE else (int(drawn) - self.at) * self.each
