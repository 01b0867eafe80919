"""Untidy files of every kind that is read: the same values wherever a kind can say them, else one message."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from harness.core.errors import DataError
from harness.data.data_keys import Data
from harness.data.open_source import open_source
from harness.data.sources import read_split
from harness.study.task import plain_example
from tests.support.hub_stand_in import Repo, answers, serving

COUNT, MARK = 10, b"\xef\xbb\xbf"

Rows = list[dict[str, Any]]
Content = dict[str, bytes]
"""Files by their names, as a folder and the Hub have them."""


@pytest.fixture(scope="module", autouse=True)
def quiet() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def jsonl(rows: Rows) -> Content:
    return {"train.jsonl": MARK + "".join(json.dumps(row, ensure_ascii=False) + "\r\n" for row in rows).encode()}


def whole_json(rows: Rows) -> Content:
    return {"train.json": MARK + json.dumps(rows, indent=1).replace("\n", "\r\n").encode()}


def cells(rows: Rows, *, name: str, mark: str) -> Content:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]), delimiter=mark, lineterminator="\r\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {name: json.dumps(value) if type(value) in (list, bool) else value for name, value in row.items()}
        )
    return {name: MARK + file.getvalue().encode()}


def parquet(rows: Rows) -> Content:
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)
    return {"train.parquet": file.getvalue()}


def arrow(rows: Rows) -> Content:
    table, file = pyarrow.Table.from_pylist(rows), io.BytesIO()
    with pyarrow.ipc.new_stream(file, table.schema) as out:
        out.write_table(table)
    return {"train.arrow": file.getvalue()}


def lines(rows: Rows) -> Content:
    return {"train.txt": MARK + "".join(f"{row['source']}\t{row['target']}\r\n" for row in rows).encode()}


def aligned(rows: Rows) -> Content:
    names = ("source", "target")
    return {f"train.{name}": MARK + "".join(f"{row[name]}\r\n" for row in rows).encode() for name in names}


KINDS: dict[str, Callable[[Rows], Content]] = {
    "jsonl": jsonl,
    "json": whole_json,
    "csv": partial(cells, name="train.csv", mark=","),
    "tsv": partial(cells, name="train.tsv", mark="\t"),
    "parquet": parquet,
    "arrow": arrow,
    "txt": lines,
    "aligned": aligned,
}
TYPED = ("jsonl", "json", "parquet", "arrow", "saved")
"""Kinds that say of a value what it is."""
TABLES = (*TYPED, "csv", "tsv")


def of(source: Callable[[int], Any], target: Callable[[int], Any] = "b {}".format) -> Rows:
    return [{"source": source(number), "target": target(number)} for number in range(COUNT)]


CASES: dict[str, tuple[Rows, tuple[str, ...]]] = {
    "marks and ends of lines": (of("a {}".format), (*TABLES, "txt", "aligned")),
    "marks within": (of("\ufeffa {}\ufeff".format), (*TABLES, "txt", "aligned")),
    "ends of lines that are none": (of("a\u2028{}\x85b\x0bc\x0c".format), (*TABLES, "txt", "aligned")),
    "long rows": (of(lambda number: " ".join([f"word{number}"] * 50_000)), (*TABLES, "txt", "aligned")),
    "quoted newlines": (of("a \"{}\",\r\n\n'b'".format), TABLES),
    "nulls": (of(lambda number: None if number % 2 else f"a {number}"), TABLES),
    "nested lists": (of(lambda number: [[f"a {number}"], [None, "b"], []]), TYPED),
    "numbers": (of(lambda number: number), TABLES),
    "shares": (of(lambda number: number + 0.5), TABLES),
    "truth values": (of(lambda number: number % 2 == 0), TABLES),
    "nothing at all": (of("{}".format, lambda number: None), TYPED),
    "bytes that are texts": (of(lambda number: f"ä {number}".encode()), ("parquet", "arrow", "saved")),
}


def read(folder: Path, data: Data | None = None) -> list[tuple[str, Any, str]]:
    data = data or Data(path=str(folder), validation=1, test=1)
    source = open_source(data, folder)
    parts = (read_split(source, split, data, plain_example) for split in ("train", "validation", "test"))
    found = [(example.id, example.fields["source"], example.target) for part in parts for example in part]
    return sorted(found, key=lambda one: int(one[0].removeprefix("row-")))


def written(folder: Path, content: Content) -> Path:
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return folder


def made(folder: Path, kind: str, rows: Rows) -> Path:
    if kind == "saved":
        datasets.Dataset.from_list(rows).save_to_disk(folder)
        return folder
    return written(folder, KINDS[kind](rows))


def expected(rows: Rows) -> list[tuple[str, Any, str]]:
    values = [value.decode() if isinstance(value := row["source"], bytes) else value for row in rows]
    targets = [row["target"] or "" for row in rows]
    return [(f"row-{number}", *pair) for number, pair in enumerate(zip(values, targets, strict=True), start=1)]


@pytest.mark.parametrize("case", CASES)
def test_untidy_values_are_read_alike(case: str, tmp_path: Path) -> None:
    rows, kinds = CASES[case]
    for kind in kinds:
        found = read(made(tmp_path / kind, kind, rows))
        assert found == expected(rows), kind
        assert [type(one[1]) for one in found] == [type(one[1]) for one in expected(rows)], kind


def same_ids() -> Rows:
    return [{"id": f"{number % 9}", **row} for number, row in enumerate(of("a {}".format))]


LONE = b"\xed\xa0\x80"
"""Half of a character, as Python writes it where it is told to."""

WRONG: dict[str, tuple[dict[str, Content], str]] = {
    "two rows of one id": (
        {kind: KINDS[kind](same_ids()) for kind in TABLES if kind != "saved"},
        "train row 10: another row has the id '0' as well; ids must be distinct",
    ),
    "two columns of one name": (
        {
            "csv": {"train.csv": b"source,target,source\na,b,c\n"},
            "tsv": {"train.tsv": b"source\ttarget\tsource\na\tb\tc\n"},
            "jsonl": {"train.jsonl": b'{"source": "a", "target": "b", "source": "c"}'},
            "json": {"train.json": b'[{"source": "a", "target": "b", "source": "c"}]'},
        },
        "distinct names|'source' twice",
    ),
    "halves of characters, escaped": (
        {
            "jsonl": {"train.jsonl": b'{"source": "a \\ud800", "target": "b"}'},
            "json": {"train.json": b'[{"source": "a \\ud800", "target": "b"}]'},
        },
        "no valid JSON: .*surrogates not allowed",
    ),
    "halves of characters": (
        {
            kind: {name: data + "äöüß".encode() * 9 + LONE for name, data in KINDS[kind](of("a {}".format)).items()}
            for kind in ("jsonl", "csv", "tsv", "txt", "aligned")
        },
        "no utf-8|cannot be read: .*write the file again as UTF-8",
    ),
    "a split without rows": (
        {
            **{kind: {f"train.{kind}": b""} for kind in ("jsonl", "csv", "tsv", "txt")},
            "json": {"train.json": b"[]"},
            "aligned": {"train.en": b"\n", "train.fr": b"\n"},
            "parquet": parquet([]),
            "arrow": arrow([]),
        },
        "its 0 rows cannot give",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_mistakes_are_told_in_one_message(case: str, tmp_path: Path) -> None:
    files, says = WRONG[case]
    for kind, content in files.items():
        with pytest.raises(DataError, match=says) as error:
            read(written(tmp_path / kind, content))
        assert "\n" not in str(error.value), kind


def test_a_saved_data_set_without_rows_is_one(tmp_path: Path) -> None:
    datasets.Dataset.from_dict({"source": [], "target": []}).save_to_disk(tmp_path / "none")
    with pytest.raises(DataError, match="its 0 rows cannot give"):
        read(tmp_path / "none")


HUB = """
import json, sys
from harness.core.errors import DataError
from harness.data.data_keys import Data
from harness.data.open_source import open_source
from harness.data.sources import read_split
from harness.study.task import plain_example
found = []
for name in json.loads(sys.argv[1]):
    data = Data(hub=name, validation=1, test=1)
    try:
        source = open_source(data, None)
        parts = [read_split(source, split, data, plain_example) for split in ("train", "validation", "test")]
        rows = [(example.id, example.fields["source"], example.target) for part in parts for example in part]
        found.append(sorted(rows, key=lambda one: int(one[0].removeprefix("row-"))))
    except DataError as error:
        found.append(str(error))
print(json.dumps(found))
"""


def test_the_hub_gives_what_files_give(tmp_path: Path) -> None:
    """Of the kinds that lie there; `datasets` reads them, and so tells cells of csv by its own rules."""
    commit = "c" * 40
    cases = [name for name in CASES if name not in ("nothing at all", "long rows")]
    asked = {f"org/{kind}{number}": (kind, name) for number, name in enumerate(cases) for kind in ("jsonl", "parquet")}
    asked = {repo: (kind, name) for repo, (kind, name) in asked.items() if kind in CASES[name][1]}
    repos = {
        f"datasets/{repo}": Repo({commit: {"README.md": b"# Rows\n", **KINDS[kind](CASES[name][0])}}, {"main": commit})
        for repo, (kind, name) in asked.items()
    }
    with serving(repos) as hub:
        found = answers(HUB, list(asked), tmp_path, HF_ENDPOINT=hub.url)
    for (kind, name), rows in zip(asked.values(), found, strict=True):
        assert [tuple(row) for row in rows] == expected(CASES[name][0]), (kind, name)
