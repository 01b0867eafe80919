"""Temporary files of commands that were killed, and of those that are still at work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from harness.core.scratch import PREFIX, scratch

HOLD = """\
import sys, tempfile, time
from harness.core.scratch import scratch
with scratch():
    tempfile.mkdtemp()
    print(tempfile.gettempdir(), flush=True)
    time.sleep(60)
"""


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def holding(base: Path) -> tuple[subprocess.Popen[str], Path]:
    """Start a process that has temporary files, and return it and its folder."""
    env = {**os.environ, "TMPDIR": str(base)}
    process = subprocess.Popen([sys.executable, "-c", HOLD], env=env, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_temporary_files_go_with_the_command(base: Path) -> None:
    with scratch():
        file = Path(tempfile.mkdtemp()) / "file"
        file.touch()
        assert file.parent.parent.parent == base
    assert list(base.iterdir()) == []
    assert tempfile.gettempdir() == str(base)


def test_what_a_kill_left_goes_and_what_others_hold_stays(base: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "file").touch()
    others = [base / "tmpabc", base / "notes", base / f"{PREFIX}a file"]
    for other in others[:2]:
        other.mkdir()
    others[2].touch()
    (base / f"{PREFIX}link").symlink_to(elsewhere)
    (dead, left), (alive, held) = holding(base), holding(base)
    try:
        dead.send_signal(signal.SIGKILL)
        dead.communicate()
        assert list(left.iterdir())
        with scratch():
            assert not left.exists()
            assert list(held.iterdir())
    finally:
        alive.kill()
        alive.communicate()
    assert (elsewhere / "file").exists()
    assert all(other.exists() for other in others)


def test_commands_run_where_no_temporary_file_can_be_made(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(base / "missing"))
    with scratch():
        pass
    assert not (base / "missing").exists()
