"""Values of a stored file, which anybody may have written, seen to be what its code takes them for."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter, ValidationError

__all__ = ["of_kind"]


def of_kind(kind: Any, value: Any) -> Any:
    """Return a value as JSON has it, made into what a type says.

    Args:
        kind: Any that pydantic knows: a named tuple's or dataclass's fields are seen one by one.
        value: What is stored.

    Raises:
        ValueError: It is nothing of the kind; names the first part that is not.

    >>> of_kind(dict[str, int], {"a": 1})
    {'a': 1}
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        if first["type"] in ("missing", "missing_argument"):
            raise ValueError(f"it lacks {place!r}") from None
        raise ValueError(f"{place or 'it'} is {str(first['input'])[:80]!r}: {first['msg']}") from None
