"""Kinds of columns: where one holds numbers in a file and texts in another, a prompt's conditions take another way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.core.example import as_text
from harness.data.csv_files import typed

__all__ = ["ColumnKinds"]

KINDS: Mapping[type, str] = {bool: "true or false", int: "numbers", float: "numbers", str: "texts"}


class ColumnKinds:
    """What the columns of the files that were read so far hold."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[str, dict[str, Any]]] = {}

    def differing(self, file: str, rows: Iterable[Mapping[str, Any]]) -> list[str]:
        """Return a sentence for each column that held values of one kind in an earlier file, and of others in this.

        Args:
            file: Its name.
            rows: Of it; of each kind in a column one value is quoted, of texts one that says nothing else.
        """
        kinds: dict[str, dict[str, Any]] = {}
        for row in rows:
            for column, value in row.items():
                if kind := KINDS.get(type(value)):
                    values = kinds.setdefault(column, {})
                    if kind not in values or (kind == "texts" and typed([values[kind]]) != [values[kind]]):
                        values[kind] = value
        sentences = []
        for column, found in kinds.items():
            earlier, before = self._files.setdefault(column, (file, found))
            if "texts" in {*found, *before} and (len(before) == 1 or len(found) == 1) and set(found) != set(before):
                sentences.append(
                    f"column {column!r} holds {_told(before)} in {earlier}, but {_told(found)} in {file}: what a "
                    "prompt asks of its values (if, ==, +) differs between them; write it alike."
                )
        return sentences


def _told(kinds: Mapping[str, Any]) -> str:
    return " and ".join(f"{kind} ({as_text(value)[:20]})" for kind, value in kinds.items())
