"""Files of text as spreadsheets and others write them: encodings, marks between columns, types of columns."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.bounded_files import MIB
from harness.core.errors import DataError
from harness.data.csv_files import typed
from harness.data.readers import read_rows, read_table
from harness.data.text_files import open_text

LINES = "source,target\nMüller wählt €5,naïve\nZoë,façade\n"
ROWS = [{"source": "Müller wählt €5", "target": "naïve"}, {"source": "Zoë", "target": "façade"}]


@pytest.mark.parametrize(
    ("encoding", "told"),
    [
        ("utf-8", ""),
        ("utf-8-sig", ""),
        ("cp1252", "cp1252"),
        ("utf-16", "utf-16"),
        ("utf-16-le", "utf-16-le"),
        ("utf-16-be", "utf-16-be"),
        ("utf-32", "utf-32"),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "txt", "csv.gz"])
def test_encodings_are_found_and_told(encoding: str, told: str, ending: str, tmp_path: Path) -> None:
    text = {
        "csv": LINES,
        "csv.gz": LINES,
        "jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS),
        "json": json.dumps(ROWS, ensure_ascii=False),
        "txt": "".join(f"{row['source']}\t{row['target']}\n" for row in ROWS),
    }[ending]
    file = tmp_path / f"rows.{ending}"
    data = text.encode(encoding)
    file.write_bytes(gzip.compress(data) if ending.endswith("gz") else data)
    table = read_table(file)
    assert table.rows == ROWS
    assert table.notes == ([f"{file.name} is read as {told}; if it is not, set data.encoding."] if told else [])
    assert read_table(file, encoding="utf-16" if encoding == "utf-16" else encoding).notes == []


def test_damaged_utf_8_is_no_spreadsheet_s(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_bytes(LINES.encode().replace("Zoë".encode(), b"Zo\xff"))
    with pytest.raises(DataError, match=r"rows.csv:3: cannot be read: .* write the file again as UTF-8, or set"):
        read_rows(file)


@pytest.mark.parametrize(("mark", "name"), [(",", ""), (";", "semicolons"), ("\t", "tabs"), ("|", "bars")])
def test_the_mark_between_columns_is_found_and_told(mark: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    rows = [["source", "target"], ["a, b; c", "d"], ["e;f|g\th", 'say "x"'], ["two\nlines", "i"]]
    quoted = [mark.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    file.write_text("\n".join(quoted) + "\n", encoding="utf-8")
    table = read_table(file)
    assert [list(row.values()) for row in table.rows] == rows[1:]
    assert [name in note for note in table.notes] == ([True] if name else [])
    assert read_table(file, delimiter=mark).notes == []


def test_a_mark_that_is_named_holds(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("source:target\na:b\n")
    assert read_table(file, delimiter=":").rows == [{"source": "a", "target": "b"}]
    assert read_rows(file) == [{"source:target": "a:b"}]


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        ("sep=;\nsource;target\na;b\nc;d\n", 0),
        ('"sep=;"\r\nsource;target\r\na;b\r\nc;d\r\n', 0),
        ("SEP=\t\nsource\ttarget\na\tb\nc\td\n", 0),
        ("source,target,,\na,b,,\nc,d,,\n", 0),
        (",source,target,\n,a,b,\n,c,d,\n", 0),
        ("\n\nsource,target\na,b\n\nc,d\n", 0),
        ("source,target\na,b\n,\nc,d\n,\n", 1),
        ("source,target,\na,b,\n,,\nc,d,\n", 1),
        ("source,target\ra,b\rc,d\r", 0),
        ('source,target\r"a",b\rc,"d"', 0),
    ],
)
def test_what_spreadsheets_leave_behind_is_no_part_of_a_table(text: str, notes: int, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(text, newline="")
    table = read_table(file)
    assert table.rows == [{"source": "a", "target": "b"}, {"source": "c", "target": "d"}]
    assert len(table.notes) == notes, table.notes


@pytest.mark.parametrize("mark", ";\t|")
def test_a_line_of_another_width_is_named_whatever_stands_between_columns(mark: str, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(f"source{mark}target\na, b{mark}c\nd{mark}e\nalone\n")
    with pytest.raises(DataError, match=r"rows.csv:4: 1 values, but 2 columns \(source, target\)"):
        read_rows(file)


def test_lines_are_counted_from_the_one_that_names_the_mark(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text("sep=;\nsource;target\na;b;c\n")
    with pytest.raises(DataError, match="rows.csv:3: 3 values, but 2 columns"):
        read_rows(file)


def test_columns_without_a_name_that_hold_values_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    file.write_text(",source,target\n0,a,b\n")
    assert read_rows(file) == [{"": 0, "source": "a", "target": "b"}], "an index without a name"
    file.write_text("source,target,,\na,b,1,2\n")
    with pytest.raises(DataError, match=r"are source, target, \(no name\), \(no name\); name each"):
        read_rows(file)


scalars = st.one_of(st.integers(-(10**20), 10**20), st.floats(allow_nan=False, allow_infinity=False), st.booleans())


@given(st.lists(st.one_of(st.none(), scalars), min_size=1))
def test_columns_read_back(values: list[object]) -> None:
    cells = ["" if value is None else json.dumps(value) for value in values]
    read = typed(cells)
    assert read == values
    assert [type(value) for value in read] == [type(value) for value in values]


@given(st.lists(st.text("0123456789.eE+-truefalsn NaIity", max_size=8), min_size=1))
def test_whatever_is_typed_shows_as_it_stood(cells: list[str]) -> None:
    shown = ["" if value is None else value if isinstance(value, str) else json.dumps(value) for value in typed(cells)]
    assert shown == cells


@pytest.mark.parametrize(
    "cell", ["007", "1.50", "1e5", "+1", " 1", "1 ", "NaN", "Infinity", "True", "-0", "1_000", "²"]
)
def test_what_does_not_read_back_stays_text(cell: str) -> None:
    assert typed([cell, "3"]) == [cell, "3"]


def test_json_that_is_no_array_of_rows_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    for text, says in {
        '[{"a": 1}, 5]': "row 2: a row must be an object",
        '[{"a": 1}': "no valid JSON",
        '{"rows": [1]}\n{"rows"': "rows.json:2: no valid JSON",
        '{\n "data": [\n  {"a": 1}\n ]\n}': r"holds one object \('data'\), not rows; write an array",
        '{\n "a": [1, 2],\n "b": [3, 4]\n}\n': r"holds one object \('a', 'b'\), not rows",
        "5": "a row must be an object",
        '["\\ud800"]': "no valid JSON",
    }.items():
        file.write_text(text)
        with pytest.raises(DataError, match=says):
            read_rows(file)
    file.write_text('{"a": 1}\n{"a": 2}\n')
    assert read_rows(file) == [{"a": 1}, {"a": 2}], "a row a line, as some call it"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (gzip.compress(LINES.encode(), mtime=0), r"packed by gzip; end its name in .gz"),
        (b"PK\x03\x04" + bytes(40), "a spreadsheet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(40), "an old spreadsheet"),
        (b"PAR1" + bytes(40), "it is parquet"),
    ],
    ids=["gzip", "xlsx", "xls", "parquet"],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl", "json", "txt"])
def test_what_is_no_text_is_named(content: bytes, says: str, ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"rows.{ending}"
    file.write_bytes(content)
    with pytest.raises(DataError, match=f"cannot be read as text: .*{says}"):
        read_rows(file)


def test_nan_is_no_value(tmp_path: Path) -> None:
    rows = [{"n": 1.5}, {"n": None}]
    (tmp_path / "rows.jsonl").write_text('{"n": 1.5}\n{"n": NaN}\n')
    (tmp_path / "rows.json").write_text('[{"n": 1.5}, {"n": NaN}]')
    pyarrow.parquet.write_table(pyarrow.table({"n": [1.5, float("nan")]}), tmp_path / "rows.parquet")
    assert [read_rows(tmp_path / f"rows.{ending}") for ending in ("jsonl", "json", "parquet")] == [rows] * 3


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_a_large_file_is_read_in_bounded_memory(encoding: str, tmp_path: Path) -> None:
    size, file = 40 * MIB, tmp_path / "large.txt"
    line = ("é" + "a" * 1022 + "\n").encode(encoding)
    with file.open("wb") as out:
        for _ in range(size // len(line)):
            out.write(line)
    tracemalloc.start()
    try:
        text = open_text(file, in_pieces=True)
        assert sum(len(piece) for _, piece in text.lines) == size // len(line) * 1024
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (encoding in text.note) == (encoding != "utf-8")
    assert peak < size / 2
