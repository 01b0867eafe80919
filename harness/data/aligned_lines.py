"""Line-aligned files: of ``train.en`` and ``train.fr`` the lines of one number are a row, with columns ``en``, ``fr``.

A line ends at a newline alone: other marks that Unicode counts as ends of lines stand within one.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from harness.core.errors import DataError
from harness.data.text_files import open_text

__all__ = ["aligned_at", "aligned_files", "column_of", "read_aligned"]

FORMATS = ("jsonl", "json", "csv", "tsv", "parquet", "arrow")
"""Endings of files of rows, none of which is a column's name."""

OTHERS = re.compile(
    "bak|bin|bpe|bz2|cfg|docx?|gz|html|idx|ini|ipynb|lock|log|md|model|np[yz]|ods|orig|pdf|pickle|pkl|pt|py|sgm|sh|swp|tar|"
    "tgz|tmp|toml|vocab|xlsx?|xml|xz|ya?ml|zip",
    re.IGNORECASE,
)
"""Endings of what else may lie beside them."""

COLUMN = re.compile(r"[A-Za-z][\w-]{0,39}")

LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z]{2,4})?|source|target")
"""What a column may be called where ``.txt`` stands behind it: ``train.en.txt``."""

SHOWN = 30
"""Characters of a line in a message."""


def column_of(path: Path) -> str | None:
    """Return the column that a file's lines would be, ``None`` where it is no such file.

    >>> [column_of(Path(name)) for name in ("train.en", "train.en-fr.fr.gz", "dev.de.txt", "train.txt", "train.csv")]
    ['en', 'fr', 'de', None, None]
    """
    parts = path.name.removesuffix(".gz").split(".")
    is_text = parts[-1].lower() == "txt"
    if len(parts) < 2 + is_text:
        return None
    name = parts[-1 - is_text]
    if is_text:
        return name if LANGUAGE.fullmatch(name) else None
    is_other = name.lower() in FORMATS or OTHERS.fullmatch(name)
    return name if COLUMN.fullmatch(name) and not is_other else None


def _base(path: Path) -> str:
    """Return what the files of one set have in common in their names."""
    column = column_of(path)
    return path.name.partition(f".{column}.")[0] if f".{column}." in path.name else path.name.rpartition(".")[0]


def aligned_files(paths: Iterable[Path]) -> dict[str, tuple[Path, ...]]:
    """Return the sets of line-aligned files among some of a folder, by what their names have in common."""
    sets: dict[str, dict[str, Path]] = {}
    for path in sorted(paths):
        if not path.name.startswith(".") and path.is_file() and (column := column_of(path)) is not None:
            sets.setdefault(_base(path), {}).setdefault(column, path)
    return {base: tuple(columns.values()) for base, columns in sets.items() if len(columns) > 1}


def aligned_at(base: Path) -> tuple[Path, ...]:
    """Return the set of files whose names begin alike, none where there is no such set: ``corpus`` of ``corpus.en``."""
    return aligned_files(base.parent.glob("*")).get(base.name, ()) if base.parent.is_dir() else ()


def read_aligned(paths: Sequence[Path], encoding: str | None = None) -> tuple[list[dict[str, Any]], list[str]]:
    """Return a row for each line that the files have, and how they were read where a study does not say it.

    Lines that are empty in all of them are no rows. What is empty in some is an empty text there.

    Args:
        paths: One a column.
        encoding: Of all of them; ``None``: found.

    Raises:
        OSError: One cannot be read.
        DataError: They differ in the number of their lines.
    """
    texts = [open_text(path, encoding) for path in paths]
    lines = {path: [_bare(line) for _, line in text.lines] for path, text in zip(paths, texts, strict=True)}
    _refuse_unequal(lines)
    columns = [str(column_of(path)) for path in paths]
    every = list(zip(*lines.values(), strict=True))
    rows = [dict(zip(columns, parts, strict=True)) for parts in every if any(part.strip() for part in parts)]
    names = ", ".join(path.name for path in paths)
    empty = f"{names}: lines that are empty in each are left out: {len(every) - len(rows)}."
    notes = [f"{names} are read side by side: a row a line, with the columns {', '.join(columns)}."]
    return rows, [*filter(None, (text.note for text in texts)), *notes, *([empty] if len(rows) < len(every) else [])]


def _bare(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


def _refuse_unequal(lines: Mapping[Path, Sequence[str]]) -> None:
    counts = {path: len(part) for path, part in lines.items()}
    first, *others = counts
    other = next((path for path in others if counts[path] != counts[first]), None)
    if other is None:
        return
    number = _parting([*map(len, lines[first])], [*map(len, lines[other])]) + 1
    shown = " and ".join(f"{path.name} has {_shown(lines[path], number)}" for path in (first, other))
    raise DataError(
        f"{first.parent}: {first.name} has {counts[first]:,} lines, but {other.name} has {counts[other]:,}; line n of "
        f"one must belong to line n of the other. By their lengths they part at line {number:,}, where {shown}; "
        "correct the files there"
    )


def _shown(lines: Sequence[str], number: int) -> str:
    if number > len(lines):
        return "no line"
    line = lines[number - 1]
    return f"{line[:SHOWN]!r}{'...' if len(line) > SHOWN else ''}" if line else "an empty line"


def _parting(some: Sequence[int], others: Sequence[int]) -> int:
    """Return after how many lines two files part most likely, by the lengths of their lines.

    Lines that belong together are about as long as each other (Gale and Church 1993). Up to there line n goes with line
    n, behind it with the line as much further on as one file is longer.
    """
    long, short = sorted((some, others), key=len, reverse=True)
    shift = len(long) - len(short)
    before = [0.0, *accumulate(_unlike(a, b) for a, b in zip(long, short, strict=False))]
    behind = [0.0, *accumulate(_unlike(a, b) for a, b in zip(long[shift:], short, strict=True))]
    costs = [start + behind[-1] - end for start, end in zip(before, behind, strict=True)]
    return min(reversed(range(len(costs))), key=costs.__getitem__)  # where nothing shows, at the end of the shorter one


def _unlike(a: int, b: int) -> float:
    return abs(math.log((a + 1) / (b + 1)))
