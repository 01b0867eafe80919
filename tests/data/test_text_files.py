"""Files of text as spreadsheets and others write them: encodings, marks between columns, types of columns."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.data.csv_files import typed
from harness.data.readers import read_rows, read_table

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
        "5": "a row must be an object",
        '["\\ud800"]': "no valid JSON",
    }.items():
        file.write_text(text)
        with pytest.raises(DataError, match=says):
            read_rows(file)
    file.write_text('{"a": 1}\n{"a": 2}\n')
    assert read_rows(file) == [{"a": 1}, {"a": 2}], "a row a line, as some call it"
