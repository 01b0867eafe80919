"""One dimension of a search space: the range or the choices of one hyperparameter.

Samplers see a dimension through `Dimension.at` and `Dimension.place`, which count from 0 (the low end, the first
choice) to 1, evenly on the dimension's scale.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from harness.core.absent_value import NONE
from harness.core.stored_values import of_kind

__all__ = ["EDGE", "NARROWEST", "Dimension", "Value", "format_value", "parse_value"]

Value = float | int | str | None
"""What a hyperparameter can be; ``None`` is a choice alone, such as no clipping."""

NULL = "null"
"""The text of ``None``."""

NARROWEST = 1 + 1e-6
"""The least ratio of a range's ends: of equal numbers no place between them can be told."""

EDGE = 0.05
"""Share of a range, on its scale, that counts as its edge at either end."""

LIMITS = 1e-38, 1e38
"""Beyond these no learning rate goes; see `harness.core.number_types.Rate`."""

PARTS = 256
"""Places of a range that stand for all of it in a mean."""


@dataclass(frozen=True)
class Dimension:
    """A range of numbers with both ends included, or a list of choices.

    Raises:
        ValueError: The range is empty, has an end that its scale cannot have, or a choice stands twice.
    """

    name: str
    """The hyperparameter's, as the study file and a run's params spell it."""
    low: float = 0.0
    """Lower end; without meaning where there are choices, like the next three."""
    high: float = 1.0
    scale: Literal["log", "linear"] = "linear"
    """``log``: evenly spread in the logarithm."""
    integer: bool = False
    choices: tuple[Value, ...] = ()
    """In the study's order; empty: a range."""

    def __post_init__(self) -> None:
        if len(set(self.choices)) < len(self.choices):
            raise ValueError(f"{self.name} has a choice more than once, {list(self.choices)}; keep one of each")
        if self.choices:
            return
        if not self.low < self.high:
            raise ValueError(f"{self.name} needs low < high, but low={self.low} and high={self.high}; swap them")
        if self.scale == "log" and not self.low > 0:
            raise ValueError(f"{self.name} begins at {self.low}, which has no logarithm; take a positive end or linear")
        if not self.high - self.low > (NARROWEST - 1) / 2 * max(abs(self.low), abs(self.high)):
            raise ValueError(f"{self.name} is no range to search: {self.low} and {self.high} are all but equal")
        if self.integer and (self.low != int(self.low) or self.high != int(self.high)):
            raise ValueError(
                f"{self.name} takes whole numbers, but its ends are {self.low} and {self.high}; round them"
            )

    @property
    def lowest(self) -> float:
        """The least number that can be drawn."""
        return min(_number(value) for value in self.points(2))

    @property
    def highest(self) -> float:
        """The largest number that can be drawn."""
        return max(_number(value) for value in self.points(2))

    @property
    def mean(self) -> float:
        """What a draw is on average, of numbers."""
        drawn = self.choices or [self.at((part + 0.5) / PARTS) for part in range(PARTS)]
        return statistics.fmean(map(_number, drawn))

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Dimension:
        """Return a dimension from what `dataclasses.asdict` made of it, JSON in between or not.

        Raises:
            ValueError: It did not make this.
        """
        of_kind(cls, record)
        return cls(**{**record, "choices": tuple(record["choices"])})

    def typed(self, value: Value) -> Value:
        """Return a value as the Python number that the dimension has, whatever a sampler's library made of it."""
        if self.choices:
            return value
        return round(_number(value)) if self.integer else _number(value)

    def at(self, place: float) -> Value:
        """Return the value at a place from 0 to 1; never one outside the range."""
        if self.choices:
            return self.choices[min(int(place * len(self.choices)), len(self.choices) - 1)]
        if self.integer and self.scale == "linear":  # each whole number has an equal share
            return self._inside(self.low + math.floor(place * (self.high - self.low + 1)))
        return self._between(place)

    def place(self, value: Value) -> float:
        """Return where a value lies from 0, the low end, to 1; a choice in the middle of its share."""
        if self.choices:
            return (self.choices.index(value) + 0.5) / len(self.choices)
        low, high, own = (self._scaled(number) for number in (self.low, self.high, _number(value)))
        return (own - low) / (high - low)

    def end_at(self, value: Value) -> Literal["low", "high", ""]:
        """Return the end of the range that a value lies at, if it lies at one."""
        if self.choices:
            return ""
        place = self.place(value)
        return "low" if place <= EDGE else "high" if place >= 1 - EDGE else ""

    def widened(self, value: Value) -> Dimension | None:
        """Return a range with positive ends widened tenfold where a value lies, ``None`` where that is at no end."""
        end, (least, most) = self.end_at(value), LIMITS
        low = max(self.low / 10, least) if end == "low" else self.low
        high = min(self.high * 10, most) if end == "high" else self.high
        return replace(self, low=low, high=high) if (low, high) != (self.low, self.high) else None

    def nearest(self, value: Value) -> Value:
        """Return a value as it is if the dimension has it, else the nearer end of the range; of choices the first."""
        if self.choices:
            return self.choices[self.choices.index(value) if value in self.choices else 0]
        return self._inside(_number(value))

    def has(self, value: Value) -> bool:
        """Return whether a value could be drawn."""
        if self.choices:
            return value in self.choices
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and not (self.integer and value != int(value))

    def points(self, count: int) -> tuple[Value, ...]:
        """Return evenly spaced values, both ends included; the middle where there is one; of choices, all.

        Fewer than asked for where rounding to whole numbers makes some equal.

        >>> Dimension("learning_rate", 1.0, 100.0, "log").points(1)
        (10.0,)
        """
        if self.choices:
            return self.choices
        if count == 1:
            middle = math.sqrt(self.low * self.high) if self.scale == "log" else (self.low + self.high) / 2
            return (self._inside(middle),)
        inner = [self._between(index / (count - 1)) for index in range(1, count - 1)]
        return tuple(dict.fromkeys([self._inside(self.low), *inner, self._inside(self.high)]))

    def _between(self, share: float) -> Value:
        if self.scale == "log":
            return self._inside(self.low * (self.high / self.low) ** share)
        return self._inside(self.low + (self.high - self.low) * share)

    def _scaled(self, number: float) -> float:
        return math.log(number) if self.scale == "log" else number

    def _inside(self, number: float) -> Value:
        """Return a number of the range: rounding may lead just outside of it."""
        number = min(max(number, self.low), self.high)
        return math.floor(number + 0.5) if self.integer else float(number)


def _number(value: Value) -> float:
    assert isinstance(value, int | float)
    return float(value)


def format_value(value: Value) -> str:
    """Return the text that `parse_value` turns into the very same value.

    >>> format_value(1e-05), format_value(3), format_value("linear"), format_value("3"), format_value(None)
    ('1e-05', '3', 'linear', '"3"', 'null')
    """
    if value is None:
        return NULL
    if isinstance(value, str):
        is_plain = value not in (NONE, NULL) and not value.startswith('"') and _parsed(value) is None
        return value if is_plain else json.dumps(value)
    return repr(value)


def parse_value(text: str) -> Value:
    """Return the number, whole or not, the text or the ``None`` that a param holds.

    >>> parse_value("1e-05"), parse_value("3"), parse_value("linear"), parse_value('"3"')
    (1e-05, 3, 'linear', '3')
    """
    if text == NULL:
        return None
    number = _parsed(text)
    if number is not None:
        return number
    return str(json.loads(text)) if text.startswith('"') else text


def _parsed(text: str) -> float | int | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None
