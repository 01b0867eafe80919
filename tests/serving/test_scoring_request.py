"""Requests as rows: what MLflow's own server reads from the same body, and a sentence for everything else."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow.models.utils import _enforce_schema
from mlflow.pyfunc.scoring_server import infer_and_parse_data, parse_csv_input
from mlflow.types import ColSpec, Schema

from harness.core.errors import DataError
from harness.serving.scoring_request import MOST_COLUMNS, MOST_ROWS, TooManyRows, read_request, see_content_type

JSON, CSV = "application/json", "text/csv"
ONE, TWO = ["source"], ["sender", "source"]
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(lambda text: text.strip())


def read(asked: Any, fields: Sequence[str] = ONE) -> list[dict[str, Any]]:
    rows = read_request(json.dumps(asked).encode(), JSON, fields).rows
    return [{name: row[name] for name in fields} for row in rows]


def mlflow_reads(asked: dict[str, Any], fields: Sequence[str]) -> list[dict[str, Any]]:
    schema = Schema([ColSpec("string", name) for name in fields])
    table: pd.DataFrame = _enforce_schema(infer_and_parse_data(dict(asked), schema), schema)
    rows: list[dict[str, Any]] = table.to_dict("records")
    return rows


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4), more=st.booleans())
def test_all_forms_are_read_as_mlflow_reads_them(rows: list[tuple[str, str]], more: bool) -> None:
    names = [*TWO, *(["unused"] if more else [])]
    values = [[*row, *([1] if more else [])] for row in rows]
    records = [dict(zip(names, row, strict=True)) for row in values]
    columns = {name: [row[name] for row in records] for name in names}
    for asked in (
        {"dataframe_records": records},
        {"dataframe_split": {"columns": names, "data": values}},
        {"dataframe_split": {"index": list(range(len(rows))), "columns": names, "data": values}},
        {"inputs": columns},
        {"inputs": records},
        {"instances": columns},
        {"instances": records},
    ):
        wanted = [dict(zip(TWO, row, strict=True)) for row in rows]
        assert read(asked, TWO) == mlflow_reads(asked, TWO) == wanted
    texts = [text for text, _ in rows]
    for asked in (
        {"inputs": texts},
        {"instances": texts},
        {"inputs": {"source": texts}},
        {"inputs": {"source": texts[0]}},
        {"dataframe_split": {"columns": ["source"], "data": texts}},
    ):
        assert read(asked) == mlflow_reads(asked, ONE)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.tuples(TEXT.map(lambda t: f"a{t}"), TEXT.map(lambda t: f"b{t}")), min_size=1, max_size=4))
def test_csv_is_read_as_mlflow_reads_it(rows: list[tuple[str, str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file).writerows([TWO, *rows])
    schema = Schema([ColSpec("string", name) for name in TWO])
    found = read_request(file.getvalue().encode(), CSV, TWO)
    assert [dict(row) for row in found.rows] == parse_csv_input(io.StringIO(file.getvalue()), schema).to_dict("records")
    assert not found.skip


def test_an_empty_value_of_csv_is_none() -> None:
    assert [*read_request(b"source,x\na,\n", CSV, ONE).rows] == [{"source": "a", "x": None}]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "no valid JSON"),
        (b"{", "no valid JSON"),
        (b"\xff\xfe{}", "no UTF-8"),
        (b"\xef\xbb\xbf{}", "no valid JSON"),
        (b"[" * 100_000, "no valid JSON"),
        (b'{"inputs": ' + b'{"a":' * 50_000, "no valid JSON"),
        (b'{"inputs": ' + b"9" * 5_000 + b"}", "no valid JSON"),
        (b"[1]", "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b"NaN", "must be a JSON object"),
        (b"{}", "has 0"),
        (b'{"dataframe_record": []}', "did you mean 'dataframe_records'"),
        (b'{"inputs": ["a"], "instances": ["a"]}', "has 2"),
        (b'{"inputs": NaN}', "must be a list"),
        (b'{"inputs": "a"}', "must be a list"),
        (b'{"inputs": {"source": ["a"], "x": ["a", "b"]}}', "hold 1, 2 values"),
        (b'{"inputs": [{"source": "a"}, 3]}', None),
        (b'{"dataframe_records": {"source": "a"}}', "must be a list of rows"),
        (b'{"dataframe_records": ["a"]}', "row 1 is 'a'"),
        (b'{"dataframe_split": []}', "must be {"),
        (b'{"dataframe_split": {"data": [["a"]]}}', "must be {"),
        (b'{"dataframe_split": {"columns": [1], "data": [["a"]]}}', "must be {"),
        (b'{"dataframe_split": {"columns": ["a", "a"], "data": []}}', "distinct"),
        (b'{"dataframe_split": {"columns": ["a", "b"], "data": [["a", "b"], ["a"]]}}', "row 2"),
        (b'{"inputs": ["a"], "params": []}', "params is 'list'"),
        (b'{"inputs": ["a"], "params": {"onerror": "skip"}}', "did you mean 'on_error'"),
        (b'{"inputs": ["a"], "params": {"on_error": ["skip"]}}', "must be stop or skip"),
        (b'{"inputs": ["a"], "params": {"on_error": "\\u001b[31m"}}', r"'\\x1b[31m'"),
    ],
)
def test_each_is_refused_with_a_sentence(body: bytes, says: str | None) -> None:
    if says is None:  # a list of values, of which some are no text: the model says which
        assert len(read_request(body, JSON, ONE).rows) == 2
        return
    with pytest.raises(DataError) as refused:
        read_request(body, JSON, ONE)
    assert says.replace("\\\\", "\\") in str(refused.value)
    assert len(str(refused.value)) < 400


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b'source\n"a\n', "line 2"),
        (b"source,x\na\n", "row 1 holds 1 values for 2 columns"),
        (b"source,source\na,b\n", "distinct"),
        (b"source\n" + b"a" * 200_000, None),
        (b"," * 200_000, "columns"),
        (b"source\na\x00\n", None),
    ],
)
def test_csv_that_is_broken_is_refused(body: bytes, says: str | None) -> None:
    if says is None:
        assert len(read_request(body, CSV, ONE).rows) == 1
        return
    with pytest.raises(DataError, match=says):
        read_request(body, CSV, ONE)


@pytest.mark.parametrize("form", ["dataframe_records", "inputs", "instances", "split", "columns", "texts", "csv"])
def test_more_rows_than_one_request_may_hold_are_refused_with_the_remedy(form: str) -> None:
    for count in (MOST_ROWS, MOST_ROWS + 1, 20_000):
        texts = ["a"] * count
        asked = {
            "split": {"dataframe_split": {"columns": ["source"], "data": [[text] for text in texts]}},
            "columns": {"inputs": {"source": texts}},
            "texts": {"instances": texts},
        }.get(form) or {form: [{"source": text} for text in texts]}
        body, kind = (b"source\n" + b"a\n" * count, CSV) if form == "csv" else (json.dumps(asked).encode(), JSON)
        if count <= MOST_ROWS:
            assert len(read_request(body, kind, ONE).rows) == count
            continue
        with pytest.raises(TooManyRows, match="more than 1,000 rows.*harness predict"):
            read_request(body, kind, ONE)


def test_more_columns_than_any_prompt_has_are_refused() -> None:
    names = [f"c{number}" for number in range(MOST_COLUMNS + 1)]
    row = dict.fromkeys(names, "a")
    for asked in ({"dataframe_records": [row]}, {"inputs": row}, {"dataframe_split": {"columns": names, "data": []}}):
        with pytest.raises(DataError, match="has 101 columns"):
            read(asked)


@pytest.mark.parametrize("header", ["application/json", "Application/JSON; charset=UTF-8", 'text/csv;charset="utf-8"'])
def test_kinds_of_bodies_that_are_read(header: str) -> None:
    assert see_content_type(header) in (JSON, CSV)


@pytest.mark.parametrize(
    "header",
    [None, "", "text/plain", "application/json; charset=latin-1", "application/json; x=y", "a" * 500, ";;", "\x1b[31m"],
)
def test_kinds_of_bodies_that_are_not(header: str | None) -> None:
    with pytest.raises(DataError, match=r"Content-Type .*; it must be application/json or text/csv") as refused:
        see_content_type(header)
    assert str(refused.value).isprintable()


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda part: (
            st.lists(part, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["inputs", "instances", "dataframe_split", "dataframe_records", "columns", "data", "params"]
                )
                | st.text(max_size=3),
                part,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_rows_or_a_sentence(asked: Any) -> None:
    try:
        found = read_request(json.dumps(asked).encode(), JSON, ONE)
    except DataError:
        return
    assert all(isinstance(row, dict) for row in found.rows)
