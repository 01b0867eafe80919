"""Values of a study that was made in Python: which are taken, for what, and what is said of those that are not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import Result, Study, Template, compare
from harness.core.errors import StudyError, UserError
from tests.support.python_study import QUICK, TINY, inside
from tests.support.study_fixture import SIZES, Places, rows

CIRCLE: dict[str, Any] = {}
CIRCLE["x"] = CIRCLE


class Unsaved:
    """A model whose library cannot write it."""

    def save_pretrained(self, folder: Path) -> None:
        raise ValueError("quantized")


ROWS = [{"source": f"note {n} of the day", "target": f"note {n}"} for n in range(40)]

WRONG_ROWS: dict[str, tuple[Mapping[str, Any], str]] = {
    "carved": ({"train": [{"source": "a"}] * 40}, 'data["train"] row 1, data["train"] row '),
    "of validation": (
        {"train": ROWS, "validation": [{**row, "id": "x"} for row in ROWS[:2]]},
        'data["validation"] row 2: another row has the id',
    ),
    "size": ({"rows": {"train": ROWS}, "train": 50}, 'data["train"]: data.train is 50, but there are 32 rows; lower'),
    "carving": ({"rows": ROWS, "test": 50}, 'data["train"]: its 40 rows cannot give'),
    "columns": ({"train": ROWS, "columns": {"source": "text"}}, "data[\"train\"]: data.columns maps 'source' to a"),
}
"""Rows that a check refuses, and what it says: their keyword, and no file."""

WRONG: dict[str, tuple[Mapping[str, Any], str]] = {
    "a misspelt keyword": (
        {"trainning": {}},
        "(trainning): unknown key 'trainning' in the study; did you mean",
    ),
    "no list": ({"prompts": None}, "(prompts): prompts is null; it must be a list"),
    "a value": ({"search": {"trials": "many"}}, "(search.trials): search.trials is 'many'; it must be a whole number"),
    "a tuning": ({"tuning": ["none", "hed"]}, "(tuning[1]): unknown tuning 'hed'; did you mean 'head'"),
    "rows": ({"data": {"train": [{"a": b"x"}]}}, "(data): data.train row 1: column 'a' holds what is no text, number"),
    "rows and a path": ({"data": {"train": [{"a": 1}], "path": "x"}}, "(data): data has rows and names path; keep one"),
    "a split": (
        {"data": {"rows": {"trian": [{"a": 1}]}}},
        "(data): data has rows of 'trian', which is no split; did you mean 'train'",
    ),
    "no train": ({"data": {"test": [{"a": 1}]}}, "(data): data has rows of test, but none of train; give data.train"),
    "columns": ({"data": {"train": {"a": [1, 2]}}}, "(data): data.train is dict {'a': [1, 2]}, no rows; give a list"),
    "a path": ({"data": Path("data")}, "(data): data is 'data'; it must be a section with keys: path"),
    "another file": ({"extends": "base.yaml"}, "(extends): a file extends another: write one, and give it to Study."),
    "a set": ({"final": {"seeds": {1, 2}}}, "(final): final.seeds is set {1, 2}; a study file holds texts, numbers"),
    "itself": ({"training": CIRCLE}, "(training): training.x.x.x.x"),
    "a model that cannot be saved": (
        {"model": (Unsaved(), Unsaved())},
        "(model): Unsaved cannot be saved, ValueError: quantized; give model=(model, tokenizer), the folder of one",
    ),
    "a model alone": (
        {"model": object()},
        "(model): model is a object without a tokenizer; give model=(",
    ),
    "no value": (
        {"search": {"trials": object()}},
        "(search): search.trials is object <object object at",
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_told_under_its_keyword(what: str) -> None:
    given, says = WRONG[what]
    with pytest.raises(StudyError, match=re.escape(says)):
        Study(**{**TINY, **given})


def test_values_of_other_libraries_are_taken_for_what_they_are() -> None:
    class Depth(StrEnum):
        HEAD = "head"

    seen: dict[str, Any] = {
        "tuning": [Depth.HEAD, {"last_blocks": np.int64(1)}],
        "prompts": [Template("own", "{{ source }}\n", shorten="source"), np.str_("bare")],
        "search": {**TINY["search"], "learning_rate": {"low": np.float64(1e-3), "high": np.float32(0.5)}},  # type: ignore[dict-item]
        "final": {"seeds": np.array([11, 12])},
    }
    plain: dict[str, Any] = {
        "tuning": ["head", {"last_blocks": 1}],
        "prompts": [{"name": "own", "text": "{{ source }}\n", "shorten": "source"}, "bare"],
        "search": {**TINY["search"], "learning_rate": {"low": 1e-3, "high": 0.5}},  # type: ignore[dict-item]
        "final": {"seeds": [11, 12]},
    }
    assert Study(**{**TINY, **seen}).file.text == Study(**{**TINY, **plain}).file.text


def test_all_of_it_is_told_at_once() -> None:
    with pytest.raises(StudyError) as raised:
        Study(**{**TINY, "tuning": ["hed"], "search": {"trials": 0}})
    assert len(raised.value.problems) == 2


def test_what_was_changed_in_the_workspace_is_put_back(places: Places) -> None:
    place = places()
    with inside(place):
        study = Study(**QUICK, data={split: rows(split) for split in SIZES})
        study.check()
        Path(study.file.memory["train"]).write_text(
            '{"id": "1", "source": "cut", "target": "short"}\n', encoding="utf-8"
        )
        assert len(study.check().examples["train"]) == SIZES["train"]


def test_what_the_machine_refuses_is_told_in_the_command_s_words(places: Places) -> None:
    place = places()
    with inside(place):
        Path(".harness").write_text("a file", encoding="utf-8")
        with pytest.raises(UserError, match=r"a file stands where a folder belongs \(.*\); move it away, and the same"):
            Study(**QUICK, data={split: rows(split) for split in SIZES}).check()


@pytest.mark.parametrize("case", WRONG_ROWS.values(), ids=WRONG_ROWS)
def test_rows_that_are_wrong_go_by_their_keyword(
    case: tuple[Mapping[str, Any], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data, says = case
    study = Study(name="x", task="summarization", prompts=["bare"], tuning=["head"], data=data)
    with pytest.raises(StudyError) as refused:
        study.check()
    assert says in str(refused.value)
    assert ".memory" not in str(refused.value)


def test_what_python_is_told_names_no_option_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    study = Study(name="x", task="summarization", prompts=["bare"], tuning=["head"], data={"train": ROWS})
    file = study.save("x.yaml")
    said = []
    for call in (
        lambda: Study.load(file, ["search.trails=3"]),
        lambda: Study.load(file, ["search.trials"]),
        lambda: Study.load(file, "search.trials=3"),
        lambda: study.run(cells="y/*"),
        lambda: compare("a", "b", split="tets"),
        lambda: compare("a", "b"),
        lambda: Result.load("a"),
    ):
        with pytest.raises(UserError) as refused:
            call()
        said.append(str(refused.value))
    assert [each for each in said if "--" in each or "harness run" in each] == []
    assert said[0].startswith("override search.trails=3: unknown key 'trails' in search; did you mean 'trials'?")
    assert said[2] == "overrides is the text 'search.trials=3'; give a list of such"
    assert said[3] == "pattern 'y/*' matches no cell; known: bare/none, bare/head"
