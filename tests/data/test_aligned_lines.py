"""Line-aligned files: columns by ending, lines that stay together, and files that part."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.core.example import Split
from harness.data.aligned_lines import read_aligned
from harness.data.data_keys import Data
from harness.data.open_source import open_source
from harness.data.sources import Source, read_split
from harness.study.task import plain_example

WORDS = ["one", "two words", "three more words", "a line that is longer", "x"]

lines = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\n\r\0"), max_size=8)


def write(folder: Path, **columns: Sequence[str]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in columns.items():
        (folder / name.replace("_", ".")).write_text("\n".join(content) + "\n", encoding="utf-8")
    return folder


def opened(folder: Path, **keys: Any) -> tuple[Source, Data]:
    data = Data(path=str(folder), **keys)
    return open_source(data, folder, folder), data


def pairs(folder: Path, split: Split = "train", **keys: Any) -> list[tuple[str, Any, str]]:
    source, data = opened(folder, **keys)
    return [(e.id, e.fields["source"], e.target) for e in read_split(source, split, data, plain_example)]


@settings(max_examples=50)
@given(
    rows=st.lists(st.tuples(lines, lines), min_size=1, max_size=8),
    end=st.sampled_from(["\n", "\r\n"]),
    last=st.booleans(),
    mark=st.booleans(),
    packed=st.booleans(),
)
def test_line_n_goes_with_line_n(
    rows: list[tuple[str, str]], end: str, last: bool, mark: bool, packed: bool, tmp_path_factory: Any
) -> None:
    """Marks that Unicode ends lines at, empty lines, a byte order mark, another end of lines, gzip."""
    folder = tmp_path_factory.mktemp("rows")
    paths = [folder / f"train.{column}{'.gz' * packed}" for column in ("en", "fr")]
    for path, side in zip(paths, zip(*rows, strict=True), strict=True):
        text = end.join(side) + (end if last or not side[-1] else "")
        content = b"\xef\xbb\xbf" * (mark and path is paths[1]) + text.encode()
        path.write_bytes(gzip.compress(content) if packed else content)
    found, notes = read_aligned(paths)
    there = [{"en": a, "fr": b} for a, b in rows if a.strip() or b.strip()]
    # Without a mark a text may begin with one of its own, which is one then.
    assert [{name: text.lstrip("\ufeff") for name, text in row.items()} for row in found] == [
        {name: text.lstrip("\ufeff") for name, text in row.items()} for row in there
    ]
    names, dropped = ", ".join(path.name for path in paths), len(rows) - len(there)
    told = [f"{names}: lines that are empty in each are left out: {dropped}."] if dropped else []
    assert [note for note in notes if "left out" in note] == told


def test_a_folder_of_them_is_read_by_its_splits(tmp_path: Path) -> None:
    ends = [(split, side) for split in ("train", "dev", "test") for side in ("source", "target")]
    texts = {f"{split}_{side}": [f"{side} {split} {n}" for n in range(10)] for split, side in ends}
    folder = write(tmp_path / "rows", **texts, README_md=["x"])
    for split, name in {"train": "train", "validation": "dev", "test": "test"}.items():
        assert pairs(folder, split) == [(f"row-{n + 1}", f"source {name} {n}", f"target {name} {n}") for n in range(10)]
    source, data = opened(folder)
    read_split(source, "train", data, plain_example)
    assert source.notes == [
        f"in {folder} these files are not read: README.md.",
        "train.source, train.target are read side by side: a row a line, with the columns source, target.",
    ]


LANGUAGES = {"source": "en", "target": "fr"}


FRENCH, GERMAN = ({f"train_en-{other}_{column}": WORDS for column in ("en", other)} for other in ("fr", "de"))


@pytest.mark.parametrize(
    ("files", "keys"),
    [
        ({"train_en": WORDS, "train_fr": WORDS}, {}),
        (FRENCH, {}),
        ({"train_en_txt": WORDS, "train_fr_txt": WORDS}, {}),
        ({"news_en": WORDS, "news_fr": WORDS}, {"splits": {"train": "news"}}),
        ({"news_en": WORDS, "news_fr": WORDS}, {"splits": {"train": "./news"}}),
        ({**FRENCH, **GERMAN}, {"splits": {"train": "./train.en-fr"}}),
    ],
    ids=["two", "with the pair", "text", "by name", "by path", "one of two"],
)
def test_they_are_called_in_several_ways(files: dict[str, Any], keys: dict[str, Any], tmp_path: Path) -> None:
    found = pairs(write(tmp_path / "rows", **files), columns=LANGUAGES, validation=1, test=1, **keys)
    assert {(source, target) for _, source, target in found} < {(word, word) for word in WORDS}
    assert len(found) == 3


def test_the_beginning_of_their_names_is_a_path(tmp_path: Path) -> None:
    folder = write(tmp_path / "rows", news_en=WORDS, news_fr=WORDS)
    assert len(pairs(folder / "news", columns=LANGUAGES, validation=1, test=1)) == 3
    with pytest.raises(
        DataError, match="line-aligned files are named by what their names begin with, as .*/rows/news$"
    ):
        pairs(folder / "news.en")


def test_files_of_rows_come_first(tmp_path: Path) -> None:
    table = ["source,target", *(f"c{n},d" for n in range(10))]
    folder = write(tmp_path / "rows", train_en=WORDS, train_fr=WORDS, train_csv=table)
    assert all(source.startswith("c") for _, source, _ in pairs(folder))
    assert opened(folder)[0].notes == [f"in {folder} these files are not read: train.en, train.fr."]


def test_two_sets_for_one_split_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "rows", **FRENCH, **GERMAN)
    says = r"holds train.en-de and train.en-fr, line-aligned files for one split; name one in data.splits: {train: ./tr"
    with pytest.raises(DataError, match=says):
        opened(folder)


@pytest.mark.parametrize("names", [("train_en",), ("train_en", "train_log"), ("train_md", "train_html")])
def test_what_stands_alone_is_no_pair(names: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no train file"):
        opened(write(tmp_path / "rows", **dict.fromkeys(names, WORDS)))


LONG = [f"{'word ' * (3 + 7 * n % 11)}{n}" for n in range(40)]


@pytest.mark.parametrize(
    ("lost", "says"),
    [
        (0, "they part at line 1, where"),
        (17, "they part at line 18, where"),
        (39, r"they part at line 40, where train.en has '.*'\.* and train.fr has no line; correct the files there"),
    ],
)
def test_where_two_files_part_is_told(lost: int, says: str, tmp_path: Path) -> None:
    folder = write(tmp_path / "rows", train_en=LONG, train_fr=[*LONG[:lost], *LONG[lost + 1 :]])
    with pytest.raises(DataError, match="train.en has 40 lines, but train.fr has 39; line n of one") as refused:
        pairs(folder, columns=LANGUAGES)
    assert refused.match(says)


def test_a_column_that_is_not_there_is_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "rows", train_en=WORDS, train_fr=WORDS)
    with pytest.raises(DataError, match=r"map it with data.columns: {source: en, target: fr}"):
        pairs(folder)
    with pytest.raises(DataError, match="a column 'de', which no row has; .*nown: en, fr"):
        pairs(folder, columns={"source": "en", "target": "de"})
