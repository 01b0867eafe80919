"""What a machine refuses, by errors that this machine really raises, as such and wrapped as libraries do."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import requests
from mlflow.exceptions import MlflowException
from safetensors.numpy import save_file
from sqlalchemy import create_engine, text

from harness.core.bounded_files import OutOfBounds, read_bytes
from harness.core.errors import UserError
from harness.core.failures import CAUSES, explained, is_out_of_memory
from tests.support.full_files import files_end_at


def full(_: Path) -> None:
    with Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"x")


def too_large(folder: Path) -> None:
    with files_end_at(4096):
        (folder / "large").write_bytes(bytes(10_000))


def too_many(folder: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(folder, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, hard))
    try:
        (folder / "one").open()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def locked(folder: Path) -> None:
    file = folder / "store.db"
    with closing(sqlite3.connect(file, isolation_level=None)) as owner:
        owner.execute("begin exclusive")
        engine = create_engine(f"sqlite:///{file}", connect_args={"timeout": 0})
        try:
            with engine.connect() as connection:
                connection.execute(text("create table runs (name)"))
        finally:
            engine.dispose()


def no_database(folder: Path) -> None:
    (folder / "store.db").write_text("these words are not a database, and there are enough of them")
    with closing(sqlite3.connect(folder / "store.db")) as connection:
        connection.execute("select * from sqlite_master")


def unopened(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "nowhere" / "store.db")):
        pass


def gone(folder: Path) -> None:
    pytest.importorskip("psycopg2")
    create_engine("postgresql+psycopg2://mlflow:secret@127.0.0.1:1/postgres").connect()


def unheard(folder: Path) -> None:
    requests.get("http://127.0.0.1:1/api", timeout=2)


def rust(folder: Path) -> None:
    save_file({}, folder / "nowhere" / "model.safetensors")


MEMBERS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "full disk": (full, ("no space is left there", "make room")),
    "limit of file size": (too_large, ("no file may grow that large", "ulimit -f")),
    "open files": (too_many, ("too many files are open", "ulimit -n", "one")),
    "file for a folder": (lambda folder: (folder / "a" / "b").mkdir(), ("a file stands where a folder belongs", "/a")),
    "file for a folder itself": (lambda folder: (folder / "a").mkdir(), ("a file stands where", "/a", "move it away")),
    "folder for a file": (lambda folder: folder.write_text(""), ("a folder stands where a file belongs", "move it")),
    "long name": (lambda folder: (folder / ("x" * 300)).write_text(""), ("the name is too long", "shorten it")),
    "gone": (lambda folder: (folder / "none").read_text(), ("it is not there", "none")),
    "locked": (locked, ("store.db", "another process has locked it for too long", "wait for that one, or end it")),
    "no database": (no_database, ("it is damaged", "put a copy back")),
    "unopened": (unopened, ("it cannot be opened", "its folder is there")),
    "database gone": (gone, ("127.0.0.1:1/postgres", "it cannot be used", "refused", "see that it answers")),
    "server gone": (unheard, ("http://127.0.0.1:1/api does not answer", "try again when it does")),
    "in Rust": (rust, ("it is not there",)),
}


def raised_by(action: Callable[[], object]) -> Exception:
    try:
        action()
    except Exception as error:
        return error
    raise AssertionError


@pytest.mark.parametrize("name", list(MEMBERS))
def test_an_error_of_the_machine_is_one_sentence(name: str, tmp_path: Path) -> None:
    fails, words = MEMBERS[name]
    (tmp_path / "a").write_text("in the way")
    bare = raised_by(lambda: fails(tmp_path))
    wrapped = MlflowException(str(bare))
    wrapped.__cause__ = bare
    for error in (bare, wrapped):
        told = explained(error)
        assert isinstance(told, UserError)
        assert "\n" not in str(told)
        assert all(word in str(told) for word in words), told
        assert "secret" not in str(told)


@pytest.mark.parametrize("number", list(CAUSES))
def test_a_number_that_only_a_text_quotes_is_read(number: int) -> None:
    for said in (f"[Errno {number}] {os.strerror(number)}: '/some/file'", f"IO error: it (os error {number})"):
        told = str(explained(RuntimeError(said)))
        assert CAUSES[number][0] in told
        assert CAUSES[number][1] in told
        assert ("/some/file" in told) == ("/some/file" in said)


def test_a_full_disk_without_a_path_is_named_by_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path) in str(explained(OSError(errno.ENOSPC, "No space left on device")))


def test_a_fault_in_the_code_stays_one() -> None:
    assert explained(KeyError("name")) is None
    assert explained(RuntimeError("shapes do not fit")) is None
    assert explained(sqlite3.IntegrityError("UNIQUE constraint failed")) is None
    fault = KeyError("name")
    fault.__context__ = OSError(errno.ENOSPC, "No space left on device")  # it only happened before
    assert explained(fault) is None


@pytest.mark.parametrize(
    ("error", "runs_out"),
    [
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), True),
        (OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_memory_that_runs_out_is_known(error: BaseException, *, runs_out: bool) -> None:
    assert is_out_of_memory(error) == runs_out
    assert (explained(error) is not None) == runs_out


def test_what_is_no_regular_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutOfBounds) as refused:
        read_bytes(tmp_path / "pipe")
    told = explained(refused.value)
    assert isinstance(told, UserError)
    assert f"{tmp_path}/pipe: it is a pipe" in str(told)


def test_a_link_to_itself_is_the_user_s_to_mend(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(OSError, match="symbolic links") as refused:
        (tmp_path / "link").read_bytes()
    assert isinstance(explained(refused.value), UserError)
