"""A saved study: the same study, with paths that lead to the same files from where it now is."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness import Study
from harness.core.errors import UserError
from harness.core.plain_yaml import yaml_value
from harness.study.spec import StudySpec
from harness.study.study_text import study_text
from tests.support.study_fixture import STUDY, TASK, rows, write_rows

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "experiments").rglob("*.yaml"))


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_every_study_reads_back_as_it_was(file: Path) -> None:
    study = Study.load(file).file
    text = study_text(study.study, study.question)
    assert StudySpec.model_validate(yaml_value(text)) == study.study
    assert not study.question or text.startswith(f"# {study.question}\n")
    whole = StudySpec.model_validate(yaml_value(study_text(study.study, defaults=True)))
    assert whole.model_dump() == study.study.model_dump()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with a task, data and a study in a folder of its own."""
    study = tmp_path / "studies"
    study.mkdir()
    (study / "study.yaml").write_text(STUDY.replace("name: model", "name: embedded"), encoding="utf-8")
    (study / "task.py").write_text(TASK, encoding="utf-8")
    for split in ("train", "validation", "test"):
        write_rows(study / "data" / f"{split}.jsonl", rows(split))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_paths_lead_to_the_same_files(place: Path) -> None:
    saved = Study.load("studies/study.yaml", ["search.trials=5"]).save("elsewhere/deep/again.yaml")
    again = Study.load(saved)
    assert again.file.study.task == "../../studies/task.py"
    assert again.file.study.data.path == "../../studies/data"
    assert again.file.study.search.trials == 5
    assert again.file.question == "Does a cue help a network that knows nothing? (Two lines make one question.)"
    assert len(again.check(places=False).examples["train"]) == 24


def test_a_saved_study_can_be_saved_again_in_its_place(place: Path) -> None:
    study = Study.load("studies/study.yaml").file.study
    assert Study.load(Study.load("studies/study.yaml").save("studies/study.yaml")).file.study == study


def test_where_nothing_can_be_written_is_told(place: Path) -> None:
    (place / "folder.yaml").mkdir()
    for path in ("folder.yaml", "studies/study.yaml/own.yaml"):
        with pytest.raises(UserError, match=rf"study 'tiny' cannot be saved as {path}: .*; save it elsewhere"):
            Study.load("studies/study.yaml").save(path)


def test_another_name_is_refused(place: Path) -> None:
    with pytest.raises(
        UserError, match=r"a study is saved as a .yaml file, but 'study.json' is none; name it study.yaml"
    ):
        Study.load("studies/study.yaml").save("study.json")
