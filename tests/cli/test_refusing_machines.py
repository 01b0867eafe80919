"""A machine that refuses: one sentence with cause and remedy, status 2, and the same command finishes afterwards.

``DISKS=40 pytest -m slow tests/cli/test_refusing_machines.py`` fills more disks.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from harness.study.run_places import PROBE
from tests.support.small_disk import SmallDisk, read_only, small_disk
from tests.support.study_fixture import Done, Place, Places

DISKS = int(os.environ.get("DISKS", "10"))

STUDY = ("run", "study.yaml", "--set", "prompts=[bare]", "--set", "tuning=[none, head]")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Places(tmp_path_factory.mktemp("whole"))()
    place.run(*STUDY[2:])
    return place


@contextmanager
def on_a_small_disk(tmp_path: Path) -> Iterator[tuple[SmallDisk, Place]]:
    with small_disk(tmp_path / "disk") as disk:
        yield disk, Places(disk.folder)()


def ended(process: subprocess.Popen[str]) -> Done:
    out, err = process.communicate(timeout=300)
    return Done(process.returncode, out, err)


def is_told(done: Done, *words: str) -> bool:
    """Whether it ended as it should: a sentence that names these, and no traceback."""
    assert done.status == 2, done.err
    assert "Traceback" not in done.err
    assert all(word in done.err for word in words), done.err
    assert len(done.err.strip().splitlines()) == 1, done.err
    return True


def goes_on(place: Place, whole: Place) -> None:
    place.run(*STUDY[2:])
    place.clean()
    assert place.results() == whole.results()
    assert not list(place.folder.rglob("*.new*"))


def fills(disk: SmallDisk, place: Place, room: int) -> Done:
    """Run the study with so many bytes of room from where it began to write: before that it asks for more."""
    disk.leave(PROBE + room)
    process = place.process(*STUDY)
    while not (place.folder / ".harness").exists() and process.poll() is None:
        time.sleep(0.002)
    with suppress(OSError):  # it has taken more than that already
        disk.leave(room)
    return ended(process)


def needed(place: Place, whole: Place) -> int:
    """Return about how many bytes a run writes."""
    size = lambda folder: sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())  # noqa: E731
    return size(whole.folder) - size(place.folder)


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_full_disk_is_named_and_the_same_command_goes_on(share: float, tmp_path: Path, whole: Place) -> None:
    with on_a_small_disk(tmp_path) as (disk, place):
        done = fills(disk, place, int(share * needed(place, whole)))
        assert is_told(done, str(place.folder), "no space is left", "the same command goes on")
        disk.clear()
        goes_on(place, whole)


@pytest.mark.slow
def test_a_full_disk_is_told_before_a_run_begins(tmp_path: Path, whole: Place) -> None:
    with on_a_small_disk(tmp_path) as (disk, place):
        disk.leave(PROBE // 2)
        assert is_told(place.command(*STUDY), str(place.folder), "no space is left", "the same command goes on")
        assert not (place.folder / ".harness").exists()
        disk.clear()
        goes_on(place, whole)


@pytest.mark.slow
def test_a_disk_that_fills_at_many_moments(tmp_path: Path, whole: Place) -> None:
    for number in range(DISKS):
        with on_a_small_disk(tmp_path / str(number)) as (disk, place):
            done = fills(disk, place, int((number + 0.5) / DISKS * needed(place, whole)))
            if done.status:
                assert is_told(done, "no space is left"), number
            disk.clear()
            goes_on(place, whole)


@pytest.mark.slow
def test_a_full_folder_for_temporary_files_is_named(tmp_path: Path, whole: Place, places: Places) -> None:
    with small_disk(tmp_path / "tmp", mib=1) as disk:
        place = places()
        disk.leave(16 * 4096)
        process = place.process(*STUDY, env={"TMPDIR": str(disk.folder)})
        assert is_told(ended(process), str(disk.folder), "no space is left")
        goes_on(place, whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", [".harness", "reports"])
def test_a_folder_that_can_only_be_read_is_named(name: str, whole: Place, places: Places) -> None:
    place = places()
    (place.folder / name).mkdir()
    with read_only(place.folder / name):
        assert is_told(place.command(*STUDY), name, "can only be read", "the same command goes on")
    goes_on(place, whole)


@pytest.mark.parametrize("name", [".harness", "reports", "reports/tiny", ".harness/tiny"])
def test_a_file_where_a_folder_belongs_is_named(name: str, whole: Place, places: Places) -> None:
    place = places()
    (place.folder / name).parent.mkdir(exist_ok=True)
    (place.folder / name).write_text("in the way")
    assert is_told(place.command(*STUDY), name, "is no folder", "move it away")
    (place.folder / name).unlink()
    goes_on(place, whole)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlflow.db", "optuna.db"])
def test_a_database_that_another_process_locks_is_named(name: str, whole: Place, places: Places) -> None:
    place = places()
    shutil.copy(whole.folder / "optuna.db", place.folder / "optuna.db")
    with closing(sqlite3.connect(place.folder / name, isolation_level=None)) as other:
        other.execute("begin exclusive")
        assert is_told(place.command(*STUDY), name, "another process has locked it", "wait for that one")
        other.execute("rollback")
    goes_on(place, whole)


NOBODY = 65534


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, to become somebody else")
@pytest.mark.parametrize("name", [".harness", "reports"])
def test_what_this_user_may_not_do_is_named(name: str, whole: Place) -> None:
    with tempfile.TemporaryDirectory() as folder:  # not one of pytest's, which nobody else may enter
        os.chown(folder, NOBODY, NOBODY)
        place = Places(Path(folder))()
        (place.folder / name).mkdir(exist_ok=True)
        for file in [place.folder, *place.folder.rglob("*")]:
            os.chown(file, NOBODY, NOBODY)
        (place.folder / name).chmod(0o555)
        become = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        done = ended(place.process(*STUDY, through=become, env={"HOME": folder}))
        assert is_told(done, "may not", "permission")
        (place.folder / name).chmod(0o755)
        goes_on(place, whole)
