"""A study as a file that the command runs alike, wherever it is written, with what came from memory beside it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from harness.core.errors import UserError
from harness.core.named_path import named_path
from harness.core.whole_files import write_whole
from harness.core.workspace import Workspace
from harness.study.load_study import StudyFile
from harness.study.spec import StudySpec
from harness.study.study_from_memory import MemoryStudy
from harness.study.study_paths import found_in, path_in, with_paths
from harness.study.study_text import study_text

__all__ = ["save_study"]


def save_study(file: StudyFile, path: Path, workspace: Workspace) -> Path:
    """Write a study file, and return its path.

    Args:
        file: The study, with what the command line set.
        path: Where; relative paths in it start there.
        workspace: Where what came from memory lies.

    Raises:
        UserError: The path is no study file's, or something cannot be written there.
    """
    path = named_path(path)
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(f"a study is saved as a .yaml file, but {str(path)!r} is none; name it {path.stem}.yaml")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        study = with_paths(file.study, lambda text, _, is_path: _from_folder(text, is_path, file, path.parent))
        if isinstance(file, MemoryStudy):
            study = _brought_along(study, file, path, workspace.memory)
        write_whole(path, study_text(study, file.question))
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"study {file.study.name!r} cannot be saved as {path}: {reason}; save it elsewhere") from error
    return path


def _from_folder(text: str, is_path: bool | None, file: StudyFile, folder: Path) -> str:
    """Return a path as it is called from another folder."""
    if is_path is False or text.startswith(("~", "sqlite:", "${")) or Path(text).is_absolute():
        return text
    named = path_in(text)
    there = found_in(named, [file.folder, Path()])
    if there is None or there.resolve() == folder.resolve():
        return text
    relative = text.replace(named, os.path.relpath(there / named, folder), 1)
    return relative if relative.startswith(".") or is_path else f"./{relative}"


def _brought_along(study: StudySpec, file: MemoryStudy, path: Path, memory: Path) -> StudySpec:
    """Write what came from memory beside a study file, and return the study that names it there."""
    update = dict[str, Any]()
    rows = {split: f"{split}.jsonl" for split in file.memory}
    for split, name in rows.items():
        write_whole(path.parent / f"{path.stem}-rows" / name, file.contents[file.memory[split]])
    if rows:
        update["data"] = study.data.model_copy(update={"path": f"{path.stem}-rows", "splits": rows})
    if (task := file.contents.get(file.study.task)) is not None:
        write_whole(path.parent / f"{path.stem}-task.py", task)
        update["task"] = f"./{path.stem}-task.py"
    if (loss := file.contents.get(path_in(file.study.training.loss))) is not None:
        name = f"{path.stem}-loss.py"
        write_whole(path.parent / name, loss)
        own = file.study.training.loss.replace(path_in(file.study.training.loss), name, 1)
        update["training"] = study.training.model_copy(update={"loss": own})
    if names := [model.name for model in file.study.models if Path(model.name).parent == memory]:
        folders = {name: f"{path.stem}-model-{place}" for place, name in enumerate(names, start=1)}
        for name, folder in folders.items():
            shutil.copytree(name, path.parent / folder, dirs_exist_ok=True)
        update["models"] = tuple(
            model.model_copy(update={"name": f"./{folders[own.name]}"}) if own.name in folders else model
            for model, own in zip(study.models, file.study.models, strict=True)
        )
    if Path(file.study.model.name).parent == memory:
        shutil.copytree(file.study.model.name, path.parent / f"{path.stem}-model", dirs_exist_ok=True)
        update["model"] = study.model.model_copy(update={"name": f"./{path.stem}-model"})
    return study.model_copy(update=update)
