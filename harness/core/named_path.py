"""A path as a user wrote it, and which keys of a study file hold one."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from harness.core.errors import UserError

__all__ = [
    "OF_FILE",
    "DataPath",
    "FolderName",
    "MayBePath",
    "ModelName",
    "StorageUrl",
    "TaskName",
    "TextName",
    "named_path",
]

DEEPEST = 200
"""Folders that a path may name."""

OF_FILE = re.compile(r"(?P<file>.+\.py):(?P<function>[^\W\d]\w*)")
"""A function, by the Python file that defines it."""


def named_path(name: str | Path) -> Path:
    """Return the path that a user means, whether anything is there or not; a leading ``~`` is their home folder.

    Raises:
        UserError: No file can be called so: it is too long, holds a NUL, or begins with an unknown user's home.
    """
    try:
        path = Path(name).expanduser()
        if len(path.parts) > DEEPEST:
            raise ValueError(f"it has more than {DEEPEST} folders within each other")
        with suppress(FileNotFoundError, NotADirectoryError, PermissionError):
            os.stat(path)
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{str(name)[:200]!r} is no path of a file or folder: {reason}; correct it") from error
    return path


@dataclass(frozen=True)
class MayBePath:
    """Marks a key of a study file whose text may be a path; where that starts, `harness.study.study_paths` says."""

    tells: Callable[[str], bool | None]
    """Whether a text is a path; ``None``: it is one where a file or folder is there, else another name."""


DataPath = Annotated[str, MayBePath(lambda text: True)]

TaskName = Annotated[str, MayBePath(lambda text: text.endswith(".py") or "/" in text or os.sep in text)]

ModelName = Annotated[str, MayBePath(lambda text: text != "embedded" and (text.startswith(".") or None))]

FolderName = Annotated[str, MayBePath(lambda text: True)]

TextName = Annotated[str, MayBePath(lambda text: text != "default" and (text.startswith(".") or None))]

StorageUrl = Annotated[str, MayBePath(lambda text: text.startswith("sqlite:///") and ":memory:" not in text)]
"""A database's; of a sqlite one, what stands behind ``sqlite:///`` is the path."""
