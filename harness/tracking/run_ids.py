"""Ids of runs inside tags and texts, put in another's words."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["renamed", "renamed_values"]

ID = re.compile(r"\b[0-9a-f]{32}\b")
"""An id of a run, the server's or our own."""


def renamed(text: str, names: Mapping[str, str]) -> str:
    """Return a text in which runs go by other ids, where it names any.

    >>> renamed("see 0123456789abcdef0123456789abcdef.", {"0123456789abcdef0123456789abcdef": "that one"})
    'see that one.'
    """
    return ID.sub(lambda found: names.get(found[0], found[0]), text) if names else text


def renamed_values(values: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Return tags or params in which runs go by other ids."""
    return {key: renamed(value, names) for key, value in values.items()}
