"""Files known by their size and times: whether they are the ones they were, without reading them.

A file's content cannot change without its ``ctime``, which nobody can set, but within the fineness of the clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["code_states", "file_states"]

State = tuple[str, int, int, int, int, int]


def file_states(files: Iterable[Path]) -> list[State]:
    """Return what stands for the content of some files, each with its path, sorted.

    Raises:
        OSError: One of them is not there.
    """
    return sorted(map(_state, files))


def code_states() -> list[State]:
    """Return what stands for the code of the harness, templates included."""
    package = Path(__file__).parents[1]
    return file_states(file for kind in ("*.py", "*.j2", "*.css", "*.js") for file in package.rglob(kind))


def _state(file: Path) -> State:
    found = file.stat()
    return str(file), found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
