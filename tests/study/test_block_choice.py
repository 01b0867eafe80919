"""Which blocks, and tunings of blocks: written, read, named, stored, and back; against sets of numbers."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from harness.core.plain_yaml import yaml_text
from harness.study.spec import StudySpec
from harness.study.tuning import Tuning, tuning_of
from harness.study.tuning_kinds import TUNING_KINDS
from harness.study.tuning_names import depth, depth_of, parsed
from harness.study.tunings.block_choice import (
    FORM,
    LARGEST,
    block_choice,
    block_numbers,
    blocks_name,
    blocks_needed,
    how_many,
    named_blocks,
)

COUNT = 12
"""Blocks of the model that is chosen from."""

NUMBER = st.integers(1, COUNT)
RANGE = st.tuples(st.integers(0, COUNT - 1), st.integers(0, COUNT - 1)).map(sorted)
LIST = st.lists(st.integers(0, COUNT - 1), min_size=1, unique=True)
WRITTEN: st.SearchStrategy[Any] = st.one_of(
    st.just("all"), NUMBER.map("first-{}".format), NUMBER.map("last-{}".format), RANGE.map("{0[0]}-{0[1]}".format), LIST
)
OF_KIND = {"none": st.none(), "count": NUMBER, "choice": WRITTEN, "option": st.none() | WRITTEN}


def expected(written: Any) -> set[int]:
    """The numbers that are chosen, by the words of the documentation."""
    if isinstance(written, list):
        return set(written)
    first, _, last = written.partition("-")
    every = list(range(COUNT))
    chosen = {"all": every, "first": every[: int(last or 0)], "last": every[COUNT - int(last or 0) :]}
    return set(chosen[first] if first in chosen else every[int(first) : int(last) + 1])


@st.composite
def tunings(draw: st.DrawFn) -> tuple[str, Any, str | None]:
    """A kind, what is written of blocks, and maybe a name."""
    kind = draw(st.sampled_from(sorted(TUNING_KINDS.keys() - {"peft"})))
    name = draw(st.none() | st.from_regex(r"\A[A-Z][A-Za-z0-9_.-]{0,9}\Z"))
    return kind, draw(OF_KIND[TUNING_KINDS[kind].blocks]), name


def as_written(kind: str, blocks: Any, name: str | None) -> Any:
    below = {"blocks": blocks} if blocks is not None and TUNING_KINDS[kind].blocks == "option" else blocks
    named = {"name": name} if name else {}
    return kind if below is None and not named else {**named, kind: below}


def read(written: Any) -> Tuning:
    tuning: Tuning = TypeAdapter(Tuning).validate_python(tuning_of(written))
    return tuning


@given(WRITTEN)
def test_a_choice_is_the_blocks_that_it_says(written: Any) -> None:
    choice = block_choice(written)
    numbers = block_numbers(choice, COUNT)
    assert set(numbers) == expected(written)
    assert list(numbers) == sorted(set(numbers))
    assert how_many(choice) == (len(numbers) if choice != "all" else float("inf"))
    assert blocks_needed(choice) <= COUNT
    if isinstance(written, list):
        assert blocks_needed(choice) == max(written) + 1


@given(WRITTEN, WRITTEN)
def test_a_choice_has_one_name_that_leads_back(one: Any, other: Any) -> None:
    choice, second = block_choice(one), block_choice(other)
    assert named_blocks(blocks_name(choice)) == choice
    assert re.fullmatch("[A-Za-z0-9_-]+", blocks_name(choice)), "a part of a path, a param, a shell's word"
    assert (blocks_name(choice) == blocks_name(second)) is (choice == second)
    assert block_choice(list(choice) if isinstance(choice, tuple) else choice) == choice
    if isinstance(one, list) and isinstance(other, list):
        assert (choice == second) is (set(one) == set(other))


@given(tunings())
def test_a_tuning_goes_around_through_files_and_records(drawn: tuple[str, Any, str | None]) -> None:
    kind, blocks, name = drawn
    tuning = read(as_written(*drawn))
    assert (tuning.kind, tuning.named) == (kind, name)
    assert read(yaml.safe_load(yaml_text(tuning.written()))) == tuning
    assert Tuning.model_validate_json(tuning.model_dump_json()) == tuning
    assert hash(Tuning.model_validate(tuning.model_dump())) == hash(tuning)
    if name is None:
        assert parsed(tuning.name) == (kind, tuning.blocks, tuning.leading, "")
        assert depth(tuning.name) == tuning.depth == depth_of(kind, tuning.blocks, tuning.leading)
        assert "named" not in tuning.model_dump(), "as records were before"
    else:
        assert tuning.name == name
        assert parsed(name) is None


@given(tunings(), tunings())
def test_two_tunings_have_one_name_only_if_they_are_one(one: Any, other: Any) -> None:
    left, right = read(as_written(*one[:2], None)), read(as_written(*other[:2], None))
    assert (left.name == right.name) is (left == right)


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("head", "head"),
        ({"last_blocks": 2}, "last_blocks-2"),
        ({"first_blocks": 1}, "first_blocks-1"),
        ({"blocks": "3-5"}, "blocks-3-5"),
        ({"blocks": [3, 4, 5]}, "blocks-3-5"),
        ({"blocks": [3, 5]}, "blocks-3_5"),
        ({"blocks": "all"}, "blocks-all"),
        ({"attention": {"blocks": "last-2"}}, "attention-last-2"),
        ({"norms": {"blocks": "all"}}, "norms"),
        ({"norms": {}}, "norms"),
        ({"norms": None}, "norms"),
        ({"name": "wide", "attention": {"blocks": "last-2"}}, "wide"),
        ({"name": "biases", "biases": None}, "biases"),
    ],
)
def test_ids(written: Any, name: str) -> None:
    assert read(written).name == name


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ({"blocks": 3}, "blocks are 3; write all, first-2, last-2, 3-5 or [0, 2], counted from 0"),
        ({"blocks": "5-3"}, "from the last to the first; write 3-5"),
        ({"blocks": "last-0"}, "write all, first-2, last-2, 3-5"),
        ({"blocks": "03-05"}, "write all, first-2, last-2, 3-5"),
        ({"blocks": "0-9999999"}, "numbers of blocks go up to 1,000,000: lower it"),
        ({"blocks": []}, "blocks are []; name some"),
        ({"blocks": [1, 1]}, "each stands there once"),
        ({"blocks": [-1]}, "which -1 is not; correct it"),
        ({"blocks": [True]}, "which true is not; correct it"),
        ("blocks", "blocks needs blocks; write none, head"),
        ({"last_blocks": "last-2"}, "last_blocks is 'last-2'; it must be a whole number of at least 1"),
        ({"norms": 2}, "norms is 2; write norms, or {norms: {blocks: last-2}}"),
        ({"norms": {"block": "last-2"}}, "unknown key 'block' in tuning norms; did you mean 'blocks'?"),
        ({"head": {"blocks": "last-2"}}, "head takes no blocks; write none, head"),
        ({"nroms": {"blocks": "last-2"}}, "unknown tuning 'nroms'; did you mean 'norms'?"),
        ({"name": "full", "norms": None}, "tuning norms is called 'full', as one of kind full is; call it otherwise"),
        ({"name": "norms-last-1", "norms": None}, "as one of kind norms is; call it otherwise"),
        ({"norms": None, "biases": None}, "a tuning cannot be {norms: null, biases: null}; write none, head"),
        ({"name": "mine"}, "a tuning cannot be {name: 'mine'}; write none, head"),
    ],
)
def test_what_is_refused(written: Any, message: str) -> None:
    with pytest.raises((ValueError, ValidationError), match=re.escape(message)):
        read(written)


@given(st.text(max_size=12) | st.from_regex(FORM))
def test_a_text_is_a_choice_exactly_if_the_schema_says_so(text: str) -> None:
    numbers = [int(number) for number in re.findall(r"\d+", text, re.ASCII)]
    if not re.fullmatch(FORM, text, re.ASCII) or numbers != sorted(numbers) or max(numbers, default=0) > LARGEST:
        with pytest.raises(ValueError, match="^blocks are"):
            block_choice(text)
    else:
        assert block_choice(text) == text


def test_one_tuning_under_two_names_of_blocks_stands_twice() -> None:
    study = {"name": "s", "task": "t", "prompts": ["p"], "tuning": [{"blocks": [4, 3]}, {"blocks": "3-4"}]}
    with pytest.raises(ValidationError, match="names blocks-3-4 more than once"):
        StudySpec.model_validate(study)
