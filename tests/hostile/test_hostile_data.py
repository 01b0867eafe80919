"""Data files that are none, that never end, that unpack to more than memory, or whose values no text can be."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from tests.support.hostile_commands import Yard, cases, see
from tests.support.hostile_files import NO_FILES, instead_of
from tests.support.study_fixture import Place, Places, rows

MIB = 2**20

ROWS = [json.dumps(row) for row in rows("train")]


def packed(piece: bytes, times: int) -> bytes:
    """Return so many pieces as gzip: members one after the other are one file."""
    return gzip.compress(piece) * times


def with_row(row: object) -> bytes:
    """Return a good file with a row put into its middle."""
    text = row if isinstance(row, str) else json.dumps(row)
    return "\n".join([*ROWS[:9], text, *ROWS[9:]]).encode("utf-8", "surrogatepass") + b"\n"


def good(**columns: object) -> dict[str, object]:
    return {"id": "x", "source": "a short note", "target": "note", **columns}


def parquet(table: pyarrow.Table, **options: object) -> bytes:
    file = io.BytesIO()
    pyarrow.parquet.write_table(table, file, **options)
    return file.getvalue()


def constant(count: int, size: int) -> bytes:
    """Return a parquet file of few bytes in which one text stands in many rows."""
    text = pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * count, pyarrow.int32()), ["x" * size])
    return parquet(pyarrow.table({"source": text, "target": text}), compression="zstd")


def nested(depth: int) -> str:
    return "[" * depth + "1" + "]" * depth


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "a line that unpacks to 1 GiB": ("train.jsonl.gz", lambda: packed(bytes(MIB), 1024)),
    "rows that unpack to 1 GiB": (
        "train.jsonl.gz",
        lambda: packed((ROWS[0] + "\n").encode() * (MIB // len(ROWS[0])), 1024),
    ),
    "csv that unpacks to 1 GiB": ("train.csv.gz", lambda: packed(b"a,b\n" * (MIB // 4), 1024)),
    "a quote that unpacks to 1 GiB": (
        "train.csv.gz",
        lambda: packed(b'source,target\n"', 1) + packed(b"a\n" * (MIB // 2), 1024),
    ),
    "text that unpacks to 1 GiB": ("train.txt.gz", lambda: packed(b"a\tb\n" * (MIB // 4), 1024)),
    "parquet that unpacks to 1 GiB": ("train.parquet.gz", lambda: packed(bytes(MIB), 1024)),
    "gzip in gzip": ("train.jsonl.gz", lambda: gzip.compress(gzip.compress(with_row(good())))),
    "gzip of nothing": ("train.jsonl.gz", lambda: gzip.compress(b"")),
    "no gzip": ("train.jsonl.gz", lambda: b"none"),
    "gzip cut short": ("train.jsonl.gz", lambda: gzip.compress(with_row(good()))[:-9]),
    "gzip with a wrong sum": ("train.jsonl.gz", lambda: gzip.compress(with_row(good()))[:-8] + bytes(8)),
    "one text in a million rows": ("train.parquet", lambda: constant(1_000_000, 10_000)),
    "one long text in many rows": ("train.parquet", lambda: constant(10_000, 5 * MIB)),
    "a long text": (
        "train.parquet",
        lambda: parquet(pyarrow.table({"source": ["x" * 2**26], "target": ["y"]}), compression="zstd"),
    ),
    "twenty million rows of nothing": (
        "train.parquet",
        lambda: parquet(pyarrow.table({"source": pyarrow.nulls(20_000_000), "target": pyarrow.nulls(20_000_000)})),
    ),
    "no parquet": ("train.parquet", lambda: b"PAR1" + bytes(64) + b"PAR1"),
    "parquet cut short": ("train.parquet", lambda: constant(10, 10)[:-20]),
    "parquet with a huge footer": ("train.parquet", lambda: b"PAR1" + bytes(64) + b"\xff\xff\xff\x7fPAR1"),
    "parquet of lists of lists": (
        "train.parquet",
        lambda: parquet(pyarrow.table({"source": [[["a"]]], "target": [[["b"]]]})),
    ),
    "parquet of bytes": (
        "train.parquet",
        lambda: parquet(pyarrow.table({"source": [b"\xff\x00"], "target": [b"\xfe"]})),
    ),
    "parquet of days that no calendar has": (
        "train.parquet",
        lambda: parquet(pyarrow.table({"source": pyarrow.array([2**40], pyarrow.timestamp("s")), "target": ["a"]})),
    ),
    "parquet of two columns of one name": (
        "train.parquet",
        lambda: parquet(pyarrow.Table.from_arrays([pyarrow.array(["a"])] * 2, names=["source", "source"])),
    ),
    "parquet without columns": ("train.parquet", lambda: parquet(pyarrow.table({}))),
    "lists a thousand deep": ("train.jsonl", lambda: with_row(f'{{"source": {nested(900)}, "target": "a"}}')),
    "lists a hundred thousand deep": ("train.jsonl", lambda: with_row(nested(100_000))),
    "objects without an end": ("train.jsonl", lambda: with_row('{"a":' * 50_000)),
    "a list for a row": ("train.jsonl", lambda: with_row(nested(60))),
    "a number for a row": ("train.jsonl", lambda: with_row("1")),
    "5,000 digits for a row": ("train.jsonl", lambda: with_row("9" * 5000)),
    "5,000 digits": ("train.jsonl", lambda: with_row(f'{{"source": {"9" * 5000}, "target": "a"}}')),
    "5,000 digits beside": ("train.jsonl", lambda: with_row(f'{{"source": "a", "target": "b", "n": {"9" * 5000}}}')),
    "no number": ("train.jsonl", lambda: with_row('{"source": NaN, "target": Infinity}')),
    "no number beside": ("train.jsonl", lambda: with_row('{"source": "a b", "target": "c d", "n": NaN, "m": 1e999}')),
    "a large number": ("train.jsonl", lambda: with_row(good(source=1e308, target=-1e308))),
    "half of a pair": ("train.jsonl", lambda: with_row('{"source": "\\ud800", "target": "a"}')),
    "half of a pair as a column": ("train.jsonl", lambda: with_row('{"source": "a", "target": "a", "\\udc00": 1}')),
    "half of a pair as bytes": ("train.jsonl", lambda: with_row('{"source": "\ud800", "target": "a"}')),
    "null bytes in a text": ("train.jsonl", lambda: with_row(good(source="a\0b", target="a\0"))),
    "null bytes": ("train.jsonl", lambda: bytes(MIB)),
    "the same key twice": ("train.jsonl", lambda: with_row('{"source": "a", "source": "b", "target": "c"}')),
    "a line of 20 MiB": ("train.jsonl", lambda: with_row(f'{{"source": "{"a " * (10 * MIB)}", "target": "b"}}')),
    "a row of a mebibyte": ("train.jsonl", lambda: with_row(good(source="a " * (MIB // 2)))),
    "a row of lists": (
        "train.jsonl",
        lambda: with_row(f'{{"source": "a", "target": "b", "c": [{"[]," * (2 * MIB)}[]]}}'),
    ),
    "ten thousand columns": ("train.jsonl", lambda: with_row({**good(), **{f"c{n}": n for n in range(10_000)}})),
    "UTF-16": ("train.jsonl", lambda: with_row(good()).decode().encode("utf-16")),
    "only a byte order mark": ("train.jsonl", lambda: b"\xef\xbb\xbf"),
    "a long id": ("train.jsonl", lambda: with_row(good(id="i" * MIB))),
    "an id that is a list": ("train.jsonl", lambda: with_row(good(id=[1, {"a": 2}]))),
    "references that are no texts": ("train.jsonl", lambda: with_row(good(references=[1, None]))),
    "references that are a text": ("train.jsonl", lambda: with_row(good(references="abc"))),
    "a column that is a dunder": ("train.jsonl", lambda: with_row(good(__class__="x", **{"": "y"}))),
    "a csv field of 20 MiB": ("train.csv", lambda: b'source,target\n"' + b"a" * (20 * MIB) + b'",b\n'),
    "a csv quote without an end": ("train.csv", lambda: b'source,target\n"' + b"a,b\n" * (3 * MIB)),
    "csv with null bytes": ("train.csv", lambda: b"source,target\na\0,b\n"),
    "csv of a hundred thousand columns": (
        "train.csv",
        lambda: b",".join(b"c%d" % n for n in range(100_000)) + b"\n1,2\n",
    ),
    "csv of one name for all columns": ("train.csv", lambda: b",".join([b"c"] * 100_000) + b"\n"),
    "csv without a header": ("train.csv", lambda: b"\n\n\n"),
    "csv of carriage returns": ("train.csv", lambda: b"source,target\r" + b"a,b\r" * 1000),
    "text of tabs": ("train.txt", lambda: b"\t" * MIB + b"\n"),
    "text of spaces": ("train.txt", lambda: b"a\tb\n" * 20 + b"a" + b" " * MIB + b"b\tc\n"),
    "text of one sign": ("train.txt", lambda: b"a\tb\n" * 20 + b"`" * 300_000 + b"\tc\n"),
    "text of brackets": ("train.txt", lambda: b"a\tb\n" * 20 + b"<" * 100_000 + b"\t" + b"{" * 100_000 + b"\n"),
    "text of digits": ("train.txt", lambda: b"a\tb\n" * 20 + b"9" * 100_000 + b"\t" + b"1." * 50_000 + b"\n"),
    "text of marks": (
        "train.txt",
        lambda: b"a\tb\n" * 20 + "e\u0301\u0327".encode() * 30_000 + b"\t" + "\u0301".encode() * 30_000 + b"\n",
    ),
}
"""In place of the rows to train on."""


@pytest.fixture(scope="module")
def trained(places: Places) -> Place:
    """A study that was run, with a stored model."""
    place = places()
    place.run("--set", "search.trials=1", "--set", "final.seeds=[11]", "--set", "prompts=[bare]")
    return place


@pytest.mark.parametrize("case", cases(FILES))
def test_a_file_of_rows(case: str, tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    name, content = FILES[case]
    (yard.work / "data" / "train.jsonl").unlink()
    (yard.work / "data" / name).write_bytes(content())
    see(yard.run("check", "study.yaml"))


@pytest.mark.parametrize("kind", cases(NO_FILES))
@pytest.mark.parametrize("name", ["data/train.jsonl", "data/test.jsonl", "study.yaml", "task.py"])
def test_what_is_no_file(name: str, kind: str, tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    instead_of(yard.work / name, kind)
    see(yard.run("check", "study.yaml"), 2)


@pytest.mark.parametrize("kind", cases(NO_FILES))
def test_what_is_no_file_as_all_data(kind: str, tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    NO_FILES[kind](yard.work / "odd.jsonl")
    see(yard.run("check", "study.yaml", "--set", "data.path=odd.jsonl"), 2)
    see(yard.run("check", "study.yaml", "--set", "generality.text=odd.jsonl"), 2)


PREDICTED = [name for name, (file, _) in FILES.items() if file in ("train.jsonl", "train.jsonl.gz")]


@pytest.mark.parametrize("case", cases(dict.fromkeys(PREDICTED)))
def test_rows_to_answer(case: str, trained: Place, tmp_path: Path) -> None:
    yard = Yard(tmp_path, trained)
    name, content = FILES[case]
    (yard.work / name).write_bytes(content())
    (yard.work / "reports" / "answers.jsonl").unlink(missing_ok=True)
    see(yard.run("predict", "tiny", "--input", name, "--output", "reports/answers.jsonl", "--on-error", "skip"))


@pytest.mark.parametrize("kind", cases(NO_FILES))
def test_what_is_no_file_of_rows_to_answer(kind: str, trained: Place, tmp_path: Path) -> None:
    yard = Yard(tmp_path, trained)
    NO_FILES[kind](yard.work / "rows.jsonl")
    see(yard.run("predict", "tiny", "--input", "rows.jsonl", "--output", "reports/answers.jsonl"))
