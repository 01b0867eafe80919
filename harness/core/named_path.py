"""A path as a user wrote it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from harness.core.errors import UserError

__all__ = ["named_path"]

DEEPEST = 200
"""Folders that a path may name."""


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
