"""Rows from memory: a list of dicts, a data set or a table, to the values that a file of rows would have."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date, time, timedelta
from decimal import Decimal
from numbers import Integral
from os import PathLike
from typing import Any
from uuid import UUID

from harness.core.bounded_files import TOO_DEEP
from harness.core.errors import DataError
from harness.core.example import as_text
from harness.data.readers import Row

__all__ = ["are_rows", "as_jsonl", "each_row", "plain_rows"]

SHOWN_AS_TEXT = (date, time, timedelta, Decimal, UUID)
"""What JSON has no value for, and a prompt shows as a text anyway; `datetime` and pandas' stamps are dates."""

FORMS = "give a list of dicts, a datasets.Dataset or a pandas frame"


def are_rows(value: object) -> bool:
    """Return whether a value of ``data.train`` is rows, and not how many of them are used.

    >>> are_rows([{"source": "a"}]), are_rows(64), are_rows([50, 200]), are_rows("train.jsonl")
    (True, False, False, False)
    """
    if value is None or isinstance(value, str | bytes | Integral | float | Mapping | PathLike):
        return False
    sizes = isinstance(value, list | tuple) and value and all(isinstance(item, Integral) for item in value)
    return not sizes


def plain_rows(rows: Any, name: str) -> list[Row]:
    """Return rows as a reader would give them: NaN is ``None``, a number of numpy is Python's, a date is its text.

    Args:
        rows: A pandas frame (an index with a name is a column), a `datasets.Dataset`, or anything else that yields
            mappings.
        name: How messages call them: ``data.train``.

    Raises:
        DataError: They are no rows, there is none, or a value is none that a file of rows can hold.

    >>> plain_rows([{"source": "a", "score": float("nan")}], "data.train")
    [{'source': 'a', 'score': None}]
    """
    made = []
    for number, row in enumerate(each_row(rows, name), start=1):
        place = f"{name} row {number}"
        if not isinstance(row, Mapping):
            raise DataError(f"{place} is {_shown(row)}; a row is a mapping of columns to values; {FORMS}")
        try:
            made.append({_column(key, place): _plain(value, f"{place}: column {key!r}") for key, value in row.items()})
        except RecursionError:
            raise DataError(f"{place}: {TOO_DEEP}; make it flat") from None
    if not made:
        raise DataError(f"{name} has no rows; give at least one (an iterator gives its rows a single time)")
    return made


def as_jsonl(rows: Sequence[Row], name: str) -> str:
    """Return rows as the text of a jsonl file.

    Raises:
        DataError: A text or a number is none that can be written.
    """
    lines = []
    for number, row in enumerate(rows, start=1):
        try:
            line = json.dumps(row, ensure_ascii=False, allow_nan=False)
            line.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"{name} row {number} holds half of a character: {error}; write it whole") from None
        except ValueError:  # what remains: Python writes no longer ones
            raise DataError(f"{name} row {number} holds a number of thousands of digits; make it a text") from None
        lines.append(f"{line}\n")
    return "".join(lines)


def each_row(rows: Any, name: str) -> Iterable[Any]:
    """Return what a table, a data set or a collection holds, row by row.

    Raises:
        DataError: It holds none, or two columns of a table have one name.
    """
    if hasattr(rows, "iloc") and hasattr(rows, "columns"):  # a pandas frame, which yields the names of its columns
        named = [level for level in rows.index.names if level is not None]
        columns = [*named, *rows.columns]
        if twice := sorted({str(column) for column in columns if columns.count(column) > 1}):
            raise DataError(f"{name} has two columns called {', '.join(twice)}; give each a name of its own")
        records: list[Any] = (rows.reset_index(named) if named else rows).to_dict("records")
        return records
    if isinstance(rows, Mapping) or not isinstance(rows, Iterable):
        raise DataError(f"{name} is {_shown(rows)}, no rows; {FORMS}")
    # A data set yields what its format makes of a row, down to frames of one.
    return rows.with_format(None) if hasattr(rows, "with_format") else rows


def _column(key: object, place: str) -> str:
    if not isinstance(key, str):
        raise DataError(f"{place} has a column {key!r}; the name of a column is a text, so rename it")
    return key


def _plain(value: Any, place: str) -> Any:
    if value is None or isinstance(value, bool | str):
        return str.__str__(value) if isinstance(value, str) else value  # of an enumeration, not its member's name
    if _is_date_of_numpy(value):  # finer than microseconds it would be a number
        return _plain(value.astype(f"{value.dtype.kind}8[us]").tolist(), place)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, float):
        return _number(float(value), place)
    if isinstance(value, Mapping):
        return {_column(key, place): _plain(inner, place) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, place) for inner in value]
    if _is_missing(value):
        return None
    if isinstance(value, SHOWN_AS_TEXT):
        return as_text(value)
    if hasattr(value, "tolist"):  # a scalar or an array of numpy
        return _plain(value.tolist(), place)
    kind = "a set, which has no order; make it a list" if isinstance(value, Set) else f"{_shown(value)}; leave it out"
    raise DataError(f"{place} holds what is no text, number, date, list or mapping: {kind}")


def _is_date_of_numpy(value: Any) -> bool:
    """Return whether a value is a date or a span of time of numpy, or an array of such."""
    return getattr(getattr(value, "dtype", None), "kind", None) in ("m", "M")


def _number(value: float, place: str) -> float | None:
    if math.isinf(value):
        raise DataError(f"{place} holds {value}; a number is finite, and what is missing is None")
    return None if math.isnan(value) else value


def _is_missing(value: object) -> bool:
    """Return whether a value is one of pandas, or a decimal, for what is not there."""
    return type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, Decimal) and value.is_nan())


def _shown(value: object) -> str:
    text = repr(value)
    return f"{type(value).__name__} {text[:40]}{'...' if len(text) > 40 else ''}"
