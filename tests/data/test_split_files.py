"""Which file is which split, what is left unread, and what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import DataError
from harness.core.example import Split
from harness.data.data_keys import Data
from harness.data.open_source import open_source
from harness.data.sources import read_split
from harness.data.split_files import split_files
from harness.study.task import plain_example

ROWS = "".join(f'{{"source": "a{number}", "target": "b"}}\n' for number in range(10))


def folder_of(place: Path, *names: str) -> Path:
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(ROWS)
    return place


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("dev.jsonl", "validation"),
        ("val.jsonl", "validation"),
        ("valid.jsonl", "validation"),
        ("EVAL.JSONL", "validation"),
        ("Validation.jsonl", "validation"),
        ("TEST.jsonl", "test"),
    ],
)
def test_splits_have_other_names(name: str, split: Split, tmp_path: Path) -> None:
    found = split_files(folder_of(tmp_path, "train.jsonl", name))
    assert {key: [file.name for file in files] for key, files in found.files.items()} == {
        "train": ["train.jsonl"],
        split: [name],
    }
    assert found.unread == ()


def test_shards_are_one_split_in_their_order(tmp_path: Path) -> None:
    names = [f"data/train-{part:05d}-of-00003.jsonl" for part in (2, 0, 1)]
    folder_of(tmp_path, *names, "data/test-00000-of-00001-0123456789abcdef.jsonl", "README.md")
    found = split_files(tmp_path)
    assert [file.name for file in found.files["train"]] == sorted(name.partition("/")[2] for name in names)
    assert [file.name for file in found.files["test"]] == ["test-00000-of-00001-0123456789abcdef.jsonl"]
    read = read_split(open_source(Data(path=str(tmp_path)), tmp_path), "train", Data(), plain_example)
    assert len(read) == 27, "three files of ten, a tenth of them for validation"


@pytest.mark.parametrize("above", ["", "data/"])
def test_splits_may_be_folders_of_files(above: str, tmp_path: Path) -> None:
    names = [
        "train/0001.jsonl",
        "train/0000.jsonl",
        "dev/part.jsonl",
        "test/0000.csv",
        "train/README.md",
        "other/x.jsonl",
    ]
    found = split_files(folder_of(tmp_path, *(f"{above}{name}" for name in names)))
    assert {split: [file.name for file in files] for split, files in found.files.items()} == {
        "train": ["0000.jsonl", "0001.jsonl"],
        "validation": ["part.jsonl"],
        "test": ["0000.csv"],
    }
    data = Data(path=str(tmp_path))
    assert len(read_split(open_source(data, tmp_path), "train", data, plain_example)) == 20


def test_a_file_comes_before_a_folder(tmp_path: Path) -> None:
    folder_of(tmp_path, "train.jsonl", "train/0000.jsonl", "test/0000.jsonl")
    assert dict(split_files(tmp_path).files.items()) == {"train": (tmp_path / "train.jsonl",)}


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("train.jsonl", "train.csv"), "holds train.csv and train.jsonl, both for one split"),
        (("train.jsonl", "dev.jsonl", "validation.jsonl"), "holds dev.jsonl and validation.jsonl, both for one split"),
        (("train-00000-of-00002.jsonl",), "holds 1 of the 2 files of train; bring train-00001-of-00002"),
        (("train-00000-of-00001.jsonl", "train.jsonl"), "both for one split"),
        (("train-00000-of-00001.jsonl", "train-00000-of-00001.csv"), "holds a part of train twice"),
        (("training.jsonl",), "holds no train file; name it train with one of the endings"),
        ((), "holds no train file"),
    ],
)
def test_what_is_missing_or_double_is_said(names: tuple[str, ...], says: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=says):
        split_files(folder_of(tmp_path, *names))


def test_what_is_left_unread_is_told(tmp_path: Path) -> None:
    folder_of(tmp_path, "train.jsonl", "train.xlsx", "extra.csv", ".hidden", "notes.txt")
    source = open_source(Data(path=str(tmp_path)), tmp_path)
    assert source.notes == [f"in {tmp_path} these files are not read: extra.csv, notes.txt, train.xlsx."]
    read_split(source, "test", Data(), plain_example)
    assert source.notes[1:] == [
        f"test is 1 of the 10 rows of train: there is no file for it in {tmp_path}; data.test sets how many, "
        "10% where it is left out."
    ]


def test_files_may_be_named_by_split(tmp_path: Path) -> None:
    folder_of(tmp_path / "study", "a.csv", "b/held.jsonl")
    (tmp_path / "study" / "a.csv").write_text("source;target\nx;y\nz;w\n")
    data = Data(splits={"train": "a.csv", "validation": "b/held.jsonl"})
    source = open_source(data, tmp_path, tmp_path / "study")
    assert len(read_split(source, "validation", data, plain_example)) == 10
    assert len(read_split(source, "train", data, plain_example)) == 1
    assert "a.csv has semicolons between its columns; if not, set data.delimiter." in source.notes
    named = Data(splits={"train": "held.jsonl"}, path=str(tmp_path / "study" / "b"))
    assert len(read_split(open_source(named, tmp_path), "train", named, plain_example)) == 8
    with pytest.raises(DataError, match="no such data file"):
        read_split(open_source(Data(splits={"train": "c.csv"}), tmp_path, tmp_path), "train", Data(), plain_example)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"splits": {"validation": "a.csv"}}, "but no train"),
        ({"splits": {"dev": "a.csv"}}, "validation"),
        ({"hub": "a/b", "delimiter": ";"}, "data names both delimiter and hub"),
        ({"encoding": "utf8000"}, "none that Python knows"),
        ({"encoding": "base64"}, "none that Python knows"),
        ({"delimiter": ";;"}, "at most 1 character"),
        ({"delimiter": r"\t"}, r'data.delimiter is \\t; YAML reads a tab in double quotes alone: "\\t"'),
        ({"delimiter": "tab"}, "data.delimiter is tab; YAML reads a tab in double quotes alone"),
        ({"delimiter": '"'}, "data.delimiter is '\"', which ends cells or lines; name what is between columns"),
        ({"delimiter": "\n"}, r"data.delimiter is '\\n', which ends cells or lines"),
    ],
)
def test_keys_of_files_are_checked(keys: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Data.model_validate(keys)
