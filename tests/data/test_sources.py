"""Files to examples: formats, columns, sizes and carved splits."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.core.example import SPLITS, Example, Split
from harness.data.data_keys import Data
from harness.data.open_source import open_source
from harness.data.readers import read_rows
from harness.data.sources import Source, read_split
from harness.study.task import plain_example

ROWS = [
    {"id": "a", "source": "Grüße, 世界", "target": "one"},
    {"id": "b", "source": 'a "quoted", comma', "target": "two"},
    {"id": "c", "source": "emoji \U0001f600", "target": "three"},
]


def as_jsonl(file: Path, rows: Sequence[Mapping[str, str]]) -> None:
    file.write_text("\n".join(json.dumps(row) for row in rows) + "\n\n", encoding="utf-8")


def as_csv(file: Path, rows: Sequence[Mapping[str, str]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def as_parquet(file: Path, rows: Sequence[Mapping[str, str]]) -> None:
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), file)


WRITERS: dict[str, Callable[[Path, Sequence[Mapping[str, str]]], None]] = {
    "jsonl": as_jsonl,
    "csv": as_csv,
    "parquet": as_parquet,
}


def zipped(file: Path) -> Path:
    packed = file.with_name(file.name + ".gz")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    return packed


def numbered(folder: Path, **sizes: int) -> Path:
    """Write splits whose sources are numbers, so that a row can be told from every other."""
    folder.mkdir(exist_ok=True)
    start = 0
    for split, size in sizes.items():
        as_jsonl(folder / f"{split}.jsonl", [{"source": f"n{start + i}", "target": "t"} for i in range(size)])
        start += size
    return folder


def read(path: Path, split: Split, **keys: Any) -> list[Example]:
    data = Data(path=str(path), **keys)
    return read_split(open_source(data, Path("nowhere")), split, data, plain_example)


def sources(examples: Sequence[Example]) -> list[str]:
    return [example.fields["source"] for example in examples]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", list(WRITERS))
def test_every_format_says_the_same(kind: str, packed: bool, tmp_path: Path) -> None:
    file = tmp_path / f"train.{kind}"
    WRITERS[kind](file, ROWS)
    assert read_rows(zipped(file) if packed else file) == ROWS


@pytest.mark.parametrize("packed", [False, True])
def test_text_has_a_tab_or_one_column(packed: bool, tmp_path: Path) -> None:
    pairs, lines = tmp_path / "pairs.txt", tmp_path / "lines.txt"
    pairs.write_text("a b\tc\n\nd\te\n", encoding="utf-8")
    lines.write_text("a b\nc\n", encoding="utf-8")
    if packed:
        pairs, lines = zipped(pairs), zipped(lines)
    assert read_rows(pairs) == [{"source": "a b", "target": "c"}, {"source": "d", "target": "e"}]
    assert read_rows(lines) == [{"text": "a b"}, {"text": "c"}]


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.jsonl", '{"source": "x", "target": "y"}\n'), ("a.csv", "source,target\nx,y\n"), ("a.txt", "x\ty\n")],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_byte_order_marks_and_line_ends_vanish(name: str, text: str, end: str, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", end).encode())
    assert read_rows(file) == [{"source": "x", "target": "y"}]


def test_a_quoted_csv_value_may_hold_lines(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b'source,target\n"two\nlines",y\nz,w\n')
    assert [row["source"] for row in read_rows(file)] == ["two\nlines", "z"]
    file.write_bytes(b'source,target\n"two\nlines",y\nz\n')
    with pytest.raises(DataError, match="a.csv:4: 1 values, but 2 columns"):
        read_rows(file)


def test_a_file_without_final_line_end_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"source": "x"}\n{"source": "y"}')
    assert len(read_rows(file)) == 2


def test_columns_are_mapped(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "train.jsonl", [{"article": f"text {i}", "summary": "s", "source": "url"} for i in range(3)])
    examples = read(tmp_path, "train", columns={"source": "article", "target": "summary"}, validation=1, test=1)
    assert sources(examples)[0].startswith("text")
    assert examples[0].target == "s"
    assert examples[0].fields["article"] == examples[0].fields["source"]


def test_rows_keep_their_ids_and_references(tmp_path: Path) -> None:
    rows = [
        {"id": 0, "source": "a", "target": "b", "references": ["b", "c"], "topic": "d"},
        {"id": None, "source": "a", "target": "b"},
        {"source": "a", "target": "b", "references": []},
    ]
    for split in SPLITS:
        (tmp_path / f"{split}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    first, second, third = read(tmp_path, "train")
    assert [first.id, second.id, third.id] == ["0", "row-2", "row-3"]
    assert (first.references, second.references, third.references) == (("b", "c"), ("b",), ("b",))
    assert first.fields == {"source": "a", "topic": "d"}


def test_own_splits_are_taken_whole_and_in_order(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "data", train=7, validation=3, test=2)
    assert sources(read(folder, "train")) == [f"n{i}" for i in range(7)]
    assert sources(read(folder, "validation")) == ["n7", "n8", "n9"]
    assert sources(read(folder, "test")) == ["n10", "n11"]


@given(
    rows=st.integers(3, 60),
    validation=st.integers(1, 20) | st.none(),
    test=st.integers(1, 20) | st.none(),
    seed=st.integers(0, 5),
)
@settings(max_examples=60, deadline=None)
def test_carved_splits_part_the_rows(rows: int, validation: int | None, test: int | None, seed: int) -> None:
    source = Source("made", {"train": lambda: [{"source": f"n{i}", "target": "t"} for i in range(rows)]})
    data = Data(validation=validation, test=test, seed=seed)
    share = max(1, round(rows / 10))
    wanted = {"validation": validation or share, "test": test or share}

    def get(split: Split) -> list[str]:
        return sources(read_split(source, split, data, plain_example))

    if sum(wanted.values()) >= rows:
        with pytest.raises(DataError, match="cannot give"):
            get("train")
        return
    found = {split: get(split) for split in SPLITS}
    assert {split: len(found[split]) for split in wanted} == wanted
    everything = [name for split in SPLITS for name in found[split]]
    assert sorted(everything) == sorted(f"n{i}" for i in range(rows))
    assert found == {split: get(split) for split in SPLITS}


def test_one_missing_split_is_carved_and_the_other_left_alone(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "data", train=20, test=4)
    train, validation = sources(read(folder, "train")), sources(read(folder, "validation"))
    assert (len(train), len(validation)) == (18, 2)
    assert not set(train) & set(validation)
    assert sources(read(folder, "test")) == ["n20", "n21", "n22", "n23"]


@given(small=st.integers(1, 30), more=st.integers(0, 30), seed=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_smaller_size_is_a_part_of_a_larger_one(small: int, more: int, seed: int) -> None:
    large = min(30, small + more)
    for names in (("train", "validation", "test"), ("train",)):
        source = Source("made", {n: lambda: [{"source": f"n{i}", "target": "t"} for i in range(40)] for n in names})

        def get(size: int, source: Source = source) -> list[str]:
            data = Data(train=size, validation=5, test=5, seed=seed)
            return sources(read_split(source, "train", data, plain_example))

        assert set(get(small)) <= set(get(large))
        assert len(get(small)) == small
        assert get(large) == sorted(get(large), key=lambda name: int(name[1:]))


def test_seeds_choose_other_rows(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "data", train=50)
    assert sources(read(folder, "test", seed=1)) != sources(read(folder, "test", seed=2))
    assert sources(read(folder, "train", train=5, seed=1)) != sources(read(folder, "train", train=5, seed=2))


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "data", train=5, validation=2)
    (folder / "test.jsonl").write_bytes(b"\xff")
    assert len(read(folder, "train")) == 5
    assert len(read(folder, "validation")) == 2
    with pytest.raises(DataError, match=r"test\.jsonl:1"):
        read(folder, "test")


def test_one_file_is_read_once_for_all_splits_that_it_holds() -> None:
    asked: list[str] = []

    def reader(name: str) -> list[dict[str, Any]]:
        asked.append(name)
        return [{"source": f"n{i}", "target": "t"} for i in range(40)]

    source = Source("made", {name: partial(reader, name) for name in ("train", "test")})
    once = source.read_once()
    assert asked == []
    splits = [read_split(once, split, Data(), plain_example) for split in SPLITS]
    assert asked == ["train", "test"]
    assert splits == [read_split(source, split, Data(), plain_example) for split in SPLITS]
    assert asked == ["train", "test", "train", "train", "test"]
    assert once.notes is source.notes


def test_other_files_in_the_folder_do_not_matter(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "data", train=5, validation=2, test=2)
    (folder / "README.md").write_text("about")
    (folder / "train.md").write_text("about")
    (folder / "training.jsonl").write_text("no rows")
    assert len(read(folder, "train")) == 5


@pytest.mark.parametrize("columns", [{}, {"target": "answer"}])
def test_a_row_without_the_target_that_others_have_has_an_empty_one(columns: dict[str, str], tmp_path: Path) -> None:
    name = columns.get("target", "target")
    rows = [{"source": "x", name: "y"}, {"source": "z"}, {"source": "w", name: None}]
    for split in SPLITS:
        as_jsonl(tmp_path / f"{split}.jsonl", rows)
    assert [example.target for example in read(tmp_path, "train", columns=columns)] == ["y", "", ""]


def test_a_mapped_field_that_some_rows_lack_is_undefined_there(tmp_path: Path) -> None:
    rows = [{"source": "x", "target": "y", "mood": "glad"}, {"source": "z", "target": "w"}]
    for split in SPLITS:
        as_jsonl(tmp_path / f"{split}.jsonl", rows)
    assert [example.fields.get("tone") for example in read(tmp_path, "train", columns={"tone": "mood"})] == [
        "glad",
        None,
    ]
    assert "tone" not in read(tmp_path, "train", columns={"tone": "mood"})[1].fields
    with pytest.raises(DataError, match="data.columns maps 'tone' to a column 'mod', which no row has; did you mean"):
        read(tmp_path, "train", columns={"tone": "mod"})


@pytest.mark.parametrize(
    ("train", "test", "told"),
    [
        ("true", "maybe", "true or false (true), but texts (maybe)"),
        ("3", "n/a", "numbers (3), but texts (n/a)"),
        ("3", '"4"\nz,w,n/a', "numbers (3), but texts (n/a)"),
        ("n/a", "3", "texts (n/a), but numbers (3)"),
        ("3", "4.5", None),
        ("3", "", None),
        ("a", "b", None),
    ],
)
def test_a_column_of_another_kind_in_another_file_is_told(
    train: str, test: str, told: str | None, tmp_path: Path
) -> None:
    for split in SPLITS:
        cell = test if split == "test" else train
        (tmp_path / f"{split}.csv").write_text(f"source,target,n\nx,y,{cell}\n")
    source = open_source(Data(path=str(tmp_path)), tmp_path)
    for split in SPLITS:
        read_split(source, split, Data(), plain_example)
    kept, other = told.split(", but ") if told else ("", "")
    start = f"column 'n' holds {kept} in train.csv, but {other} in test.csv: what a prompt"
    assert [note.startswith(start) for note in source.notes] == ([True] if told else [])


def test_parts_of_a_split_are_compared_too(tmp_path: Path) -> None:
    for part, cell in enumerate(("true", "maybe")):
        (tmp_path / f"train-0000{part}-of-00002.csv").write_text(f"source,target,n\n{part},y,{cell}\n")
    source = open_source(Data(path=str(tmp_path)), tmp_path)
    source.readers["train"]()
    assert "train-00001-of-00002.csv" in source.notes[0]
