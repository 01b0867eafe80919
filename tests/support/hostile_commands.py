"""The command on what somebody hostile wrote: in a forked child, with bounds on time, memory and places it may write.

Everything heavy is imported before the fork, so that a case costs what the command itself does.
"""

from __future__ import annotations

import io
import os
import re
import resource
import signal
import sys
import tempfile
import time
import traceback
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import huggingface_hub
import psutil
import pyarrow.parquet  # noqa: F401
import pytest

import harness.cli.check_tables
import harness.cli.results_table
import harness.report.compare.compare_studies
import harness.runner.clean
import harness.runner.reproduce
import harness.runner.run_study
import harness.serving.predict
import harness.serving.serve  # noqa: F401
from harness.cli import main as cli
from tests.support.study_fixture import Place, Places

SECONDS = 10.0
"""Of processors, since others may keep them busy."""

PATIENCE = 60.0
"""Seconds on the clock, within which a command that waits for nothing ends."""

MEMORY = 500 * 2**20
"""Bytes beyond what is there when the command begins."""

OWN = re.compile(r"(\.harness|reports|mlruns|mlartifacts|__pycache__|(mlflow|optuna)\.db.*)(/.*)?")
"""Where in its folder a study may write."""

UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


class Ended(NamedTuple):
    """How a command ended."""

    status: int | None
    """``None``: it had to be killed."""
    said: str
    seconds: float
    grown: int
    """Bytes."""


class Yard:
    """A folder around a study's own, in which nothing may change.

    Args:
        folder: Empty; the study's own is made in it.
        done: A place to copy, in place of a study that was never run.
    """

    def __init__(self, folder: Path, done: Place | None = None) -> None:
        places = Places(folder)
        place = places.copy(done) if done else places()
        self.folder, self.work = folder, place.folder
        for name in ("home", "tmp", "reports"):
            (folder / name).mkdir()
            (folder / name / "precious.txt").write_text(name, encoding="utf-8")
        self.study = self.work / "study.yaml"

    def edit(self, old: str, new: str) -> None:
        """Replace a passage of the study file that stands there once."""
        text = self.study.read_text(encoding="utf-8")
        assert text.count(old) == 1, old
        self.study.write_text(text.replace(old, new), encoding="utf-8")

    def run(self, *arguments: str, encoding: str = "utf-8") -> Ended:
        """Run the command in a child of this process, and see that nothing changed outside."""
        before = self._outside()
        ended = _forked(arguments, self.work, encoding)
        assert ended.status is not None, f"killed after {ended.seconds:.0f} s: {ended.said[-2000:]}"
        after = self._outside()
        assert after == before, (
            f"changed outside: {sorted(set(before.items()) ^ set(after.items()))}, status {ended.status}"
        )
        return ended

    def _outside(self) -> dict[str, tuple[int, int, int]]:
        """Return what lies in the folder, apart from what is the study's."""
        found = {}
        for place in self.folder.rglob("*"):
            name = str(place.relative_to(self.folder))
            if not OWN.fullmatch(name.removeprefix(f"{self.work.name}/")) and name != "said":
                state = place.lstat()
                folder = place.is_dir() and not place.is_symlink()
                found[name] = (state.st_mode, 0 if folder else state.st_size, 0 if folder else state.st_mtime_ns)
        return found


def see(ended: Ended, *statuses: int) -> str:
    """See that a command ended well, with a sentence where it refused; return what it said."""
    said = ended.said
    assert ended.status is not None, f"killed after {ended.seconds:.0f} s: {said[-2000:]}"
    assert "Traceback (most recent call last)" not in said, said[-4000:]
    assert ended.status in (statuses or (0, 2)), said[-2000:]
    assert ended.status == 0 or re.search(r"\w+ \w+", said), said[-2000:]
    assert not unseen(said), said
    assert ended.seconds < SECONDS
    assert ended.grown < MEMORY, f"{ended.grown / 2**20:.0f} MiB: {said[-500:]}"
    assert len(said) < 100_000
    return said


def unseen(text: str) -> list[str]:
    """Return the characters of a text that act on a terminal, or hide in it."""
    return [sign for sign in text if sign not in "\n\t" and unicodedata.category(sign) in UNSEEN]


def cases(table: Mapping[str, object]) -> list[object]:
    """Return a table's entries as parameters: the first one in `make test`, all others marked hostile."""
    first, *others = table
    return [pytest.param(first, id=first), *(pytest.param(one, id=one, marks=pytest.mark.hostile) for one in others)]


def _forked(arguments: Sequence[str], work: Path, encoding: str) -> Ended:
    said, start, memory = work.parent / "said", time.perf_counter(), psutil.Process().memory_info().rss
    sys.stdout.flush()
    child = os.fork()
    if not child:
        _become(lambda: _command(arguments, work), said, encoding)
    while True:
        ended, status, usage = os.wait4(child, os.WNOHANG)
        if ended:
            break
        if time.perf_counter() - start > PATIENCE:
            os.killpg(child, signal.SIGKILL)
            os.wait4(child, 0)
            return Ended(None, _read(said, encoding), PATIENCE, 0)
        time.sleep(0.005)
    code, seconds = os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
    return Ended(code, _read(said, encoding), seconds, max(0, usage.ru_maxrss * 1024 - memory))


def _read(said: Path, encoding: str) -> str:
    return said.read_bytes().decode(encoding, "surrogateescape") if said.exists() else ""


def _become(work: Callable[[], int], said: Path, encoding: str) -> None:
    """Do work in a child, all it says in a file, and end; never returns."""
    status = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        for number in (1, 2):
            os.dup2(descriptor, number)
        sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False), encoding)
        sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", closefd=False), encoding, "backslashreplace")
        taken = psutil.Process().memory_info()
        limit = taken.data + 2 * MEMORY  # what is reserved and never touched does not count below
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _command(arguments: Sequence[str], work: Path) -> int:
    os.chdir(work)
    tempfile.tempdir = None
    own = {"HOME": str(work.parent / "home"), "TMPDIR": str(work.parent / "tmp"), "TOKENIZERS_PARALLELISM": "false"}
    stores = {"MLFLOW_TRACKING_URI": f"sqlite:///{work / 'mlflow.db'}", "COLUMNS": "200"}
    os.environ.update({**own, **stores})
    huggingface_hub.constants.HF_HUB_OFFLINE = True
    sys.argv = ["harness", *arguments]
    try:
        cli.main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(bool(stop.code))
    return 0
