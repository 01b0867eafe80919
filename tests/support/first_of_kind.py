"""Parameters of a test that is long for each: the first is tried in the fast tests, the others in the slow ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["first_of_kind"]


def first_of_kind(values: Iterable[Any]) -> list[Any]:
    """Return the values with all but the first marked slow; a tuple is the values of several parameters."""
    first, *others = values
    rows = [value if type(value) is tuple else (value,) for value in others]
    return [first, *(pytest.param(*row, marks=pytest.mark.slow) for row in rows)]
