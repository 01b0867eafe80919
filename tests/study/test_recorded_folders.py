"""Relative paths of a stored study lead where they led, whatever folder it is read from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.core.workspace import HOME
from harness.study.recorded_folders import recorded_folders, recorded_task
from harness.tracking.study_record import StudyRecord
from tests.support.store_records import STUDY_FACTS


@pytest.fixture
def then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a run of ``sub/study.yaml``, with a task beside that file and one of the command line."""
    monkeypatch.delenv(HOME, raising=False)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for file in ("sub/study.yaml", "sub/task.py", "task.py"):
        (tmp_path / "then" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "then" / file).write_text("")
    return tmp_path / "then"


def record(then: Path | str, *overrides: str, file: str = "sub/study.yaml") -> StudyRecord:
    study = {**STUDY_FACTS["study"], "task": "./task.py"}
    facts = {**STUDY_FACTS, "file": file, "study": study, "working_folder": str(then), "overrides": overrides}
    return StudyRecord(**facts)


@pytest.mark.parametrize("typed", ["sub/study.yaml", "../then/sub/study.yaml", "{then}/sub/study.yaml"])
def test_a_study_is_found_where_it_was_run(then: Path, typed: str) -> None:
    known = record(then, file=typed.format(then=then))
    assert recorded_folders(known).own.resolve() == then / "sub"
    assert recorded_folders(known).working == then
    assert recorded_task(known).resolve() == then / "sub" / "task.py"


def test_what_the_command_line_set_is_found_where_it_was_given(then: Path) -> None:
    assert recorded_task(record(then, "task=./task.py")) == then / "task.py"
    (then / "task.py").unlink()
    assert recorded_task(record(then, "task=./task.py")) == then / "sub" / "task.py"


def test_a_copy_of_a_workspace_has_its_own_files(then: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = then.parent / "copy"
    known = record(then)
    then.rename(copy)
    assert recorded_folders(known).working == Path()
    monkeypatch.setenv(HOME, str(copy))
    assert recorded_task(known) == copy / "sub" / "task.py"
    (then / "sub").mkdir(parents=True)
    (then / "sub" / "study.yaml").write_text("")
    assert recorded_folders(known).own == copy / "sub", "both are there, and this one is asked"
    monkeypatch.delenv(HOME)
    monkeypatch.chdir(copy)
    assert recorded_task(replace(known, working_folder="/gone")).resolve() == copy / "sub" / "task.py"


def test_an_older_record_starts_at_the_workspace(then: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recorded_folders(record("")).working == Path()
    monkeypatch.setenv(HOME, str(then))
    assert recorded_task(record("")) == then / "sub" / "task.py"


def test_a_task_from_memory_is_found_without_a_study_file(then: Path) -> None:
    assert recorded_task(record(then, file="harness.Study")) == then / "task.py"


@pytest.mark.parametrize("odd", ["a\0b", "x" * 5000, "/nowhere/secret", ""])
def test_odd_places_are_no_places(then: Path, odd: str) -> None:
    assert recorded_folders(record(odd, file=odd)).working in {Path(), Path(odd)}


def test_what_is_gone_is_named_where_it_was(then: Path) -> None:
    for file in ("sub/task.py", "task.py"):
        (then / file).unlink()
    assert recorded_task(record(then)) == then / "sub" / "task.py"
