"""Arrow files and saved data sets: what `datasets` wrote is read as it would read it, and damage is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pytest

from harness.core.errors import DataError
from harness.core.example import Split
from harness.data.data_keys import Data
from harness.data.open_source import open_source
from harness.data.readers import read_rows
from harness.data.sources import Source, read_split
from harness.study.task import plain_example

ROWS: list[dict[str, Any]] = [
    {"source": f"a{n}", "target": f"b{n}", "n": n, "share": n / 4, "list": [n], "of": {"x": None, "y": "z"}}
    for n in range(10)
]


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def saved(folder: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    datasets.Dataset.from_list(rows).save_to_disk(folder)
    return folder


def ids(path: Path, split: Split, **keys: Any) -> list[str]:
    source, data = opened(path, **keys)
    return [example.fields["source"] for example in read_split(source, split, data, plain_example)]


def opened(path: Path, **keys: Any) -> tuple[Source, Data]:
    data = Data(path=str(path), **keys)
    return open_source(data, path), data


def test_a_saved_data_set_is_one_file_of_rows(tmp_path: Path) -> None:
    folder = saved(tmp_path / "all")
    assert read_rows(folder) == ROWS
    assert len(ids(folder, "train")) == 8
    assert {*ids(folder, "train"), *ids(folder, "validation"), *ids(folder, "test")} == {r["source"] for r in ROWS}


def test_shuffled_formatted_and_in_shards_it_is_read_as_datasets_reads_it(tmp_path: Path) -> None:
    whole = datasets.Dataset.from_list(ROWS).shuffle(seed=3).select(range(7))
    whole.with_format("numpy", columns=["n"]).save_to_disk(tmp_path / "some", num_shards=3)
    assert read_rows(tmp_path / "some") == whole.to_list()


def test_splits_saved_together_or_apart_are_found(tmp_path: Path) -> None:
    train, dev, rest = (datasets.Dataset.from_list(ROWS[a:b]) for a, b in ((0, 6), (6, 8), (8, 10)))
    datasets.DatasetDict(train=train, dev=dev, test=rest, extra=dev).save_to_disk(tmp_path / "together")
    for name, part in {"train": train, "val": dev, "test": rest}.items():
        part.save_to_disk(tmp_path / "apart" / name)
    for folder in (tmp_path / "together", tmp_path / "apart"):
        assert ids(folder, "train") == [f"a{n}" for n in range(6)]
        assert ids(folder, "validation") == ["a6", "a7"]
        assert ids(folder, "test") == ["a8", "a9"]
    assert opened(tmp_path / "together")[0].notes == [f"in {tmp_path / 'together'} these files are not read: extra."]
    extra = {"splits": {"validation": "extra[:1]"}}
    assert ids(tmp_path / "together", "validation", **extra) == ["a6"]
    named = {"splits": {"train": "apart/train", "validation": "together/dev"}}
    assert ids(tmp_path, "validation", **named) == ["a6", "a7"]


@pytest.mark.parametrize("form", ["stream", "file", "cache"])
def test_files_of_either_form_are_read(form: str, tmp_path: Path) -> None:
    table = pyarrow.Table.from_pylist(ROWS)
    file = tmp_path / "train.arrow"
    if form == "cache":
        (tmp_path / "all").mkdir()
        next(saved(tmp_path / "all").glob("*.arrow")).rename(file)
    else:
        new = pyarrow.ipc.new_stream if form == "stream" else pyarrow.ipc.new_file
        with pyarrow.OSFile(str(file), "wb") as sink, new(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=3)
    assert read_rows(file) == ROWS
    assert len(ids(file, "train")) == 8


def break_state(folder: Path) -> None:
    (folder / "state.json").write_text("{")


def lose_rows(folder: Path) -> None:
    next(folder.glob("*.arrow")).unlink()


def cut_rows(folder: Path) -> None:
    file = next(folder.glob("*.arrow"))
    file.write_bytes(file.read_bytes()[:40])


def wait_for_ever(folder: Path) -> None:
    file = next(folder.glob("*.arrow"))
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (break_state, "cannot be read as a saved data set"),
        (lose_rows, "all: the saved data set lacks data-00000-of-00001.arrow; bring it too"),
        (cut_rows, "cannot be read as a saved data set: .*; write it again with save_to_disk"),
        (wait_for_ever, "it is a pipe, and only a regular file is read"),
    ],
)
def test_damage_is_told(damage: Any, says: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "all")
    damage(folder)
    with pytest.raises(DataError, match=says):
        read_rows(folder)


def test_a_split_that_is_listed_and_missing_is_told(tmp_path: Path) -> None:
    datasets.DatasetDict(train=datasets.Dataset.from_list(ROWS)).save_to_disk(tmp_path)
    for names in ('["train", "test"]', '["train", "../train"]', '["train", "train/../train"]'):
        (tmp_path / "dataset_dict.json").write_text(f'{{"splits": {names}}}')
        with pytest.raises(DataError, match=r"dataset_dict.json names a split '.*', which is not saved there; save it"):
            opened(tmp_path)
    (tmp_path / "dataset_dict.json").write_text("[]")
    with pytest.raises(DataError, match=r"dataset_dict.json: cannot be read"):
        opened(tmp_path)


NONE = [b"", b"ARROW1", b"ARROW1\0\0 and no more", b"\xff\xff\xff\xff\0\0\0\x7f", b'{"a": 1}\n']


@pytest.mark.parametrize("content", NONE)
def test_a_file_that_is_no_arrow_is_told(content: bytes, tmp_path: Path) -> None:
    file = tmp_path / "train.arrow"
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"{file}: cannot be read as arrow: .*; write it again"):
        read_rows(file)


def test_what_unpacks_out_of_proportion_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "train.arrow"
    value = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * 4000, "int8"), pyarrow.array(["x" * 100_000]))
    table = pyarrow.table({"source": value})
    with pyarrow.OSFile(str(file), "wb") as sink, pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match="it unpacks to more than 16 MiB and more than 64 times its own size"):
        read_rows(file)


def test_an_arrow_file_under_another_name_is_told(tmp_path: Path) -> None:
    file = tmp_path / "train.jsonl"
    table = pyarrow.Table.from_pylist(ROWS)
    with pyarrow.OSFile(str(file), "wb") as sink, pyarrow.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(DataError, match="it is an arrow file; end its name in .arrow"):
        read_rows(file)
