"""A study that was run before, by its file, its name, or the name of its experiment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from harness.core.errors import UserError
from harness.core.passwords import masked
from harness.study.load_study import read_study
from harness.study.task_files import remember, task_path
from harness.tracking.address import StudyAddress, store_uri

if TYPE_CHECKING:
    from harness.tracking.mlflow.mlflow_tracker import MlflowTracker

__all__ = ["FoundStudy", "find_study", "known_study", "study_address"]


class FoundStudy(NamedTuple):
    """A study that was looked for."""

    name: str
    store: str
    """Where: the store that its file names, else that of this process."""
    tracker: MlflowTracker | None
    """``None`` where that store does not know it."""


def study_address(study: str) -> StudyAddress | None:
    """Return where a study is, by its file, its name, or the name of its experiment; ``None`` where none is known.

    Raises:
        UserError: The file cannot be read, or the store cannot be reached.
    """
    from harness.tracking.mlflow.mlflow_tracker import known_address  # MLflow, which `check` does without

    if not study.endswith((".yaml", ".yml")):
        return known_address(study, store_uri())
    file = read_study(Path(study))
    named = task_path(file.study.task, [file.folder])
    remember(task for task in [named] if task.is_file())  # by hand, as for a run
    return file.address


def find_study(study: str | StudyAddress) -> FoundStudy:
    """Look for a study by its address, or by what `study_address` knows it by.

    Raises:
        UserError: The file cannot be read, or the store cannot be reached, or the study was deleted there.
    """
    from harness.tracking.choose_store import deliver_left
    from harness.tracking.mlflow.mlflow_tracker import find_experiment

    address = study_address(study) if isinstance(study, str) else study
    if address is None:
        return FoundStudy(str(study), store_uri(), None)
    deliver_left(address)
    return FoundStudy(address.study, address.store, find_experiment(address))


def known_study(study: str | StudyAddress) -> tuple[str, MlflowTracker]:
    """Return the name and tracker of a study that was run; see `find_study`.

    Raises:
        UserError: The store does not know it, or cannot be reached.
    """
    name, store, tracker = find_study(study)
    if tracker is None:
        remedy = (
            "run it first, name its file if that has tracking.uri, or the folder that it was run in "
            "(HARNESS_HOME, in Python workspace=)"
        )
        raise UserError(f"store {masked(store, store)} knows no study {name!r}; {remedy}")
    return name, tracker
