"""What runs say of demonstrations: the names of params and metrics, beside those of `harness.tracking.schema`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["ASKED", "LEAST", "MEAN", "PICK", "untrained"]

ASKED: Final = "prompt.shots"
"""The param of a prompt with demonstrations: how many it asks for."""

PICK: Final = "prompt.pick"
"""The param that says how it picks them."""

MEAN: Final = "shots/mean"
"""The metric of a cell whose prompt has demonstrations: how many fit, on average over its rows."""

LEAST: Final = "shots/least"
"""The metric that says how many stand in the row with the fewest."""


def untrained(params: Mapping[str, Any]) -> str:
    """Return what people call a cell in which nothing trains, by the params of its runs.

    >>> untrained({}), untrained({"prompt.shots": "4"})
    ('zero-shot', 'few-shot')
    """
    return "few-shot" if ASKED in params else "zero-shot"
