"""The same ten pairs in every shape that data come in give the same examples, as far as the shape can say them."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.core.example import SPLITS, Example
from harness.data.data_keys import Data
from harness.data.open_source import open_source
from harness.data.sources import read_split
from harness.study.task import plain_example

COUNT = 10

Pair = tuple[str, str]
Keys = dict[str, Any]

LANGUAGES = {"source": "en", "target": "fr"}
NESTED = {"source": "translation.en", "target": "translation.fr"}

texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=12) | st.sampled_from(
    [
        " spaces ",
        'a "quoted", cell',
        "two\nlines",
        "a line\u2028within",
        "\ufeffmark",
        "tab\there",
        "null",
        "{'a': 1}",
        "[1, 2",
    ]
)
# A text that reads as a number is one in a csv file, and an empty one is none, which these cannot say.
pairs = st.lists(st.tuples(texts.map("a {}".format), texts.map("b {}".format)), min_size=COUNT, max_size=COUNT)


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def flat(rows: list[Pair]) -> list[dict[str, Any]]:
    return [{"source": source, "target": target} for source, target in rows]


def nested(rows: list[Pair]) -> list[dict[str, Any]]:
    return [{"translation": {"en": source, "fr": target}} for source, target in rows]


def jsonl(path: Path, table: list[dict[str, Any]], mark: bytes = b"", end: str = "\n") -> None:
    path.write_bytes(mark + "".join(json.dumps(row, ensure_ascii=False) + end for row in table).encode())


def plain_jsonl(folder: Path, rows: list[Pair]) -> Keys:
    jsonl(folder / "train.jsonl", flat(rows), b"\xef\xbb\xbf", "\r\n")
    return {}


def nested_jsonl(folder: Path, rows: list[Pair]) -> Keys:
    jsonl(folder / "train.jsonl", nested(rows))
    return {"columns": NESTED}


def parquet(folder: Path, rows: list[Pair]) -> Keys:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(nested(rows)), folder / "train.parquet")
    return {"columns": NESTED}


def cells(folder: Path, rows: list[Pair], *, mark: str, nest: bool) -> Keys:
    table = [{"translation": json.dumps(row["translation"])} for row in nested(rows)] if nest else flat(rows)
    with (folder / "train.csv").open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, [*table[0]], delimiter=mark)
        writer.writeheader()
        writer.writerows(table)
    return {"columns": NESTED if nest else {}, "delimiter": mark}


def aligned(folder: Path, rows: list[Pair], *, columns: Pair, end: str, packed: bool = False) -> Keys:
    for column, side in zip(columns, zip(*rows, strict=True), strict=True):
        content = "".join(text + end for text in side).encode()
        file = folder / f"train.{column}{'.gz' * packed}"
        file.write_bytes(gzip.compress(content) if packed else content)
    return {"columns": {} if columns[0] == "source" else LANGUAGES}


def saved(folder: Path, rows: list[Pair], *, together: bool) -> Keys:
    table = datasets.Dataset.from_list(nested(rows))
    (datasets.DatasetDict(train=table) if together else table).save_to_disk(folder)
    return {"columns": NESTED}


def arrow(folder: Path, rows: list[Pair]) -> Keys:
    table = pyarrow.Table.from_pylist(flat(rows))
    with pyarrow.OSFile(str(folder / "train.arrow"), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    return {}


def instructions(folder: Path, rows: list[Pair]) -> Keys:
    table = [
        {"instruction": source, "input": ["", None][n % 2], "output": target} for n, (source, target) in enumerate(rows)
    ]
    jsonl(folder / "train.jsonl", table)
    return {}


def chats(folder: Path, rows: list[Pair]) -> Keys:
    turns = [[{"role": "user", "content": source}, {"role": "assistant", "content": target}] for source, target in rows]
    jsonl(folder / "train.jsonl", [{"messages": chat} for chat in turns])
    return {}


def slices(folder: Path, rows: list[Pair]) -> Keys:
    jsonl(folder / "more.jsonl", flat([("x", "y"), *rows, ("z", "w")]))
    return {"splits": {"train": "more[1:-1]"}}


def mixture(folder: Path, rows: list[Pair]) -> Keys:
    jsonl(folder / "one.jsonl", nested(rows))
    return {"path": None, "sources": [{"path": str(folder / "one.jsonl"), "columns": NESTED}]}


SHAPES: dict[str, Callable[[Path, list[Pair]], Keys]] = {
    "jsonl": plain_jsonl,
    "nested jsonl": nested_jsonl,
    "parquet with structs": parquet,
    "csv": partial(cells, mark=",", nest=False),
    "csv with JSON in cells": partial(cells, mark=";", nest=True),
    "saved data set": partial(saved, together=False),
    "saved splits": partial(saved, together=True),
    "arrow": arrow,
    "instructions": instructions,
    "chats": chats,
    "slices": slices,
    "mixture": mixture,
}
LINES: dict[str, Callable[[Path, list[Pair]], Keys]] = {
    "lines": partial(aligned, columns=("source", "target"), end="\n"),
    "packed lines": partial(aligned, columns=("en", "fr"), end="\r\n", packed=True),
}


def examples(folder: Path, keys: Keys) -> dict[str, list[Example]]:
    data = Data.model_validate({"path": str(folder), "validation": 1, "test": 1, **keys})
    source = open_source(data, folder)
    return {split: read_split(source, split, data, plain_example) for split in SPLITS}


@pytest.mark.parametrize("shape", [*SHAPES, *LINES])
@settings(max_examples=12)
@given(rows=pairs)
def test_the_same_pairs_give_the_same_examples(shape: str, rows: list[Pair], tmp_path_factory: Any) -> None:
    if shape in LINES:
        rows = [(source.replace("\n", " "), target.replace("\n", " ")) for source, target in rows]
    folder, plain = tmp_path_factory.mktemp("shape"), tmp_path_factory.mktemp("plain")
    jsonl(plain / "train.jsonl", flat(rows))
    oracle = examples(plain, {})
    found = examples(folder, {**SHAPES, **LINES}[shape](folder, rows))
    for split in SPLITS:
        kept = [(e.id.rpartition(":")[2], e.fields["source"], e.target, e.references) for e in found[split]]
        expected = [(e.id, e.fields["source"], e.target, e.references) for e in oracle[split]]
        assert kept == expected
        assert [rows[int(id.removeprefix("row-")) - 1] for id, *_ in kept] == [pair[1:3] for pair in kept]


LONG = " ".join(["word"] * 50_000)


@pytest.mark.parametrize("shape", [*SHAPES, *LINES])
def test_long_rows_stay_whole(shape: str, tmp_path: Path) -> None:
    rows = [(f"{LONG} {n}", f"b {n}") for n in range(COUNT)]
    found = examples(tmp_path, {**SHAPES, **LINES}[shape](tmp_path, rows))
    assert [(e.fields["source"], e.target) for e in found["test"]] in [[pair] for pair in rows]


def doubled(folder: Path, end: str = "") -> Keys:
    jsonl(folder / "train.jsonl", [{"id": f"{n % 9}{end}", "source": "a", "target": "b"} for n in range(COUNT)])
    return {}


def lone(folder: Path, kind: str) -> Keys:
    row = '{"source": "a \\ud800", "target": "b"}'
    (folder / f"train.{kind}").write_text(f"[{row}]" if kind == "json" else row)
    return {}


def lone_bytes(folder: Path) -> Keys:
    for column in ("en", "fr"):
        (folder / f"train.{column}").write_bytes("äöü ".encode() * 9 + b"\xed\xa0\x80\n")
    return {"columns": LANGUAGES}


def twice(folder: Path) -> Keys:
    (folder / "train.csv").write_text("source,target,source\na,b,c\n")
    return {}


def keys_twice(folder: Path) -> Keys:
    (folder / "train.jsonl").write_text('{"source": "a", "target": "b", "source": "c"}')
    return {}


def columns_twice(folder: Path, kind: str) -> Keys:
    table = pyarrow.table([["a"], ["b"], ["c"]], ["source", "target", "source"])
    if kind == "parquet":
        pyarrow.parquet.write_table(table, folder / "train.parquet")
    else:
        with pyarrow.OSFile(str(folder / "train.arrow"), "wb") as sink, pyarrow.ipc.new_file(sink, table.schema) as out:
            out.write_table(table)
    return {}


def mixed(folder: Path) -> Keys:
    kinds: list[Any] = ["text", 1, 1.5, True, None, [1, [2]], {"a": {"b": None}}, "", "x", "y"]
    jsonl(folder / "train.jsonl", [{"source": kind, "target": f"b {n}"} for n, kind in enumerate(kinds)])
    return {}


def no_lines(folder: Path) -> Keys:
    for column in ("en", "fr"):
        (folder / f"train.{column}").write_text("\n\n")
    return {"columns": LANGUAGES}


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (doubled, r"train row 10: another row has the id '0' as well; ids must be distinct"),
        (partial(lone, kind="jsonl"), "train.jsonl:1: no valid JSON: .*surrogates not allowed"),
        (partial(lone, kind="json"), "train.json: no valid JSON: .*surrogates not allowed"),
        (lone_bytes, "train.en:1: cannot be read: .*; write the file again as UTF-8, or set data.encoding"),
        (twice, "train.csv:1: columns must have distinct names, but are source, target, source"),
        (keys_twice, "train.jsonl:1: no valid JSON: it has 'source' twice; correct the row or leave it out"),
        (partial(columns_twice, kind="parquet"), "train.parquet: two columns are called 'source'; give each a name"),
        (partial(columns_twice, kind="arrow"), "train.arrow: two columns are called 'source'; give each a name"),
        (no_lines, "train: data.columns|split 'train' is empty|cannot give|its 0 rows"),
    ],
)
def test_untidy_rows_are_told_in_one_message(write: Callable[[Path], Keys], says: str, tmp_path: Path) -> None:
    keys = {**write(tmp_path), "validation": None, "test": None}
    with pytest.raises(DataError, match=says):
        examples(tmp_path, keys)


def test_mixed_values_stay_what_they_are(tmp_path: Path) -> None:
    found = examples(tmp_path, mixed(tmp_path))
    values = {example.id: example.fields["source"] for part in found.values() for example in part}
    assert [values[f"row-{n}"] for n in range(1, 8)] == ["text", 1, 1.5, True, None, [1, [2]], {"a": {"b": None}}]
    assert type(values["row-4"]) is bool
