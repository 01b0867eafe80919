"""A study that was run before, by its name or its file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.errors import UserError
from harness.core.workspace import is_study_name
from harness.study.load_study import read_study
from harness.study.task_files import remember, task_path
from harness.tracking.address import store_uri

if TYPE_CHECKING:
    from harness.tracking.mlflow.mlflow_tracker import MlflowTracker

__all__ = ["find_study", "known_study"]


def find_study(study: str) -> tuple[str, MlflowTracker | None]:
    """Return a study's name, given its file or its name, and its tracker where the store knows it.

    Raises:
        UserError: The file cannot be read, or the store cannot be reached, or the study was deleted there.
    """
    from harness.tracking.choose_store import deliver_left  # MLflow, which `check` does without
    from harness.tracking.mlflow.mlflow_tracker import find_experiment

    name = study
    if study.endswith((".yaml", ".yml")):
        read = read_study(Path(study))
        name = read.study.name
        remember(
            file for file in [task_path(read.study.task, read.folder)] if file.is_file()
        )  # named by hand, as for a run
    if not is_study_name(name):  # a store may hold experiments of other programs, called by paths
        return name, None
    deliver_left(name)
    return name, find_experiment(name)


def known_study(study: str) -> tuple[str, MlflowTracker]:
    """Return the name and tracker of a study that was run, given its file or its name.

    Raises:
        UserError: The store does not know it, or cannot be reached.
    """
    name, tracker = find_study(study)
    if tracker is None:
        raise UserError(f"store {store_uri()} knows no study {name!r}; run it with `harness run`")
    return name, tracker
