"""The unit of data: one example, what a model said to it, and the digest of a list of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

__all__ = ["SPLITS", "Example", "Prediction", "Split", "digest", "fingerprint"]

Split = Literal["train", "validation", "test"]

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
"""The three splits, in the order in which a study meets them."""


@dataclass(frozen=True)
class Example:
    """One solved case of a task."""

    id: str
    """Unique within its split."""

    fields: Mapping[str, str]
    """What a prompt template may use; always holds ``source``."""

    target: str
    """The text that training teaches."""

    references: tuple[str, ...] = field(default=())
    """The texts that a prediction is scored against; ``(target,)`` when left out."""

    group: str | None = None
    """What the rows that it belongs with have in common (``data.group``); ``None``: it stands alone."""

    def __post_init__(self) -> None:
        if not self.references:
            object.__setattr__(self, "references", (self.target,))


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


def digest(value: Any) -> str:
    """Return a short content hash (16 hex digits) of a JSON value, key order ignored.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def fingerprint(examples: Sequence[Example]) -> str:
    """Return the content hash of examples in their order."""
    return digest([_content(example) for example in examples])


def _content(example: Example) -> list[Any]:
    content = [example.id, dict(example.fields), example.target, list(example.references)]
    return content if example.group is None else [*content, example.group]
