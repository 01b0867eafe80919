"""Parameters of a test that is long for each: the first is tried in the fast tests, the others in the slow ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["first_of_kind"]


def first_of_kind(values: Iterable[Any]) -> list[Any]:
    """Return the values with all but the first marked slow."""
    first, *others = values
    return [first, *(pytest.param(value, marks=pytest.mark.slow) for value in others)]
