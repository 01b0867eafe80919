"""``${NAME}`` in a study file: read from the environment when it is used, stored as it is written."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from harness.core.errors import UnsetName

__all__ = ["resolved", "values_of", "written"]

NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""What stands for an environment variable; any other ``$`` is a ``$``."""

SHORTEST = 4
"""Characters of a value that is known again in another text."""


def resolved(value: Any, key: str) -> Any:
    """Return a value with what each ``${NAME}`` in its texts stands for.

    Args:
        value: As JSON has it.
        key: How messages call it.

    Raises:
        UnsetName: The environment has no such name.
    """
    if isinstance(value, Mapping):
        return {name: resolved(inner, f"{key}.{name}") for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [resolved(inner, key) for inner in value]
    if not isinstance(value, str):
        return value
    for name in NAME.findall(value):
        if name not in os.environ:
            raise UnsetName(
                f"{key} reads ${{{name}}}, which the environment does not have; set it: export {name}=...", key
            )
    return NAME.sub(lambda found: os.environ[found[1]], value)


def values_of(source: str) -> list[str]:
    """Return what the ``${NAME}`` in a text stand for, as far as the environment has them."""
    return [os.environ[name] for name in NAME.findall(source) if name in os.environ]


def written(text: str, source: str) -> str:
    """Return a text as its source would have it: with ``${NAME}`` where it holds what that stands for.

    Args:
        text: To be stored.
        source: Where names are taken from: the text of a study file.
    """
    for name in set(NAME.findall(source)):
        if len(value := os.environ.get(name, "")) >= SHORTEST:
            text = text.replace(value, f"${{{name}}}")
    return text
