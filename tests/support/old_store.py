"""A store that an early commit wrote, unpacked: two studies, one of them killed in its final runs.

`tools/golden/make_old_store.py` made the archive. What that commit itself said of the store is in ``expected/``.
"""

from __future__ import annotations

import sqlite3
import tarfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

__all__ = ["AS_WRITTEN", "PLACE", "as_it_was", "moved", "rewrite", "unpacked"]

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "old_store.tar.xz"

PLACE = "/old-store"
"""Where the archive's files say that they lie: stores hold absolute paths."""

AS_WRITTEN = "harness.json"
"""The settings of a stored model: their digest stands in the answers, and the base's old folder stands in them."""

BINARY = {".db", ".png", ".safetensors"}
"""Files that hold no paths, or not as text."""


def unpacked(folder: Path) -> Path:
    """Unpack the archive into a folder, as if it had been written there, and return the folder."""
    as_it_was(folder)
    moved(folder, {PLACE: str(folder)})
    return folder


def as_it_was(folder: Path) -> None:
    """Unpack the archive into a folder, with the paths that it was written at."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11 has it from 3.11.4 on
        archive.extractall(folder)


def moved(folder: Path, names: Mapping[str, str]) -> None:
    """Replace texts, such as the path that a store was written at, in a folder's databases and files.

    Settings of models stay `AS_WRITTEN`, as they do where a user moves a store.
    """
    for file in sorted(folder.rglob("*")):
        if file.suffix == ".db":
            _rewrite_database(file, names)
        elif file.is_file() and file.name != AS_WRITTEN and file.suffix not in BINARY:
            rewrite(file, names)


def rewrite(file: Path, names: Mapping[str, str]) -> None:
    """Replace texts in a file."""
    before = content = file.read_bytes()
    for old, new in names.items():
        content = content.replace(old.encode(), new.encode())
    if content != before:
        file.write_bytes(content)


def _rewrite_database(file: Path, names: Mapping[str, str]) -> None:
    """Replace texts in every column, and leave no log and no free page that still has them."""
    with closing(sqlite3.connect(file)) as store:
        for table, column in _text_columns(store):
            for old, new in names.items():
                change = f'update "{table}" set "{column}" = replace("{column}", ?, ?) where instr("{column}", ?)'
                store.execute(change, (old, new, old))
        store.commit()
        store.execute("pragma wal_checkpoint(truncate)")
        store.execute("vacuum")


def _text_columns(store: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return table and name of every column that may hold text."""
    tables = [name for (name,) in store.execute("select name from sqlite_master where type = 'table'")]
    columns = [
        (table, name, kind) for table in tables for _, name, kind, *_ in store.execute(f"pragma table_info('{table}')")
    ]
    return [(table, name) for table, name, kind in columns if "CHAR" in kind.upper() or "TEXT" in kind.upper()]
