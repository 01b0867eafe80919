"""The same rows in every format give the same examples, as far as the format can say it."""

import csv
import gzip
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.example import Example
from harness.data.data_keys import Data
from harness.data.open_source import open_source
from harness.data.sources import read_split
from harness.study.task import plain_example

COLUMNS = ("source", "target", "number", "share", "flag", "list", "maybe")

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12)
rows = st.lists(
    st.fixed_dictionaries(
        {
            # A text that reads as a number is one in a csv file, which cannot say it.
            "source": texts.map(lambda text: f"a {text}"),
            "target": texts.map(lambda text: f"b {text}"),
            "number": st.integers(-(2**53), 2**53),
            "share": st.floats(0, 1),
            "flag": st.booleans(),
            "list": st.lists(st.integers(0, 9), max_size=3),
        },
        optional={"maybe": st.one_of(st.none(), texts.map(lambda text: f"c{text}"))},
    ),
    min_size=10,
    max_size=10,
)
Row = dict[str, Any]


def write_jsonl(folder: Path, rows: list[Row]) -> None:
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def write_json(folder: Path, rows: list[Row]) -> None:
    (folder / "train.json").write_text(json.dumps(rows, indent=1))


def write_gzip(folder: Path, rows: list[Row]) -> None:
    (folder / "train.jsonl.gz").write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))


def write_table(folder: Path, rows: list[Row], name: str, mark: str, encoding: str = "utf-8") -> None:
    with (folder / name).open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, delimiter=mark)
        writer.writeheader()
        for row in rows:
            cells = {name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items()}
            writer.writerow({name: "" if row.get(name) is None else cells[name] for name in COLUMNS})


def write_parquet(folder: Path, rows: list[Row]) -> None:
    pyarrow.parquet.write_table(_arrow(rows), folder / "train.parquet")


def write_shards(folder: Path, rows: list[Row]) -> None:
    (folder / "data").mkdir()
    for part in range(2):
        file = folder / "data" / f"train-{part:05d}-of-00002.parquet"
        pyarrow.parquet.write_table(_arrow(rows[5 * part : 5 * part + 5]), file)


def _arrow(rows: list[Row]) -> pyarrow.Table:
    kinds = {
        "number": pyarrow.int64(),
        "share": pyarrow.float64(),
        "flag": pyarrow.bool_(),
        "list": pyarrow.list_(pyarrow.int64()),
    }
    schema = pyarrow.schema([(name, kinds.get(name, pyarrow.string())) for name in COLUMNS])
    return pyarrow.Table.from_pylist(rows, schema=schema)


def as_json_says(row: Row) -> Row:
    return row


def with_nulls(row: Row) -> Row:
    return {name: row.get(name) for name in COLUMNS}


def as_csv_says(row: Row) -> Row:
    return {**with_nulls(row), "list": json.dumps(row["list"])}


FORMATS: dict[str, tuple[Callable[[Path, list[Row]], None], Callable[[Row], Row]]] = {
    "jsonl": (write_jsonl, as_json_says),
    "json": (write_json, as_json_says),
    "gzip": (write_gzip, as_json_says),
    "csv": (partial(write_table, name="train.csv", mark=","), as_csv_says),
    "csv with semicolons": (partial(write_table, name="train.csv", mark=";"), as_csv_says),
    "csv with tabs": (partial(write_table, name="train.csv", mark="\t"), as_csv_says),
    "tsv": (partial(write_table, name="train.tsv", mark="\t"), as_csv_says),
    "csv in UTF-16": (partial(write_table, name="train.csv", mark="\t", encoding="utf-16"), as_csv_says),
    "parquet": (write_parquet, with_nulls),
    "shards": (write_shards, with_nulls),
}


@pytest.mark.parametrize("kind", FORMATS)
@settings(max_examples=15)
@given(rows=rows)
def test_the_same_rows_give_the_same_examples(kind: str, rows: list[Row], tmp_path_factory: Any) -> None:
    write, says = FORMATS[kind]
    folder = tmp_path_factory.mktemp("rows")
    write(folder, rows)
    read = read_split(open_source(Data(path=str(folder), validation=1, test=1), folder), "train", Data(), plain_example)
    # `read_split` carves the other splits out; ids say which rows are left.
    assert len(read) == 8
    for example in read:
        row = says(rows[int(example.id.removeprefix("row-")) - 1])
        fields = {name: value for name, value in row.items() if name != "target"}
        assert example == Example(example.id, fields, row["target"])
        assert [type(value) for value in example.fields.values()] == [type(value) for value in fields.values()]
