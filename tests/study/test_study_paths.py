"""Paths in a study file start at its folder, those of ``--set`` at the working folder; the other one comes second."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, get_args

import pytest

from harness.core.named_path import MayBePath
from harness.core.yaml_section import Section
from harness.study.key_messages import all_keys
from harness.study.load_study import StudyFile, read_study
from harness.study.spec import StudySpec

STUDY = """\
name: s
task: ./task.py
model: {name: model, adapter: adapter}
data: {path: data}
prompts: [bare]
tuning: [full]
training: {loss: "losses.py:mine"}
generality: {text: texts/a.txt, tasks: [other.py]}
search: {storage: "sqlite:///search.db"}
tracking: {uri: "sqlite:///runs.db"}
"""

PATHS = {
    "task": "task.py",
    "model.name": "model/config.json",
    "model.adapter": "adapter/adapter_config.json",
    "data.path": "data/train.jsonl",
    "generality.text": "texts/a.txt",
    "generality.tasks": "other.py",
    "search.storage": "search.db",
    "tracking.uri": "runs.db",
    "training.loss": "losses.py",
}
"""Keys of the study to files that they lead to."""


def texts(study: StudySpec) -> dict[str, str]:
    spec = study
    return {
        "task": spec.task,
        "model.name": spec.model.name,
        "model.adapter": str(spec.model.adapter),
        "data.path": str(spec.data.path),
        "generality.text": str(spec.generality.text),
        "generality.tasks": spec.generality.tasks[0],
        "search.storage": spec.search.storage,
        "tracking.uri": str(spec.tracking.uri),
        "training.loss": spec.training.loss,
    }


def fill(folder: Path) -> Path:
    for file in PATHS.values():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("x")
    return folder


def at(folder: Path, *overrides: str) -> StudyFile:
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    return read_study(folder / "study.yaml", overrides)


def marked(section: Any = StudySpec, above: str = "") -> set[str]:
    """Return the keys that are marked as paths."""
    found = set()
    for name, field in section.model_fields.items():
        if "MayBePath" in repr(field):
            found.add(f"{above}{name}")
        for part in (field.annotation, *get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, Section):
                found |= marked(part, f"{above}{name}.")
    return found


def test_every_key_that_takes_a_path_is_marked() -> None:
    assert marked() == {
        *PATHS,
        *("data.splits", "data.sources.path", "data.sources.splits"),
        *("models.name", "models.adapter"),
    }
    assert marked() - {"models.name", "models.adapter"} <= set(all_keys())  # those of models are as of model
    assert MayBePath(lambda text: True).tells("a")


def test_paths_start_at_the_study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    for folder in (Path("there"), tmp_path / "there"):
        file = at(folder)
        for key, text in texts(file.resolved).items():
            path = Path(text.removeprefix("sqlite:///").removesuffix(":mine"))
            assert path.exists(), key
            assert path.is_relative_to(folder), key
        assert file.placed.notes == ()
        assert texts(file.study) == texts(read_study(folder / "study.yaml").study), "stored as written"
        assert file.study.task == "./task.py"
    monkeypatch.chdir("there")
    assert read_study(Path("study.yaml")).resolved == read_study(Path("study.yaml")).study


@pytest.mark.parametrize("key", PATHS)
def test_the_working_folder_comes_second_and_is_told(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "there")
    fill(tmp_path)
    gone = tmp_path / "there" / PATHS[key]
    shutil.rmtree(gone.parent) if gone.parent.name != "there" else gone.unlink()
    monkeypatch.chdir(tmp_path)
    file = at(tmp_path / "there")
    assert texts(file.resolved)[key] == texts(file.study)[key].replace("./", "")
    (note,) = file.placed.notes
    assert note.startswith(f"{key}")
    assert "is read from the working folder" in note
    fill(tmp_path / "there")
    assert at(tmp_path / "there").placed.notes == ()


def test_what_the_command_line_sets_starts_at_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "there")
    fill(tmp_path)
    monkeypatch.chdir(tmp_path)
    file = at(tmp_path / "there", "data={path: data, splits: {train: data/train.jsonl}}", "model.name=model")
    assert (file.resolved.data.path, file.resolved.model.name) == ("data", "model")
    assert file.resolved.task == str(tmp_path / "there" / "task.py")
    shutil.rmtree(tmp_path / "model")
    again = at(tmp_path / "there", "model.name=model")
    assert again.resolved.model.name == str(tmp_path / "there" / "model")
    assert "is read from the study file's folder" in again.placed.notes[0]


def test_names_are_no_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    for name in ("summarization", "embedded", "default", "org"):
        (tmp_path / "there" / name).mkdir()
    monkeypatch.chdir(tmp_path)
    file = at(
        tmp_path / "there",
        "task=summarization",
        "model.name=embedded",
        "generality={text: default, tasks: [translation]}",
    )
    study = file.resolved
    named = (study.task, study.model.name, study.generality.text, study.generality.tasks[0])
    assert named == ("summarization", "embedded", "default", "translation")
    assert at(tmp_path / "there", "model.name=org/name").resolved.model.name == "org/name"
