"""What a JSON schema says of a value: the part of draft 2020-12 that the study file's schema is written in."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["fits"]

KINDS: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int | float) and not isinstance(value, bool) and value % 1 == 0,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}

NUMBERS: Mapping[str, Callable[[float, float], bool]] = {
    "minimum": lambda value, limit: value >= limit,
    "exclusiveMinimum": lambda value, limit: value > limit,
    "maximum": lambda value, limit: value <= limit,
    "exclusiveMaximum": lambda value, limit: value < limit,
}

SIZES: Mapping[str, tuple[type, Callable[[int, int], bool]]] = {
    "minLength": (str, lambda size, limit: size >= limit),
    "maxLength": (str, lambda size, limit: size <= limit),
    "minItems": (list, lambda size, limit: size >= limit),
    "maxItems": (list, lambda size, limit: size <= limit),
}

SAID = {"$defs", "$schema", "title", "description", "default"}
"""Words that refuse nothing."""


def fits(value: Any, schema: Any, root: Mapping[str, Any]) -> bool:
    """Return whether a value is as a part of a schema wants it; a word that is unknown here is an error."""
    if isinstance(schema, bool):
        return schema
    return all(_fits_word(value, word, wanted, schema, root) for word, wanted in schema.items() if word not in SAID)


def _fits_word(value: Any, word: str, wanted: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> bool:
    if word == "$ref":
        return fits(value, root["$defs"][wanted.removeprefix("#/$defs/")], root)
    if word == "type":
        return KINDS[wanted](value)
    if word in ("enum", "const"):
        return value in (wanted if word == "enum" else [wanted])
    if word == "anyOf":
        return any(fits(value, one, root) for one in wanted)
    if word in NUMBERS:
        return not KINDS["number"](value) or NUMBERS[word](value, wanted)
    if word in SIZES:
        kind, compare = SIZES[word]
        return not isinstance(value, kind) or compare(len(value), wanted)
    if word == "pattern":
        return not isinstance(value, str) or re.search(wanted, value) is not None
    if word == "items":
        return not isinstance(value, list) or all(fits(item, wanted, root) for item in value)
    if not isinstance(value, dict):
        assert word in ("properties", "required", "additionalProperties", "propertyNames", "patternProperties"), word
        return True
    if word == "properties":
        return all(fits(value[key], one, root) for key, one in wanted.items() if key in value)
    if word == "required":
        return all(key in value for key in wanted)
    if word == "propertyNames":
        return all(fits(key, wanted, root) for key in value)
    patterns = schema.get("patternProperties", {})
    if word == "patternProperties":
        return all(fits(value[key], one, root) for name, one in wanted.items() for key in value if re.search(name, key))
    assert word == "additionalProperties", word
    others = [
        inner
        for key, inner in value.items()
        if key not in schema.get("properties", {}) and not any(re.search(name, key) for name in patterns)
    ]
    return all(fits(inner, wanted, root) for inner in others)
