"""Files that are written whole or not at all, and a database that is made where another one was deleted."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from unittest import mock

import pytest

from harness.core.database_urls import create
from harness.core.whole_files import file_digests, write_whole


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "made" / "file.json"
    write_whole(file, "old")
    with mock.patch.object(Path, "replace", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        write_whole(file, "new" * 100)
    assert file.read_text() == "old"
    assert [path.name for path in file.parent.iterdir()] == ["file.json"]


def test_a_draft_that_a_kill_left_goes_with_the_next_write(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    left, held = (tmp_path / f".file [1].json.{pid}.draft" for pid in (dead.pid, os.getppid()))
    others = [tmp_path / name for name in (".file [1].json.swp", f".file 1.json.{dead.pid}.draft", ".file [1].json.1")]
    for file in (left, held, *others):
        file.touch()
    write_whole(tmp_path / "file [1].json", "new")
    assert {*tmp_path.iterdir()} == {held, *others, tmp_path / "file [1].json"}


def test_digests_know_files_by_their_content(tmp_path: Path) -> None:
    for name in ("a", "b", "below/c", "note"):
        write_whole(tmp_path / name, name[0])
    before = file_digests(tmp_path, apart_from="note")
    assert list(before) == ["a", "b", "below/c"]
    write_whole(tmp_path / "b", b"\xff")
    after = file_digests(tmp_path, apart_from="note")
    assert {name for name in before if before[name] != after[name]} == {"b"}


def test_the_log_of_a_deleted_database_is_not_written_into_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "store.db"

    def make(uri: str) -> None:
        with closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as made:
            made.execute("create table t (x)")
            made.commit()

    create(f"sqlite:///{file}", make)
    open_still = sqlite3.connect(file)
    open_still.execute("insert into t values (1)")
    open_still.commit()
    assert file.with_name("store.db-wal").stat().st_size
    file.unlink()
    create(f"sqlite:///{file}", make)
    with closing(sqlite3.connect(file)) as again:
        assert again.execute("select count(*) from t").fetchone() == (0,)
    open_still.close()
