"""Axes that no study has: added to the table for as long as a block lasts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from harness.study.axes import AXES
from harness.study.further_axes import Axis
from harness.study.spec import StudySpec

__all__ = ["Setting", "added", "training_axis"]


class Setting(NamedTuple):
    """A level: a value of a key of the study's training section."""

    name: str
    value: Any = None


def training_axis(name: str, key: str, levels: Sequence[Setting]) -> Axis:
    """Return an axis whose levels are settings of ``training.<key>``."""

    def apply(study: StudySpec, level: Setting) -> StudySpec:
        return study.model_copy(update={"training": study.training.model_copy(update={key: level.value})})

    return Axis(name, lambda study: levels, apply)


@contextmanager
def added(*axes: Axis) -> Iterator[None]:
    """Put axes behind those that are there."""
    there = len(AXES)
    AXES.extend(axes)
    try:
        yield
    finally:
        del AXES[there:]
