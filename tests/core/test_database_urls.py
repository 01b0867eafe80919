"""Databases that are asked for and made by several processes at once."""

from __future__ import annotations

import socket
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import make_url

from harness.core import database_urls
from harness.core.database_urls import PATIENCE, reach, sqlite_file, with_driver
from harness.core.errors import StoreError


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return ``only(*modules)``: of all drivers, these are installed."""
    return lambda *modules: monkeypatch.setattr(database_urls, "find_spec", lambda name: name in modules)


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


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2"])
def test_the_driver_that_is_installed_is_taken(scheme: str, only: Callable[..., None]) -> None:
    only("psycopg2")
    assert with_driver(f"{scheme}://me:word@there:5432/runs?a=b") == "postgresql+psycopg2://me:word@there:5432/runs?a=b"


def test_any_driver_will_do_where_none_is_named(only: Callable[..., None]) -> None:
    only("psycopg", "MySQLdb")
    assert with_driver("postgresql://there/runs") == "postgresql+psycopg://there/runs"
    assert with_driver("mysql://there/runs") == "mysql+mysqldb://there/runs"


@pytest.mark.parametrize(
    ("uri", "package"),
    [
        ("postgresql://there/runs", "psycopg2-binary"),
        ("postgres://there/runs", "psycopg2-binary"),
        ("postgresql+psycopg://there/runs", r"'psycopg\[binary\]'"),
        ("mysql://there/runs", "pymysql"),
        ("mysql+mysqldb://there/runs", "mysqlclient"),
        ("mssql://there/runs", "pyodbc"),
    ],
)
def test_a_driver_that_is_missing_is_said_with_what_installs_it(
    uri: str, package: str, only: Callable[..., None]
) -> None:
    only()
    with pytest.raises(StoreError, match=f"pip install {package}$"):
        reach("store", uri, remedy="none")


@pytest.mark.parametrize(
    "uri", ["sqlite:///runs.db", "http://there/postgresql://", "file:runs", "runs", "databricks", "oracle://there/runs"]
)
def test_other_addresses_stay_as_they_are(uri: str) -> None:
    assert with_driver(uri) == uri


@pytest.mark.parametrize(
    ("uri", "said"), [("postgresq://there/runs", "did you mean 'postgresql'"), ("foo://x", "sqlite")]
)
def test_a_kind_of_database_that_there_is_not_is_named(uri: str, said: str) -> None:
    with pytest.raises(StoreError, match=f"no kind of database; .*{said}"):
        reach("store", uri, remedy="none")


def test_a_database_server_that_never_answers_is_given_up() -> None:
    """It takes connections and says nothing, as a firewall or a hung server does."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.perf_counter()
        with pytest.raises(StoreError, match="cannot be reached: .*timeout"):
            reach("store", f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/runs", remedy="none")
        assert time.perf_counter() - start < 3 * PATIENCE


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///a%20b.db",
        "sqlite:////x/y.db?timeout=3",
        "sqlite+pysqlite:///a.db",
        "sqlite:///a#b.db",
        "sqlite:////ö/y",
    ],
)
def test_the_file_of_an_address_is_the_one_that_sqlalchemy_opens(uri: str) -> None:
    assert str(sqlite_file(uri)) == make_url(uri).database


def test_a_database_in_memory_has_no_file() -> None:
    assert {sqlite_file(uri) for uri in ("sqlite://", "sqlite:///", "sqlite:///:memory:", "mysql:///x")} == {None}
