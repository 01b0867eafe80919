"""Format versions of what is stored: a file of a newer version is refused before anything is changed.

A version is raised when the code before it would misread what is written from then on, and not for a key that is added.
What bears none was written before there were any, and is of version 1.
"""

from __future__ import annotations

from harness.core.errors import NewerError

__all__ = ["FORMAT", "refuse_newer"]

FORMAT = "format"
"""The key, or the tag, of a version."""


def refuse_newer(what: str, found: object, reads: int) -> None:
    """See that what is stored can be read.

    Args:
        what: How messages call it.
        found: The version that it bears; ``None``: none.
        reads: The newest that is known.

    Raises:
        NewerError: A newer version of the harness wrote it.
        ValueError: This is no version, so the file is damaged.
    """
    if found is None:
        return
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ValueError(f"its format is {found!r}, which is no version")
    if found > reads:
        raise NewerError(
            f"{what} was written by a newer version (format {found}, this one reads up to {reads}): install that one, "
            "or a later one (pip install --upgrade prompt-depth-harness)"
        )
