"""Hyperparameters and search spaces that tests are about."""

from __future__ import annotations

import math

from hypothesis import strategies as st

from harness.study.dimension import Dimension, Value
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.study.spec import LearningRate


def rate(value: float) -> Hyperparameters:
    """Return a learning rate and nothing else, as a study has it that names no more."""
    return Hyperparameters({"learning_rate": value})


def learning_rates(low: float, high: float) -> SearchSpace:
    """Return the space of the learning rate alone."""
    return SearchSpace((Dimension("learning_rate", low, high, "log"),))


def choices(name: str, *values: Value) -> Dimension:
    """Return a dimension of choices."""
    return Dimension(name, choices=values)


DEFAULT_SPACE = learning_rates(LearningRate().low, LearningRate().high)

_FLOATS = st.builds(
    lambda low, width: ("linear", low, low + width), st.floats(-10, 10), st.floats(1e-3, 1e3)
) | st.builds(lambda low, factor: ("log", low, low * factor), st.floats(1e-7, 1e2), st.floats(1.01, 1e6))
_INTEGERS = st.builds(
    lambda scale, low, width: (scale, low, low + width),
    st.sampled_from(["log", "linear"]),
    st.integers(1, 9),
    st.integers(1, 30),
)
_CHOICES = st.lists(st.sampled_from([0.0, 0.5, 2, 3, "cosine", "linear"]), min_size=1, max_size=4, unique=True)


@st.composite
def dimensions(draw: st.DrawFn, name: str) -> Dimension:
    """Draw a range or some choices under a name."""
    kind = draw(st.sampled_from(["float", "integer", "choices"]))
    if kind == "choices":
        return choices(name, *draw(_CHOICES))
    scale, low, high = draw(_FLOATS if kind == "float" else _INTEGERS)
    return Dimension(name, low, high, scale, integer=kind == "integer")


@st.composite
def _spaces(draw: st.DrawFn) -> SearchSpace:
    low = draw(st.floats(1e-7, 1e-3))
    names = ["training.weight_decay", "training.epochs", "training.schedule"]
    others = [draw(dimensions(name)) for name in names[: draw(st.integers(0, 3))]]
    return SearchSpace((Dimension("learning_rate", low, low * draw(st.floats(1.01, 1e6)), "log"), *others))


def combinations(space: SearchSpace) -> int:
    """Return how many points a space of choices has, ranges left aside."""
    return math.prod(len(dimension.choices) or 1 for dimension in space.dimensions)


def smallest_grid(space: SearchSpace) -> int:
    """Return how many trials a grid takes: two points of each range but one."""
    ranges = sum(not dimension.choices for dimension in space.dimensions)
    return combinations(space) * 2 ** max(0, ranges - 1)


spaces = _spaces()
"""The learning rate, and up to three dimensions of any kind behind it."""

small_spaces = spaces.filter(lambda space: smallest_grid(space) <= 8)
"""Those of which a grid of nine trials exists."""
