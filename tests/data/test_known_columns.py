"""Instruction data, in every spelling, and what is suggested for texts in two languages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import DataError
from harness.core.example import Example
from harness.data.data_keys import Data
from harness.data.known_columns import instruction_columns, mapping_hint
from harness.data.open_source import open_source
from harness.data.sources import Source, read_split
from harness.study.task import plain_example


def opened(folder: Path, rows: list[dict[str, Any]], **keys: Any) -> tuple[Source, list[Example]]:
    file = folder / "train.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = Data(path=str(file), validation=1, test=1, **keys)
    source = open_source(data, folder)
    return source, read_split(source, "train", data, plain_example)


INPUTS = ["", None, "in French", "  "]
ALPACA = [{"instruction": f"Say {n}.", "input": INPUTS[n % 4], "output": f"o{n}"} for n in range(12)]


@pytest.mark.parametrize(
    "names",
    [
        ("instruction", "input", "output"),
        ("instruction", "context", "response"),
        ("instruction", None, "output"),
        ("instruction", None, "response"),
        ("prompt", None, "completion"),
    ],
)
def test_instructions_need_no_mapping(names: tuple[str, str | None, str], tmp_path: Path) -> None:
    instruction, about, output = names
    renamed = dict(zip(ALPACA[0], names, strict=True))
    rows = [{renamed[key]: value for key, value in row.items() if renamed[key]} for row in ALPACA]
    source, train = opened(tmp_path, rows)
    for example in train:
        n = int(example.id.removeprefix("row-")) - 1
        below = "\nin French" if about and n % 4 == 2 else ""
        assert example.fields["source"] == f"Say {n}.{below}"
        assert example.target == f"o{n}"
        assert example.fields[instruction] == f"Say {n}."
        assert output not in example.fields, "a prompt could show it"
        assert about is None or example.fields[about] == rows[n][about]
    (note, *_) = [note for note in source.notes if "instructions" in note]
    assert note == (
        f"rows are instructions: the target is '{output}', the field source '{instruction}'"
        + (f", with '{about}' below it where it says something" if about else "")
        + "; data.columns takes others."
    )


def test_what_a_study_maps_is_left_to_it(tmp_path: Path) -> None:
    source, train = opened(tmp_path, ALPACA, columns={"source": "input", "target": "output"})
    assert {example.fields["source"] for example in train} <= {"", None, "in French", "  "}
    assert not [note for note in source.notes if "instructions" in note]
    source, train = opened(tmp_path, ALPACA, columns={"source": "instruction"})
    assert [e.fields["source"] for e in train] == [e.fields["instruction"] for e in train]
    assert "rows are instructions: the target is 'output'; data.columns takes others." in source.notes
    _, train = opened(tmp_path, [{**row, "source": "own"} for row in ALPACA])
    assert {(e.fields["source"], e.target[0]) for e in train} == {("own", "o")}
    _, train = opened(tmp_path, [{**row, "target": "own"} for row in ALPACA])
    assert {(e.target, e.fields["output"][0]) for e in train} == {("own", "o")}


def test_a_row_without_an_output_has_an_empty_target(tmp_path: Path) -> None:
    _, train = opened(tmp_path, [*ALPACA, {**ALPACA[0], "output": None}, {"instruction": "x"}, {"instruction": "y"}])
    empty = {example.id for example in train if not example.target}
    assert empty == {example.id for example in train} & {"row-13", "row-14", "row-15"}
    assert len(empty) > 0


@pytest.mark.parametrize("value", [["a"], {"role": "user"}])
def test_lists_and_mappings_are_no_instructions(value: Any, tmp_path: Path) -> None:
    assert instruction_columns([{"prompt": value, "completion": "b"}]) is None
    with pytest.raises(DataError, match="column 'target' is missing"):
        opened(tmp_path, [{"prompt": "a", "completion": value}] * 4)


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ({"translation": {"en": "a", "fr": "b"}, "id": 3}, "{source: translation.en, target: translation.fr}"),
        ({"pair": {"de": "a", "fr": "b"}}, "{source: pair.de, target: pair.fr}"),
        ({"en": "a", "fr": "b"}, "{source: en, target: fr}"),
        ({"translation": {"en": "a", "fr": "b", "de": "c"}}, "{target: <its name>}"),
        ({"article": "a", "summary": "b", "id": "3"}, "{target: <its name>}"),
    ],
)
def test_two_texts_suggest_a_mapping(row: dict[str, Any], hint: str) -> None:
    assert mapping_hint(row) == hint
