"""Files that are written whole or not at all, and the digests by which a change is noticed."""

from __future__ import annotations

import glob
import hashlib
import os
from contextlib import suppress
from pathlib import Path

from harness.core.bounded_files import open_regular

__all__ = ["file_digest", "file_digests", "folder_size", "write_whole"]


def write_whole(file: Path, content: str | bytes) -> None:
    """Write a file under a temporary name beside it, then rename it: a kill leaves the old content or the new.

    Args:
        file: Its folder is made where it is missing.
        content: A text is written in UTF-8.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(file)
    draft = file.with_name(f".{file.name}.{os.getpid()}.draft")
    try:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def _remove_abandoned(file: Path) -> None:
    """Delete the drafts of a file that processes of this machine left when they were killed."""
    for draft in file.parent.glob(f".{glob.escape(file.name)}.*.draft"):
        number = draft.name.removesuffix(".draft").rpartition(".")[2]
        with suppress(PermissionError):  # another user's, alive
            try:
                os.kill(int(number), 0) if number.isdigit() else None
            except (ProcessLookupError, OverflowError):
                draft.unlink(missing_ok=True)


def folder_size(folder: Path) -> int:
    """Return the bytes of all files in and below a folder; links count for themselves."""
    return sum(file.lstat().st_size for file in folder.rglob("*") if not file.is_dir())


def file_digests(folder: Path, *, apart_from: str) -> dict[str, str]:
    """Return a content hash (32 hex digits) of each file in and below a folder, by its path inside.

    Args:
        folder: Which.
        apart_from: The path of one that does not count.
    """
    files = {str(file.relative_to(folder)): file for file in sorted(folder.rglob("*")) if file.is_file()}
    return {name: file_digest(file) for name, file in files.items() if name != apart_from}


def file_digest(file: Path) -> str:
    """Return a content hash (32 hex digits) of a file."""
    with open_regular(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:32]
