"""Names that reach into values: against walking by hand, and where a column has that very name."""

from __future__ import annotations

import json
from functools import reduce
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.core.example import SPLITS, Example
from harness.data.chat_turns import MESSAGES
from harness.data.data_keys import Data
from harness.data.nested_names import ABSENT, exchanged_at, has, names_in, value_at
from harness.data.open_source import open_source
from harness.data.sources import read_split
from harness.study.task import plain_example

keys = st.text("abc", min_size=1, max_size=2)
leaves = st.none() | st.integers() | st.text("xy {[", max_size=3)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=12
)
rows = st.dictionaries(keys, values, min_size=1, max_size=3)


def paths(value: Any, above: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the way to everything inside of a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [way for key, inner in items for way in [(*above, key), *paths(inner, (*above, key))]]


@given(row=rows)
def test_every_value_has_a_name(row: dict[str, Any]) -> None:
    for way in paths(row):
        name = ".".join(map(str, way))
        assert value_at(row, name, ABSENT) == reduce(lambda outer, key: outer[key], way, row)
        assert has(row, name)
        assert not has(row, f"{name}.9")


@given(row=rows)
def test_exchanging_changes_one_value_and_no_original(row: dict[str, Any]) -> None:
    before = json.dumps(row)
    for way in paths(row):
        changed = exchanged_at(row, ".".join(map(str, way)), "new")
        whole = json.loads(before)
        reduce(lambda outer, key: outer[key], way[:-1], whole)[way[-1]] = "new"
        assert changed == whole
    assert json.dumps(row) == before


def test_a_column_of_that_very_name_comes_first() -> None:
    row = {"a.b": 1, "a": {"b": 2, "c.d": 3}, "e": '{"f": [4, null]}', "g": "[no JSON"}
    names = ("a.b", "a.c.d", "e.f.0", "e.f.1", "g.0", "a.x", "a.b.c")
    assert [value_at(row, name, "-") for name in names] == [1, 3, 4, None, "-", "-", "-"]
    assert exchanged_at(row, "x.y", 5) == {**row, "x.y": 5}
    assert names_in([row]) == ["a", "a.b", "a.c.d", "e", "e.f", "e.f.0", "g"]


def read(path: Path, **keys: Any) -> list[Example]:
    data = Data(path=str(path), validation=1, test=1, **keys)
    return read_split(open_source(data, path), "train", data, plain_example)


def pairs(examples: list[Example]) -> list[tuple[Any, str]]:
    return [(example.fields["source"], example.target) for example in examples]


NESTED = [{"id": f"r{n}", "translation": {"en": f"a{n}", "fr": f"b{n}"}, "of": {"doc": n % 3}} for n in range(10)]
COLUMNS = {"source": "translation.en", "target": "translation.fr"}


def write(folder: Path, kind: str, table: list[dict[str, Any]]) -> Path:
    file = folder / f"train.{kind}"
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(table), file)
    elif kind == "csv":
        cells = [[row["id"], cell(row["translation"]), cell(row["of"])] for row in table]
        file.write_text("\n".join(";".join(line) for line in [["id", "translation", "of"], *cells]))
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in table))
    return file


def cell(value: Any) -> str:
    return '"' + json.dumps(value).replace('"', '""') + '"'


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv"])
def test_columns_are_named_within(kind: str, tmp_path: Path) -> None:
    file = write(tmp_path, kind, NESTED)
    train = read(file, columns=COLUMNS)
    assert pairs(train) == [(f"a{int(e.id[1:])}", f"b{int(e.id[1:])}") for e in train]
    grouped = read(file, columns=COLUMNS, group="of.doc")
    assert {example.group for example in grouped} < {"0", "1", "2"}
    assert all(example.group == str(int(example.id[1:]) % 3) for example in grouped)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (
            {"source": "translation.em"},
            "which no row has; did you mean 'translation.en'. Known: id, of,",
        ),
        ({"source": "translaton.en"}, "did you mean 'translation.en'?"),
        ({}, r"map it with data.columns: {source: translation.en, target: translation.fr}"),
        ({"target": "translation.de", "source": "translation.en"}, "known: .*translation.fr|did you mean"),
    ],
)
def test_a_wrong_name_is_answered_with_those_inside(columns: dict[str, str], says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        read(write(tmp_path, "jsonl", NESTED), columns=columns)


def test_a_row_without_the_nested_target_has_an_empty_one(tmp_path: Path) -> None:
    table = [*NESTED, {"id": "r10", "translation": {"en": "x"}, "of": {"doc": 1}}]
    data = Data(path=str(write(tmp_path, "jsonl", table)), columns=COLUMNS, validation=1, test=1)
    source = open_source(data, tmp_path)
    targets = {
        example.id: example.target for split in SPLITS for example in read_split(source, split, data, plain_example)
    }
    assert targets == {**{f"r{n}": f"b{n}" for n in range(10)}, "r10": ""}


def test_chats_lie_within_a_column(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "answer"}]
    file = write(tmp_path, "jsonl", [{"data": {"turns": turns, "title": f"t{n}"}} for n in range(10)])
    train = read(file, columns={MESSAGES: "data.turns"})
    assert {e.target for e in train} == {"answer"}
    assert all("answer" not in json.dumps(dict(e.fields)) for e in train), "nor may a prompt show it"
    assert train[0].fields["data"] == {"turns": None, "title": "t0"}
