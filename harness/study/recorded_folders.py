"""Where the files of a study are that a store holds, whatever folder it is asked from.

Its paths are stored as they were typed, beside the working folder of then. A folder that was moved or copied with its
workspace is looked into where it is now; one that stayed, where it was.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from harness.core.workspace import HERE
from harness.study.overrides import is_set
from harness.study.task_files import task_path
from harness.tracking.study_record import StudyRecord

__all__ = ["Folders", "recorded_folders", "recorded_task"]


class Folders(NamedTuple):
    """Where relative paths of a recorded study start."""

    own: Path
    """Those in its file: where that is."""
    working: Path
    """Those of its command line: where that was given, or what has come to be there since."""


def recorded_folders(record: StudyRecord) -> Folders:
    """Return where a study's relative paths start: at the workspace, where it was run, or here, whichever has it.

    A study's file below the workspace may have been copied with it, so that the workspace comes first.
    """
    then = [Path(record.working_folder)] if record.working_folder else []
    is_below = not Path(record.file).is_absolute() and ".." not in Path(record.file).parts
    places = [HERE.folder, *then, Path()] if is_below else [*then, HERE.folder, Path()]
    known = [place for part in (record.file, record.study["task"]) for place in places if os.path.isfile(place / part)]
    still = [place for place in then if os.path.isdir(place)]
    working = next(iter([*known, *still]), Path())
    return Folders((working / record.file).parent, working)


def recorded_task(record: StudyRecord, name: str = "") -> Path:
    """Return where the file of a study's task is, or of one that it is called by now, whether it is there or not."""
    own, working = recorded_folders(record)
    places = [working, own] if is_set(("task",), record.overrides) else [own, working]
    found = task_path(name or record.study["task"], places)
    return found if os.path.isfile(found) else places[0] / found
