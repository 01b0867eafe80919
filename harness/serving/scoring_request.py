"""Requests as MLflow's scoring server reads them: four forms of JSON, or CSV, to rows of columns.

``dataframe_split``, ``dataframe_records``, ``inputs`` and ``instances``; beside them ``params``.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from email.message import Message
from itertools import islice
from typing import Any, NamedTuple

from harness.core.bounded_files import ROW
from harness.core.closest_match import closest
from harness.core.errors import DataError
from harness.data.csv_files import typed

__all__ = ["MOST_ROWS", "ScoringRequest", "TooManyRows", "read_request", "see_content_type"]

MOST_ROWS = 1_000
MOST_COLUMNS = 100

JSON, CSV = "application/json", "text/csv"

Row = Mapping[str, Any]


class TooManyRows(DataError):
    """More rows than one request may hold."""


class ScoringRequest(NamedTuple):
    """What is asked."""

    rows: Sequence[Row]
    skip: bool
    """Whether a malformed row is answered with null, and the others as usual."""
    probabilities: bool = False
    """Whether each answer is the probability of every label."""


def see_content_type(header: str | None) -> str:
    """Return the kind of a body.

    Raises:
        DataError: It is none that is read.
    """
    if header is not None:
        message = Message()
        message["Content-Type"] = header
        kind, parameters = (
            message.get_content_type(),
            {name.lower(): value for name, value in message.get_params([])[1:]},
        )
        charset = parameters.pop("charset", "utf-8").lower()
        if kind in (JSON, CSV) and charset in ("utf-8", "utf8") and not parameters:
            return kind
    said = "is missing" if header is None else f"is {header!r}"
    raise DataError(f"Content-Type {said}; it must be {JSON} or {CSV}, in UTF-8; a file is for harness predict")


def read_request(body: bytes, kind: str, fields: Sequence[str]) -> ScoringRequest:
    """Read a body.

    Args:
        body: What was sent.
        kind: From `see_content_type`.
        fields: The columns that the model reads.

    Raises:
        DataError: It cannot be read; names where, the rule and the remedy.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise DataError(f"the body is no UTF-8: {error}; encode it again") from None
    if kind == CSV:
        return ScoringRequest(_csv(text), skip=False)
    try:
        asked = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the body is no valid JSON: {error or 'nothing is in it'}; see how it was written") from None
    present = [form for form in FORMS if isinstance(asked, dict) and form in asked]
    if len(present) != 1:
        found = (
            closest(str(next(iter(asked), ""))[:40], FORMS) if isinstance(asked, dict) else "known: " + ", ".join(FORMS)
        )
        raise DataError(f"the body must be a JSON object with one form of rows, but has {len(present)}; {found}")
    rows = FORMS[present[0]](asked[present[0]], fields)
    return ScoringRequest(rows, *_options(asked.get("params")))


def _options(options: Any) -> tuple[bool, bool]:
    """Return whether malformed rows are skipped, and whether probabilities are asked for."""
    if options is None:
        return False, False
    if not isinstance(options, dict):
        raise DataError(f'params is {_short(options)}; it must be an object, such as {{"on_error": "skip"}}')
    for name in options:
        if name not in ("on_error", "probabilities"):
            raise DataError(f"parameter {_short(name)} is unknown; {closest(name[:40], ['on_error', 'probabilities'])}")
    asked = options.get("on_error", "stop")
    if asked not in ("stop", "skip"):
        raise DataError(f"parameter on_error is {_short(asked)}; it must be stop or skip")
    stated = options.get("probabilities", False)
    if not isinstance(stated, bool):
        raise DataError(f"parameter probabilities is {_short(stated)}; it must be true or false")
    return bool(asked == "skip"), stated


def _records(rows: Any, fields: Sequence[str]) -> list[Row]:
    if not isinstance(rows, list):
        raise DataError(f"dataframe_records is {_short(rows)}; it must be a list of rows")
    _see_count(len(rows))
    for number, row in enumerate(rows, start=1):
        if not isinstance(row, dict):
            raise DataError(f"row {number} is {_short(row)}; it must be an object with columns")
        _see_columns(len(row))
    return rows


def _split(table: Any, fields: Sequence[str]) -> list[Row]:
    names, rows = (table.get("columns"), table.get("data")) if isinstance(table, dict) else (None, None)
    if not isinstance(names, list) or not isinstance(rows, list) or not all(isinstance(name, str) for name in names):
        raise DataError('dataframe_split must be {"columns": [names], "data": [rows, each a list of values]}')
    _see_count(len(rows))
    _see_distinct(names)
    rows = [row if isinstance(row, list) else [row] for row in rows]  # of one column, the values will do
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise DataError(f"row {number} is {_short(row)}; it must be a list of {len(names)} values, one per column")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _inputs(values: Any, fields: Sequence[str]) -> list[Row]:
    """Read columns of values, one list of values for a model that reads one column, or rows."""
    if isinstance(values, dict):
        _see_columns(len(values))
        columns = {name: column if isinstance(column, list) else [column] for name, column in values.items()}
        lengths = {len(column) for column in columns.values()}
        if len(lengths) > 1:
            raise DataError(
                f"columns hold {', '.join(map(str, sorted(lengths)[:5]))} values; they must be as many in each"
            )
        _see_count(next(iter(lengths), 0))
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    if not isinstance(values, list):
        raise DataError(f"inputs or instances are {_short(values)}; they must be a list of rows, or columns of values")
    if values and all(isinstance(value, dict) for value in values):
        return _records(values, fields)
    _see_count(len(values))
    if len(fields) != 1:
        raise DataError(f"rows must name their columns ({', '.join(fields)}), as dataframe_records do")
    return [{fields[0]: value} for value in values]


FORMS: dict[str, Callable[[Any, Sequence[str]], list[Row]]] = {
    "dataframe_records": _records,
    "dataframe_split": _split,
    "inputs": _inputs,
    "instances": _inputs,
}


def _csv(text: str) -> list[Row]:
    csv.field_size_limit(ROW)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = next(reader, [])
        _see_distinct(names)
        lines = list(islice((line for line in reader if line), MOST_ROWS + 1))
    except csv.Error as error:
        raise DataError(f"line {reader.line_num} of the CSV cannot be read: {error}; check the quotes") from None
    _see_count(len(lines))
    for number, line in enumerate(lines, start=1):
        if len(line) != len(names):
            raise DataError(f"row {number} holds {len(line)} values for {len(names)} columns; quote those with commas")
    columns = [typed(column) for column in zip(*lines, strict=True)]  # as in a file
    return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


def _see_count(count: int) -> None:
    if count > MOST_ROWS:
        raise TooManyRows(
            f"the request holds more than {MOST_ROWS:,} rows, which is the most at a time; send them in several "
            "requests, or a file to harness predict"
        )


def _see_columns(count: int) -> None:
    if count > MOST_COLUMNS:
        raise DataError(f"a row has {count:,} columns; the most are {MOST_COLUMNS}: send those that the prompt uses")


def _see_distinct(names: Sequence[str]) -> None:
    _see_columns(len(names))
    if len(set(names)) < len(names):
        raise DataError(f"columns must have distinct names, but are {', '.join(names)[:80]!r}")


def _short(value: Any) -> str:
    return ascii(value if isinstance(value, str | int | float | None) else type(value).__name__)[:80]
