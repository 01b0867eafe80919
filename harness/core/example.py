"""The unit of data: one example, what a model said to it, and the digest of a list of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

__all__ = ["SPLITS", "Example", "ListDigest", "Prediction", "Split", "as_text", "digest", "field_names", "fingerprint"]

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
"""The three splits, in the order in which a study meets them."""


@dataclass(frozen=True)
class Example:
    """One solved case of a task.

    >>> Example("row-1", {"source": "Ada takes train 7."}, target="Train 7.").references
    ('Train 7.',)
    """

    id: str
    """Unique within its split."""

    fields: Mapping[str, Any]
    """What a prompt template may use: texts, numbers, ``None`` or whatever else a row holds."""

    target: str
    """The text that training teaches."""

    references: tuple[str, ...] = field(default=())
    """The texts that a prediction is scored against; ``(target,)`` when left out."""

    group: str | None = None
    """What the rows that it belongs with have in common (``data.group``); ``None``: it stands alone."""

    shots: tuple[Example, ...] = ()
    """The training rows that stand before it in a prompt as demonstrations, the nearest last."""

    def __post_init__(self) -> None:
        if not self.references:
            object.__setattr__(self, "references", (self.target,))

    @property
    def source(self) -> str:
        """The field of that name as text; of an example without one all its fields, a line each."""
        shown = [self.fields["source"]] if "source" in self.fields else list(self.fields.values())
        return "\n".join(map(as_text, shown))


class Prediction(NamedTuple):
    """What a model said to one example."""

    id: str
    """The example's id."""

    text: str
    """The generated text, stripped."""

    nll: float
    """Summed negative log-likelihood (nats) of the example's target tokens and end token."""

    tokens: int
    """How many tokens ``nll`` sums over."""

    statistics: Mapping[str, Sequence[float]] | None = None
    """By metric, what it contributes, where its text was kept off the store (``tracking.texts``)."""

    probabilities: Mapping[str, float] | None = None
    """Of each label, where the text is one of several that were to be chosen from."""


def as_text(value: Any) -> str:
    """Return a value as a prompt shows it: a text as it is, nothing for ``None``, all else as JSON writes it.

    >>> as_text("a"), as_text(None), as_text(True), as_text([1.5, "b"])
    ('a', '', 'true', '[1.5, "b"]')
    """
    if isinstance(value, bool | int | float | list | tuple | dict):
        return json.dumps(value, ensure_ascii=False, default=str)
    return "" if value is None else str(value)


def field_names(examples: Iterable[Example]) -> list[str]:
    """Return the names of all fields that any of some examples has, in the order in which they come."""
    return list(dict.fromkeys(name for example in examples for name in example.fields))


_DENSE = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def digest(value: Any) -> str:
    """Return a short content hash (16 hex digits) of a JSON value, key order ignored.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    return hashlib.sha256(_DENSE.encode(value).encode()).hexdigest()[:16]


class ListDigest:
    """The `digest` of a list, of which no more than an item need be there at a time."""

    def __init__(self) -> None:
        self._total, self._between = hashlib.sha256(b"["), b""

    def add(self, item: Any) -> None:
        """Take the next item."""
        self._total.update(self._between + _DENSE.encode(item).encode())
        self._between = b","

    def add_list(self, parts: Iterable[Sequence[Any]]) -> None:
        """Take a list as the next item, in parts.

        >>> total = ListDigest()
        >>> total.add_list([[1, 2], [], [3]])
        >>> str(total) == digest([[1, 2, 3]])
        True
        """
        self._total.update(self._between + b"[")
        self._between = b""
        for part in filter(len, parts):
            self._total.update(self._between + _DENSE.encode(part).encode()[1:-1])
            self._between = b","
        self._total.update(b"]")
        self._between = b","

    def __str__(self) -> str:
        total = self._total.copy()
        total.update(b"]")
        return total.hexdigest()[:16]


def fingerprint(examples: Iterable[Example]) -> str:
    """Return the content hash of examples in their order; of what is no list of them, the one that it has itself.

    >>> fingerprint([]) == digest([])
    True
    """
    own = getattr(examples, "fingerprint", None)
    if isinstance(own, str):
        return own
    total = ListDigest()
    for example in examples:
        total.add(_content(example))
    return str(total)


def _content(example: Example) -> list[Any]:
    fields = {name: as_text(value) for name, value in example.fields.items()}
    content = [example.id, fields, example.target, list(example.references)]
    return content if example.group is None else [*content, example.group]
