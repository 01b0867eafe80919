"""Databases that are asked for and made by several processes at once."""

from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from harness.core.database_urls import reach
from harness.core.errors import StoreError


def test_asking_never_makes_or_removes_a_database_that_another_process_makes(tmp_path: Path) -> None:
    file, fresh = tmp_path / "store.db", tmp_path / "store.db.new"
    with ThreadPoolExecutor(1) as other:
        for _ in range(300):
            with closing(sqlite3.connect(fresh)) as connection:
                connection.execute("create table runs (name)")
            made = other.submit(fresh.replace, file)
            reach("store", f"sqlite:///{file}", remedy="none")
            made.result()
            assert file.exists()
            assert file.stat().st_size
            file.unlink()


def test_asking_for_a_database_that_is_not_there_leaves_nothing_behind(tmp_path: Path) -> None:
    reach("store", f"sqlite:///{tmp_path / 'store.db'}", remedy="none")
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    file.write_text("these words are not a database, and there are enough of them")
    with pytest.raises(StoreError, match=r"store 'sqlite:.*store\.db' cannot be reached: .+; mend it"):
        reach("store", f"sqlite:///{file}", remedy="mend it")
    assert file.read_text().startswith("these words")


def test_a_database_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be reached: folder .+nowhere. does not exist; make it"):
        reach("store", f"sqlite:///{tmp_path / 'nowhere' / 'store.db'}", remedy="make it")
    assert not list(tmp_path.iterdir())
