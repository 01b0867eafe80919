"""Numbers as people read them: each kind has one form, and what is not defined has one sign."""

from __future__ import annotations

import math
from typing import Any

import pytest

from harness.report import number_format
from harness.stats import Estimate

NAN = math.nan


def estimate(value: float, low: float, high: float) -> Estimate:
    return Estimate(value, low, high, 0.04, 9.0, 0.01, True)


@pytest.mark.parametrize(
    ("kind", "arguments", "text"),
    [
        ("score", (0.12344,), "0.1234"),
        ("score", (41.256,), "41.26"),
        ("score", (41.256, 1), "41.3"),
        ("score", (NAN,), "-"),
        ("difference", (0.5, 2), "+0.50"),
        ("difference", (-0.5, 2), "-0.50"),
        ("difference", (NAN, 2), "-"),
        ("interval", (estimate(0.5, 0.25, 0.75),), "0.2500 to 0.7500"),
        ("interval", (estimate(50.0, 1.25, 98.75),), "1.25 to 98.75"),
        ("interval", (estimate(NAN, NAN, NAN), 2), "-"),
        ("interval", (None,), "-"),
        ("probability", (0.0409,), "0.041"),
        ("probability", (0.0009,), "< 0.001"),
        ("probability", (NAN,), "-"),
        ("learning_rate", (0.00123,), "0.0012"),
        ("learning_rate", (1e-5,), "1e-05"),
        ("learning_rate", (None,), "-"),
        ("amount", (1234567,), "1,234,567"),
        ("amount", (1234.56, 1), "1,234.6"),
        ("amount", (None,), "-"),
        ("significant", (0.012345,), "0.0123"),
        ("significant", (12345.6,), "12,346"),
        ("significant", (NAN,), "-"),
        ("duration", (NAN,), "-"),
    ],
)
def test_every_kind_has_one_form(kind: str, arguments: tuple[Any, ...], text: str) -> None:
    assert getattr(number_format, kind)(*arguments) == text


def test_ends_of_a_difference_have_signs() -> None:
    assert number_format.interval(estimate(0.1, -0.1, 0.3), 2, signed=True) == "-0.10 to +0.30"
