"""Plain values as JSON that every reader takes: what is no number is null, and all is ASCII."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

__all__ = ["json_line", "json_text", "plain"]


def plain(value: Any) -> Any:
    """Return a value in lists, mappings, texts and numbers; nan and infinities as ``None``.

    >>> plain({"score": float("nan"), "seeds": (1, 2), "at": Path("a/b")})
    {'score': None, 'seeds': [1, 2], 'at': 'a/b'}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def json_text(value: Any) -> str:
    """Return a value as JSON over several lines, which no terminal takes for orders."""
    return json.dumps(plain(value), indent=2, allow_nan=False)


def json_line(value: Any) -> str:
    """Return a value as JSON in one line."""
    return json.dumps(plain(value), allow_nan=False)
