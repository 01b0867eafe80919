"""The harness itself as an archive, for machines that have what it stands on and not itself, or not this version."""

from __future__ import annotations

import io
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from harness.study.packaged_files import packaged

__all__ = ["package_archive"]


def package_archive() -> bytes:
    """Return a zip of the package, as it is here, with the tasks that travel with it: one folder, ``harness``."""
    package = Path(__file__).parents[1]
    archive = io.BytesIO()
    with ZipFile(archive, "w", ZIP_DEFLATED, compresslevel=1) as file:
        for folder, name in ((package, package.name), (packaged(), f"{package.name}/tasks")):
            for path in sorted(folder.rglob("*")):
                inside = path.relative_to(folder)
                is_twice = folder == package and inside.parts[0] == "tasks"
                if path.is_file() and "__pycache__" not in inside.parts and not is_twice:
                    file.write(path, f"{name}/{inside}")
    return archive.getvalue()
