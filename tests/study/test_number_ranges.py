"""Every number of a study file has a range, and what lies outside is refused by name before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from harness.core.errors import StudyError
from harness.study.load_study import read_study
from harness.study.spec import NARROWEST, StudySpec

OUTSIDE = ("true", "false", "-1", ".inf", "-.inf", ".nan", "1.0e+308", "-1.0e+308", "'many'", f"{10**40}", "[]", "{}")
"""Values that no number of a study can have."""

QUICKSTART = Path(__file__).parents[2] / "experiments" / "quickstart.yaml"


class Number(NamedTuple):
    """A key that holds a number, or a list of numbers."""

    key: str
    kind: type
    bounds: tuple[Any, ...]
    is_listed: bool


def bounds_in(annotation: Any) -> tuple[Any, ...]:
    """Return all that an annotation says beside types, whichever way it is nested."""
    own = getattr(annotation, "__metadata__", ())
    inner = [bound for part in get_args(annotation) for bound in bounds_in(part)]
    return (*(b for one in own for b in getattr(one, "metadata", [one])), *inner)


def types_in(annotation: Any) -> set[Any]:
    parts = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    return {annotation} | {each for part in parts for each in types_in(part)}


def numbers(model: type[BaseModel] = StudySpec, above: str = "") -> Iterator[Number]:
    for name, field in model.model_fields.items():
        kinds, key = types_in(field.annotation), f"{above}{name}"
        for kind in kinds & {int, float}:
            bounds = (*field.metadata, *bounds_in(field.annotation))
            yield Number(key, kind, bounds, get_origin(field.annotation) is tuple)
        for section in kinds:
            if isinstance(section, type) and issubclass(section, BaseModel):
                yield from numbers(section, f"{key}.full." if dict[str, section] in kinds else f"{key}.")


NUMBERS = {number.key: number for number in numbers()}
SET = {key: number for key, number in NUMBERS.items() if not key.startswith(("tuning.", "final.baseline."))}
"""Those that `--set` can reach; a tuning's number of blocks is read from its short form."""


ROWS = {"data.train", "data.validation", "data.test", "generality.examples"}


def problems(*overrides: str) -> list[str]:
    try:
        read_study(QUICKSTART, overrides)
    except StudyError as error:
        return [problem.message for problem in error.problems]
    return []


def written(key: str, value: object) -> str:
    if key.startswith("prompts."):
        return f"prompts=[{{name: p, text: '{{{{ source }}}}', {key.removeprefix('prompts.')}: {value}}}]"
    if key.startswith("data.sources."):
        return f"data.sources=[{{path: a, {key.removeprefix('data.sources.')}: {value}}}, {{path: b}}]"
    return f"{key}=[{value}]" if NUMBERS[key].is_listed else f"{key}={value}"


def place(key: str) -> str:
    """Return what messages call a key; of prompts and of sources there is a list."""
    return key.replace("prompts.", "prompts.0.").replace("data.sources.", "data.sources.0.")


def test_all_kinds_of_numbers_are_found() -> None:
    known = {"training.epochs", "training.clip", "engine.memory_mib", "search.learning_rate.low", "search.seed"}
    assert known | {"final.seeds", "data.train", "generality.examples", "generation.num_beams"} <= NUMBERS.keys()


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_every_number_has_a_least_and_a_largest_value(number: Number) -> None:
    """The most rows are those that there are."""
    assert any(isinstance(bound, Ge | Gt) for bound in number.bounds), number
    assert number.key in ROWS or any(isinstance(bound, Le | Lt) for bound in number.bounds), number


BITS = "a whole number has at most 63 bits"
"""What is said of larger ones, whatever they stand for."""


@pytest.mark.parametrize("key", SET)
@pytest.mark.parametrize("value", OUTSIDE)
def test_what_is_out_of_any_range_is_refused_by_its_name(key: str, value: str) -> None:
    if (NUMBERS[key].is_listed and value == "[]") or (key in ROWS and value.isdigit()):
        return  # an empty list is one; rows are counted where they are
    found = problems(written(key, value))
    assert any(message.startswith(place(key)) or BITS in message for message in found), found


@given(st.sampled_from(sorted(SET)), st.integers(10**10, 10**30))
def test_a_count_beyond_counting_is_refused(key: str, value: int) -> None:
    if NUMBERS[key].kind is int and key not in ROWS and ("seed" not in key or value >= 2**63):
        assert any(message.startswith(place(key)) or BITS in message for message in problems(written(key, value)))


@given(st.floats(1e-38, 1e38), st.floats(1e-38, 1e38))
def test_a_range_that_is_taken_has_a_logarithm_that_can_be_divided(one: float, other: float) -> None:
    low, high = repr(one), repr(other)
    if not problems(f"search.learning_rate={{low: '{low}', high: '{high}'}}"):
        assert 0 < math.log(other) - math.log(one) < math.inf
        assert 1 / (math.log(other) - math.log(one)) < 2 / (NARROWEST - 1)


@pytest.mark.parametrize("seed", [0, 2**32, 2**63 - 1])
def test_seeds_of_64_bits_are_taken(seed: int) -> None:
    assert not problems(f"search.seed={seed}", f"final.seeds=[{seed}]", f"data.seed={seed}")
