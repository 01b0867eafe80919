"""Python in another process: it imports what this one would, and nothing that merely lies in the working folder."""

from __future__ import annotations

import os
import sys

__all__ = ["child_environment", "leave_working_folder", "python"]

HOME, PACKAGE = os.path.split(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
"""The folder that this package lies in, and its name there."""


def python(*arguments: str) -> list[str]:
    """Return a command that runs this Python; ``-m`` and ``-c`` look into no working folder."""
    return [sys.executable, "-P", *arguments]


def child_environment(**more: str) -> dict[str, str]:
    """Return this process's environment for a Python: the same modules, in the same order, for its own children too.

    Folders with another copy of this package are left out: MLflow puts the code of models that it loads on the path.
    """
    entries = [os.path.abspath(entry) for entry in sys.path if entry]
    path = [entry for entry in entries if entry == HOME or not os.path.isdir(os.path.join(entry, PACKAGE))]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONSAFEPATH": "1", **more}


def leave_working_folder(package: str) -> None:
    """Take off the path what ``python -m`` put there, so that it means what the installed command does.

    Args:
        package: The file of the package that is run; where it was found in the working folder, that folder stays.
    """
    folder = os.getcwd()
    home = os.path.dirname(os.path.dirname(os.path.abspath(package)))
    if not sys.flags.safe_path and sys.path[:1] == [folder] and home != folder:
        del sys.path[0]
