"""Slices of splits: as `datasets` cuts them, of files, folders and saved data sets alike; what overlaps is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from datasets import ReadInstruction
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.core.errors import DataError
from harness.core.example import SPLITS, Split
from harness.data.data_keys import Data
from harness.data.open_source import open_source
from harness.data.sources import Source, read_split
from harness.data.split_slices import Piece, names_file, pieces_of, with_names
from harness.study.task import plain_example

counts = st.none() | st.integers(-400, 1200)
percents = st.none() | st.integers(-100, 100)


def written(start: int | None, stop: int | None, unit: str, rounding: str = "") -> str:
    ends = ["" if end is None else f"{end}{unit}" for end in (start, stop)]
    return f"train[{ends[0]}:{ends[1]}]{rounding if any(ends) else ''}"


@settings(max_examples=400)
@given(
    text=st.builds(written, counts, counts, st.just(""))
    | st.builds(written, percents, percents, st.just("%"), st.sampled_from(["", "(closest)", "(pct1_dropremainder)"])),
    count=st.integers(100, 1000) | st.sampled_from([100, 101, 250]),
)
def test_rows_are_those_that_datasets_takes(text: str, count: int) -> None:
    (oracle,) = ReadInstruction.from_spec(text).to_absolute({"train": count})
    (piece,) = pieces_of(text)
    assert [*piece.rows(count)] == [*range(oracle.from_, oracle.to)]
    assert str(piece) == text


def test_pieces_are_added() -> None:
    assert pieces_of("train[:10%]+dev[-3:] + test") == (Piece("train", "[:10%]"), Piece("dev", "[-3:]"), Piece("test"))
    assert pieces_of("a+b.csv") == (Piece("a+b.csv"),)
    assert pieces_of("rows[1].csv") == (Piece("rows[1].csv"),)
    assert with_names("./a.csv[:3]+b", str.upper) == "./A.CSV[:3]+B"
    assert [names_file(name) for name in ("a.csv", "a.jsonl.gz", "./a", "dev", "v1.0")] == [
        True,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train[500]", r"data.splits.test: 'train\[500\]' is no slice of a split; write train\[-500:\], train\[:80%\]"),
        ("train[a:b]", "is no slice of a split"),
        ("train[:101%]", "goes beyond 100%"),
        ("train[10:20%]", "counts rows at one end and percents at the other; write both alike"),
        ("train[:50%](up)", "rounds by up; of percents, write closest or pct1_dropremainder"),
        ("train[:50](closest)", "rounds by closest; of percents"),
        ("train+", "'' is no slice of a split"),
    ],
)
def test_what_is_no_slice_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Data(splits={"train": "train", "test": text})


def rows(folder: Path, **files: int) -> Path:
    folder.mkdir(exist_ok=True)
    for name, count in files.items():
        lines = [json.dumps({"source": f"{name}{n}", "target": "t"}) + "\n" for n in range(count)]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    return folder


def opened(path: Path | None, base: Path = Path("none"), **keys: Any) -> tuple[Source, Data]:
    data = Data(path=str(path) if path else None, **keys)
    return open_source(data, base, base), data


def sources(path: Path | None, split: Split, base: Path = Path("none"), **splits: str) -> list[str]:
    source, data = opened(path, base, splits=splits)
    return [example.fields["source"] for example in read_split(source, split, data, plain_example)]


def names(name: str, *numbers: int) -> list[str]:
    return [f"{name}{number}" for number in range(*numbers)]


@pytest.mark.parametrize("of_file", [False, True])
def test_splits_are_slices_of_one_another(of_file: bool, tmp_path: Path) -> None:
    folder = rows(tmp_path / "rows", train=20)
    path = folder / "train.jsonl" if of_file else folder
    splits = {"train": "train[:-8]", "validation": "train[-8:-5]", "test": "train[75%:]"}
    assert sources(path, "train", **splits) == names("train", 12)
    assert sources(path, "validation", **splits) == names("train", 12, 15)
    assert sources(path, "test", **splits) == names("train", 15, 20)


def test_what_is_not_named_stays_without_what_slices_take(tmp_path: Path) -> None:
    folder = rows(tmp_path / "rows", train=20, dev=5)
    source, data = opened(folder, splits={"test": "train[-3:]"})
    found = {split: read_split(source, split, data, plain_example) for split in SPLITS}
    assert [e.fields["source"] for e in found["train"]] == names("train", 17)
    assert [e.fields["source"] for e in found["test"]] == names("train", 17, 20)
    assert [e.fields["source"] for e in found["validation"]] == names("dev", 5)
    assert source.notes == ["train is 17 of the 20 rows of train; others are in slices for test."]


def test_names_are_those_of_the_folder_or_of_its_aliases(tmp_path: Path) -> None:
    folder = rows(tmp_path / "rows", train=6, Dev=5, matched=4, other=3)
    assert sources(folder, "validation", validation="matched") == names("matched", 4)
    assert sources(folder, "test", test="validation[:2]", validation="dev[2:]") == names("Dev", 2)
    both = {"train": "train+other[1:]", "validation": "dev", "test": "matched"}
    assert sources(folder, "train", **both) == [*names("train", 6), *names("other", 1, 3)]
    assert opened(folder, splits={"validation": "matched"})[0].notes == [
        f"in {folder} these files are not read: Dev.jsonl, other.jsonl."
    ]


def test_a_split_that_is_given_away_as_a_whole_is_carved(tmp_path: Path) -> None:
    folder = rows(tmp_path / "rows", train=20, validation=5)
    assert sources(folder, "test", test="validation") == names("validation", 5)
    carved = sources(folder, "validation", test="validation")
    assert len(carved) == 2
    assert {*carved, *sources(folder, "train", test="validation")} == {*names("train", 20)}
    with pytest.raises(DataError, match=r"data.splits leaves nothing for train; give it rows: train\[:90%\]"):
        opened(folder, splits={"test": "train"})


def test_files_may_be_cut(tmp_path: Path) -> None:
    folder = rows(tmp_path / "rows", a=10, dev=3)
    splits = {"train": "a.jsonl", "validation": "dev", "test": "train[-4:]"}
    assert sources(folder, "train", **splits) == names("a", 6)
    assert sources(folder, "test", **splits) == names("a", 6, 10)
    assert sources(folder, "validation", **splits) == names("dev", 3)
    beside = {"train": "a.jsonl[:50%]", "validation": "a.jsonl[50%:80%]", "test": "./a.jsonl[80%:]"}
    with pytest.raises(DataError, match="is neither a file nor a folder|no such data file"):
        sources(None, "test", tmp_path, **beside)
    assert sources(None, "validation", folder, **beside) == names("a", 5, 8)
    alone = {"train": "a", "validation": "a[:2]", "test": "dev"}
    assert sources(folder, "train", **alone) == names("a", 2, 10)


@pytest.mark.parametrize(
    ("splits", "says"),
    [
        (
            {"train": "train[:-3]", "test": "train[-5:]"},
            r"data.splits gives rows 16 to 17 of train both to train, 'train\[:-3\]', and to test, 'train\[-5:\]'",
        ),
        ({"validation": "train[:1]", "test": "train[0:1]"}, "gives row 1 of train both to validation"),
        ({"test": "train[30:]"}, "data.splits leaves test none of the 20 rows of train; write other slices"),
        ({"test": "train[:]"}, "data.splits leaves train none of the 20 rows of train"),
        (
            {"test": "tran[-3:]"},
            "data.splits.test names 'tran', which is not there; did you mean 'train'",
        ),
        ({"train": "train", "test": "./none.csv"}, "none.csv: no such data file; set data.path"),
    ],
)
def test_what_cannot_be_is_refused(splits: dict[str, str], says: str, tmp_path: Path) -> None:
    folder = rows(tmp_path / "rows", train=20, dev=5)
    with pytest.raises(DataError, match=says):
        [sources(folder, split, **splits) for split in SPLITS]


def test_train_may_be_made_of_what_is_called_otherwise(tmp_path: Path) -> None:
    folder = rows(tmp_path / "rows", everything=10)
    splits = {"train": "everything[:80%]", "test": "everything[80%:]"}
    assert sources(folder, "test", **splits) == names("everything", 8, 10)
    with pytest.raises(DataError, match="data.splits leaves nothing for train"):
        sources(folder, "test", test="everything")


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"hub": "a/b", "splits": {"train": "a.csv"}}, "names the file a.csv beside data.hub; name its splits"),
        ({"splits": {"test": "a.csv"}}, "data.splits names test, but no train; name its file too"),
    ],
)
def test_keys_that_do_not_fit_are_refused(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Data(**keys)
