"""Rows from memory: what a file of the same rows would give, whatever they are held in."""

from __future__ import annotations

import datetime
import decimal
import enum
import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import DataError
from harness.core.example import as_text
from harness.data.memory_rows import are_rows, as_jsonl, plain_rows
from harness.data.readers import read_rows

texts = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


@given(rows=st.lists(st.dictionaries(texts, values, min_size=1, max_size=4), min_size=1, max_size=5))
def test_a_file_of_them_gives_them_back(rows: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("rows") / "train.jsonl"
    file.write_text(as_jsonl(plain_rows(rows, "data.train"), "data.train"), encoding="utf-8")
    assert read_rows(file) == rows


def circle() -> dict[str, Any]:
    row: dict[str, Any] = {}
    row["a"] = row
    return row


ROWS = [{"source": "a b", "n": 1, "score": 0.5, "good": True}, {"source": "c", "n": 2, "score": None, "good": False}]


@pytest.mark.parametrize("held", [pd.DataFrame, datasets.Dataset.from_list, iter, tuple])
def test_what_holds_them_does_not_matter(held: Any) -> None:
    rows = plain_rows(held(ROWS), "data.train")
    assert rows == ROWS
    assert [[type(value) for value in row.values()] for row in rows] == [
        [type(value) for value in row.values()] for row in ROWS
    ]


def test_parquet_of_a_frame_shows_the_same_in_prompts(tmp_path: Path) -> None:
    """The oracle is the reader of files: every value as a prompt has it."""
    frame = pd.DataFrame(
        {
            "text": ["a", None],
            "whole": pd.array([1, None], dtype="Int64"),
            "part": [0.25, np.nan],
            "day": [pd.Timestamp("2024-02-29 12:30"), pd.NaT],
            "date": [datetime.date(2024, 2, 29), None],
            "list": [[1, 2], []],
            "price": [decimal.Decimal("1.50"), None],
            "kind": pd.Categorical(["x", "y"]),
        }
    )
    frame.to_parquet(tmp_path / "rows.parquet")
    shown = [
        [{name: as_text(value) for name, value in row.items()} for row in rows]
        for rows in (plain_rows(frame, "data.train"), read_rows(tmp_path / "rows.parquet"))
    ]
    assert shown[0] == shown[1]


def test_numbers_of_numpy_are_python_s() -> None:
    row = {"a": np.int64(3), "b": np.float32(0.5), "c": np.bool_(True), "d": np.array([[1], [2]]), "e": np.str_("x")}
    (plain,) = plain_rows([row], "data.train")
    assert json.dumps(plain) == '{"a": 3, "b": 0.5, "c": true, "d": [[1], [2]], "e": "x"}'


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (np.datetime64("2024-02-29T12:30:00.5", "ns"), "2024-02-29 12:30:00.500000"),
        (np.array(["2024-02-29"], dtype="datetime64[ns]"), ["2024-02-29 00:00:00"]),
        (np.datetime64("NaT"), None),
        (np.timedelta64(90, "s"), "0:01:30"),
        (decimal.Decimal("NaN"), None),
        (enum.Enum("Kind", {"ONE": "one"}, type=str).ONE, "one"),  # type: ignore[attr-defined]
        (torch.tensor([1.5]), [1.5]),
    ],
    ids=["date", "dates", "no date", "span", "decimal", "enumeration", "tensor"],
)
def test_values_are_what_they_stand_for(value: object, shown: object) -> None:
    assert plain_rows([{"a": value}], "data.train") == [{"a": shown}]


@pytest.mark.parametrize("form", ["numpy", "pandas", "arrow", "torch"])
def test_the_format_of_a_data_set_does_not_matter(form: str) -> None:
    rows = [{"a": "x", "when": datetime.datetime(2024, 2, 29, tzinfo=datetime.UTC), "n": [1, 2]}]
    held = datasets.Dataset.from_list(rows)
    assert plain_rows(held.with_format(form), "data.train") == plain_rows(held, "data.train")


def test_an_index_with_a_name_is_a_column() -> None:
    frame = pd.DataFrame(ROWS)
    assert plain_rows(frame.set_index("source"), "data.train") == ROWS
    assert plain_rows(frame.set_index(["source", "n"]), "data.train") == ROWS
    assert plain_rows(frame[::-1], "data.train") == ROWS[::-1]
    with pytest.raises(DataError, match=r"data\.train has two columns called n; give each a name of its own"):
        plain_rows(frame.set_index("n", drop=False), "data.train")


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (pd.Series(["a"]), r"data.train row 1 is str 'a'; a row is a mapping of columns to values; give a list of"),
        ({"a": [1]}, r"data.train is dict {'a': \[1\]}, no rows; give a list of dicts"),
        (iter([]), r"data.train has no rows; give at least one \(an iterator gives its rows a single time\)"),
        ([circle()], "data.train row 1: it is nested deeper than 64 levels; make it flat"),
        (7, "data.train is int 7, no rows; give a list of dicts, a datasets.Dataset or a pandas frame"),
        ([["a"]], r"data.train row 1 is list \['a'\]; a row is a mapping"),
        ([{"a": 1}, {"a": b"x"}], "data.train row 2: column 'a' holds what is no text, number, date"),
        ([{"a": {1, 2}}], "which has no order; make it a list"),
        ([{"a": float("inf")}], "column 'a' holds inf; a number is finite"),
        ([{1: "a"}], "data.train row 1 has a column 1; the name of a column is a text"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "data.train has two columns called a"),
    ],
    ids=[
        "series",
        "columns",
        "empty",
        "circle",
        "no rows",
        "no mapping",
        "bytes",
        "set",
        "infinity",
        "column",
        "two columns",
    ],
)
def test_what_no_file_could_hold_is_refused(rows: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        plain_rows(rows, "data.train")


def test_a_number_that_python_does_not_write_is_refused() -> None:
    with pytest.raises(DataError, match=r"data\.test row 1 holds a number of thousands of digits; make it a text"):
        as_jsonl([{"a": 10**5000}], "data.test")


def test_half_of_a_character_is_refused() -> None:
    with pytest.raises(DataError, match=r"data\.test row 1 holds half of a character"):
        as_jsonl([{"a": "\ud800"}], "data.test")


def test_numbers_stay_sizes() -> None:
    assert not any(map(are_rows, (64, np.int64(64), None, [50, 200], "train.jsonl", {"path": "x"}, Path("x"))))
    assert all(map(are_rows, (ROWS, [], pd.DataFrame(ROWS), datasets.Dataset.from_list(ROWS), iter(ROWS))))
