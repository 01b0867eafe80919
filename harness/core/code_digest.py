"""Digest of the harness's own code, by its content: the same wherever it is installed."""

from __future__ import annotations

from functools import cache
from hashlib import sha256
from pathlib import Path

__all__ = ["code_digest"]


@cache
def code_digest() -> str:
    """Return a content hash (16 hex digits) of all Python files of the package, as they are when it is first asked."""
    package, total = Path(__file__).parents[1], sha256()
    for file in sorted(package.rglob("*.py")):
        total.update(f"{file.relative_to(package)}\n".encode() + file.read_bytes())
    return total.hexdigest()[:16]
