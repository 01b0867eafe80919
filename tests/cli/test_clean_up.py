"""``harness clean``: what it lists, what it asks, and what it leaves."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from tests.support.first_of_kind import first_of_kind
from tests.support.study_fixture import QUICK, Place, Places


@pytest.fixture(scope="module")
def edited(finished: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A study that was run, edited and run again, so that runs of it are superseded."""
    place = Places(tmp_path_factory.mktemp("clean")).copy(finished)
    place.edit("TL;DR:", "In short:")
    place.run(*QUICK)
    return place


@pytest.fixture
def place(edited: Place, tmp_path: Path) -> Place:
    return Places(tmp_path).copy(edited)


def files(place: Place) -> set[str]:
    return {name for name in place.files() if not name.endswith((".lock", "-wal", "-shm"))}


@pytest.mark.parametrize("arguments", [["--dry-run"], ["--dry-run", "--yes", "--recordings"], []])
def test_nothing_is_deleted_unasked(arguments: list[str], place: Place) -> None:
    before, stale = files(place), place.runs("superseded")
    shown = place.command("clean", "tiny", *arguments)
    assert shown.status == (0 if arguments else 2)
    assert arguments or "--yes" in shown.err
    assert all(run.info.run_name in shown.out and run.info.run_id in shown.out for run in stale)
    assert f"superseded and interrupted runs: {len(stale)}, " in shown.out
    assert files(place) == before
    assert len(place.runs("superseded")) == len(stale)


@pytest.mark.parametrize("answer", first_of_kind(["y", "n", ""]))
def test_the_user_is_asked(answer: str, place: Place) -> None:
    stale = len(place.runs("superseded"))
    ours, theirs = pty.openpty()
    code = "from harness.cli.main import main; main()"
    env = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    command = [sys.executable, "-c", code, "clean", "tiny"]
    with subprocess.Popen(command, cwd=place.folder, env=env, stdin=theirs, stdout=subprocess.PIPE, text=True) as asked:
        os.write(ours, f"{answer}\n".encode() if answer else b"\x04")
        out, _ = asked.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert "Delete all of this?" in out
    assert len(place.runs("superseded")) == (0 if answer == "y" else stale)
    assert ("deleted: superseded" in out) is (answer == "y")


def test_recordings_stay_until_they_are_named(place: Place) -> None:
    recordings = place.folder / ".harness" / ".recordings"
    assert [each for each in recordings.iterdir() if each.is_dir()]
    draft = recordings / f".{'a' * 32}-{os.getppid()}"
    draft.mkdir()
    shown = place.command("clean", "tiny", "--yes")
    assert shown.status == 0, shown
    assert "--recordings" in shown.out
    assert [each for each in recordings.iterdir() if each != draft]
    shown = place.command("clean", "tiny", "--yes", "--recordings")
    assert shown.status == 0, shown
    assert "deleted: recordings" in shown.out
    assert [*recordings.iterdir()] == [draft], "another process writes it"
    assert "0 runs to do" in place.run(*QUICK).out
    left = place.command("clean", "tiny", "--dry-run", "--recordings").out
    assert re.fullmatch(r"caches: 1, [\d.]+ MiB:\n  \.harness/tiny: [\d.]+ MiB\n", left), "what is known of the model"


def test_no_folder_of_a_deleted_run_is_left(place: Place) -> None:
    stale = [run.info.run_id for run in place.runs("superseded")]
    assert place.command("clean", "study.yaml", "--yes").status == 0
    assert stale
    assert not [run for run in stale if (place.folder / "mlruns" / "1" / run).exists()]


def test_a_study_that_is_being_run_is_left_alone(place: Place) -> None:
    before = files(place)
    with FileLock(place.folder / ".harness" / ".tiny.lock"):
        shown = place.command("clean", "tiny", "--yes")
    assert shown.status == 2
    assert "is being run" in shown.err
    assert files(place) == before
