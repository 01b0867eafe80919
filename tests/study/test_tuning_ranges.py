"""The learning rates of each tuning: which range goes first, and what a store remembers."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import StudyError
from harness.data.template import Template
from harness.study.cell_digests import cell_digests
from harness.study.check import check
from harness.study.checked_study import Checked
from harness.study.grid import cell_space, expand
from harness.study.load_study import read_study
from harness.study.recorded_ranges import with_recorded_ranges
from harness.study.spec import StudySpec
from harness.study.tuning_kinds import TUNING_KINDS
from harness.tracking.address import StudyAddress
from harness.tracking.choose_store import opened
from tests.support.study_fixture import Place

TUNINGS: list[Any] = ["head", {"last_blocks": 1}, {"last_blocks": 2}, "full"]


def study(**search: Any) -> StudySpec:
    return StudySpec.model_validate({"name": "s", "task": "t", "prompts": ["p"], "tuning": TUNINGS, "search": search})


def ends(study: StudySpec) -> dict[str, tuple[float, float]]:
    cells = expand(study, [Template("p", "{{ source }}", "source")])
    spaces = {cell.tuning.name: cell_space(study, cell).dimensions[0] for cell in cells if cell.tuning.trains}
    assert {rates.scale for rates in spaces.values()} == {"log"}
    return {tuning: (rates.low, rates.high) for tuning, rates in spaces.items()}


RANGE = st.builds(lambda low, factor: {"low": low, "high": low * factor}, st.floats(1e-9, 1), st.floats(2, 1e6))


@given(
    ranges=st.dictionaries(st.sampled_from(["head", "last_blocks", "last_blocks-2", "full"]), RANGE),
    short=st.none() | RANGE,
    long=st.none() | RANGE,
)
def test_a_name_goes_before_a_kind_before_the_study_before_the_kinds_own(
    ranges: dict[str, Any], short: dict[str, float] | None, long: dict[str, float] | None
) -> None:
    rates = {"learning_rate": short} if short else {"space": {"learning_rate": long}} if long else {}
    for tuning, found in ends(study(ranges=ranges, **rates)).items():
        kind = tuning.partition("-")[0]
        said = ranges.get(tuning) or ranges.get(kind) or short or long
        assert found == ((said["low"], said["high"]) if said else TUNING_KINDS[kind].rates)


def test_each_kind_brings_a_range_and_what_trains_less_a_higher_one() -> None:
    own = [TUNING_KINDS[kind].rates for kind in ("full", "last_blocks", "head")]
    assert own == sorted(own)
    assert [high for _, high in own] == sorted({high for _, high in own})


def test_a_range_that_is_named_makes_the_same_cells_as_the_kinds_own() -> None:
    def digests(study: StudySpec) -> dict[str, str]:
        return cell_digests(expand(study, [Template("p", "{{ source }}", "source")]), study, {})

    named = {name: {"low": low, "high": high} for name, (low, high) in ends(study()).items()}
    assert digests(study(ranges=named)) == digests(study())
    other = digests(study(ranges={**named, "head": {"low": 1e-3, "high": 1e-2}}))
    assert [cell for cell, digest in digests(study()).items() if other[cell] != digest] == ["p/head"]


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        (
            "{hed: {low: 0.1, high: 1.0}}",
            "search.ranges names 'hed', which the study does not train; did you mean 'head'?",
        ),
        ("{none: {low: 0.1, high: 1.0}}", "search.ranges names 'none'"),
        ("{last_blocks-7: {low: 0.1, high: 1.0}}", "names 'last_blocks-7', which the study does not train"),
        ("{head: {low: 0.1}}", "key 'search.ranges.head.high' is missing"),
        ("{head: {low: 0.1, high: 1.0, hihg: 1.0}}", "unknown key 'hihg' in search.ranges.head; did you mean 'high'?"),
        ("{head: {low: 1.0, high: 0.1}}", "learning_rate needs low < high"),
    ],
)
def test_a_range_of_nothing_is_refused(ranges: str, words: str, finished: Place) -> None:
    with pytest.raises(StudyError) as caught:
        checked(finished, f"search.ranges={ranges}")
    assert words in str(caught.value)


def checked(place: Place, *overrides: str) -> Checked:
    with contextlib.chdir(place.folder):
        return check(read_study(Path("study.yaml"), overrides))


def resolved(place: Place, *overrides: str) -> tuple[dict[str, tuple[float, float]], str]:
    """Return the ranges that a study runs with in a place, and what is told."""
    with (
        contextlib.chdir(place.folder),
        mock.patch.dict(os.environ, {"MLFLOW_TRACKING_URI": place.uri}),
        opened(StudyAddress("tiny", "tiny", place.uri), lambda text: None) as store,
    ):
        found, told = with_recorded_ranges(checked(place, *overrides), store)
    return ends(replace_tunings(found)), told


def replace_tunings(checked: Checked) -> StudySpec:
    """Return a study with the tunings of this file, and a prompt that needs no task."""
    own = study()
    return checked.study.model_copy(update={"tuning": own.tuning, "prompts": own.prompts})


def test_a_study_in_the_store_goes_on_with_the_range_in_its_record(finished: Place) -> None:
    found, told = resolved(finished, "search.learning_rate=null")
    assert (found["head"], found["last_blocks-1"]) == ((1e-3, 1e-1), (1e-3, 1e-1))
    assert told == "learning rates as this study had them: head 0.001 to 0.1, last_blocks-1 0.001 to 0.1"
    named, told = resolved(finished, "search.learning_rate={low: 0.5, high: 0.7}")
    assert (named["head"], told) == ((0.5, 0.7), "")
    part, told = resolved(finished, "search.learning_rate=null", "search.ranges={head: {low: 0.5, high: 0.7}}")
    assert part["head"] == (0.5, 0.7)
    assert told == "learning rates as this study had them: last_blocks-1 0.001 to 0.1"


def test_check_tells_the_ranges_that_are_left_out(finished: Place) -> None:
    own = finished.command("check", "study.yaml", "--set", "search.learning_rate=null").out
    low, high = TUNING_KINDS["head"].rates
    assert f"each kind's own since the study names none: head {low:g} to {high:g}, last_blocks-1 " in " ".join(
        own.split()
    )
    assert "each kind's own" not in finished.command("check", "study.yaml").out
