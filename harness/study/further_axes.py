"""Axes behind prompt and tuning: each shows where a study has more than one level of it.

To add an axis, put an entry behind the others in `FURTHER_AXES`; nothing else has to know of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

__all__ = [
    "DATA_SEED",
    "DRAWN_BY",
    "FURTHER_AXES",
    "GENERATION",
    "MODEL",
    "PER_LABEL",
    "TRAIN_SIZE",
    "Axis",
    "Level",
    "ModelLevel",
    "Number",
]


class Level(Protocol):
    """One value of an axis."""

    @property
    def name(self) -> str:
        """How ids, params and tables call it: without a slash, distinct on its axis."""


class Axis(NamedTuple):
    """A factor of the grid."""

    name: str
    """Of its param, its column and its key in ``final.baseline``: letters, digits and ``_``."""
    levels: Callable[[Any], Sequence[Level]]
    """The levels that a `harness.study.spec.Study` compares, the reference first where the study names none."""
    apply: Callable[[Any, Any], Any]
    """What turns the study into the one that cells of a level run."""


class ModelLevel(NamedTuple):
    """A model among several."""

    name: str
    place: int
    """In the study's list."""


def _models(study: Any) -> list[ModelLevel]:
    return [ModelLevel(model.level, place) for place, model in enumerate(study.models)]


def _of_model(study: Any, level: Any) -> Any:
    return study.of_model(level.place)


class Number(NamedTuple):
    """What a key of ``data`` is in some cells: a size of the training split, rows of each label, a seed."""

    name: str
    value: int


def _numbers(key: str) -> Callable[[Any], list[Number]]:
    """Return what gives the numbers that a study compares by a key of ``data``."""

    def levels(study: Any) -> list[Number]:
        written = getattr(study.data, key)
        return [Number(str(one), one) for one in written] if isinstance(written, tuple) else []

    return levels


def _of_number(key: str) -> Callable[[Any, Any], Any]:
    def apply(study: Any, level: Any) -> Any:
        return study.model_copy(update={"data": study.data.model_copy(update={key: level.value})})

    return apply


def _of_setting(study: Any, level: Any) -> Any:
    return study.model_copy(update={"generation": level})


MODEL = "model"
"""The axis of models."""

TRAIN_SIZE, PER_LABEL, DATA_SEED = "train_size", "per_label", "data_seed"
"""The axes of training sizes, of training rows of each label, and of the seeds that draw them."""

DRAWN_BY = {TRAIN_SIZE: "train", PER_LABEL: "per_label", DATA_SEED: "seed"}
"""Axes whose levels say which training rows are used, and their keys in ``data``."""

GENERATION = "generation"
"""The axis of settings by which predictions are made: final models answer under each, and only the first is searched
by."""

FURTHER_AXES = [
    Axis(MODEL, _models, _of_model),
    *(Axis(name, _numbers(key), _of_number(key)) for name, key in DRAWN_BY.items()),
    Axis(GENERATION, lambda study: study.settings, _of_setting),
]
"""All of them, the outermost first."""
