"""The lowest versions that pyproject.toml allows, as pins for pip; `make lowest` runs tests on them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

__all__ = ["pins"]

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def pins() -> list[str]:
    """Return ``name==version`` for each dependency of the package.

    Raises:
        ValueError: One has no lowest version.
    """
    found = []
    for dependency in tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["dependencies"]:
        bound = re.fullmatch(r"([\w.-]+)>=([\w.]+)(,.*)?", dependency)
        if bound is None:
            raise ValueError(f"pyproject.toml: {dependency!r} names no lowest version; write name>=version")
        found.append(f"{bound[1]}=={bound[2]}")
    return found


if __name__ == "__main__":
    print("\n".join(pins()))
