"""Artifacts that lie in a local folder."""

from __future__ import annotations

import shutil
import urllib.parse
import urllib.request
from pathlib import Path

__all__ = ["local_folder", "remove_files"]


def local_folder(location: str) -> Path | None:
    """Return the folder at MLflow's address of it, ``None`` where it is none or on another machine."""
    parts = urllib.parse.urlparse(location)
    folder = Path(urllib.request.url2pathname(parts.path))
    return folder if parts.scheme in ("", "file") and folder.is_dir() else None


def remove_files(location: str) -> int:
    """Delete a local folder; return the bytes freed, 0 where artifacts live on a server."""
    folder = local_folder(location)
    if folder is None:
        return 0
    freed = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    shutil.rmtree(folder)
    return freed
