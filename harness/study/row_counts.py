"""What is counted of a split's rows as they pass, tokenized many at a time; none of them is kept."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from harness.core.errors import TemplateError
from harness.core.example import Example, ListDigest
from harness.data.tokenization import PromptForm, Reader, Row

__all__ = ["RowCount", "holds", "read_ahead"]

BATCH = 1024
"""Rows that are tokenized at once."""

BACKWARDS = 8
"""Characters of a target from which on it hardly stands backwards in a text by chance."""


@dataclass
class RowCount:
    """What is counted of a split's rows as they pass."""

    texts: ListDigest
    """Of all splits."""
    ids: ListDigest = field(default_factory=ListDigest)
    rows: int = 0
    longest: int = 0
    shortened: int = 0
    telling: int = 0
    prompts: set[str] = field(default_factory=set)
    """Up to two of them, and of the sources."""
    sources: set[str] = field(default_factory=set)
    whole: array[int] = field(default_factory=lambda: array("q"))
    """Tokens of each prompt before it is shortened, with all its demonstrations."""
    shots: array[int] = field(default_factory=lambda: array("q"))
    """Demonstrations of each prompt that fit."""

    def add(self, example: Example, row: Row, text: str, own: str) -> None:
        """Count a row.

        Args:
            example: With its target.
            row: In token ids.
            text: Its prompt as the model reads it.
            own: The same without demonstrations, whose targets are no leak of this one's.
        """
        self.texts.add(text)
        self.shots.append(row.shots)
        self.ids.add((row.prompt, row.target))
        self.rows += 1
        self.longest = max(self.longest, len(row.prompt))
        self.shortened += row.truncated
        self.telling += _tells(own, example.target)
        if len(self.prompts) < 2:
            self.prompts.add(own)
        if len(self.sources) < 2:
            self.sources.add(example.source)

    @property
    def share(self) -> float:
        """The share of prompts that were shortened."""
        return self.shortened / max(self.rows, 1)


def read_ahead(examples: Sequence[Example], form: PromptForm, reader: Reader, count: RowCount) -> Iterator[Example]:
    """Pass examples on, a batch of them tokenized at once and their whole prompts counted."""
    for start in range(0, len(examples), BATCH):
        part = examples[start : start + BATCH]
        with suppress(TemplateError):  # told of when that row is encoded
            texts = [form.reads(example.fields, reader, example.shots) for example in part]
            _tokenize_ahead(reader, form, part, texts)
            count.whole.extend(len(form.ids(text, reader)) for text in texts)
        yield from part


def _tokenize_ahead(reader: Reader, form: PromptForm, examples: Sequence[Example], texts: Sequence[str]) -> None:
    """Have prompts and targets of some rows tokenized at once, by a tokenizer that is quicker so."""
    ahead = getattr(reader.tokenizer, "read_ahead", None)
    if ahead:
        parts = [form.ahead(example, text, reader) for example, text in zip(examples, texts, strict=True)]
        ahead([text for special, _ in parts for text in special], [text for _, bare in parts for text in bare])


def holds(text: str, target: str) -> bool:
    """Return whether a text holds another one as whole words, however both are spaced."""
    return _holds(_spaced(text), _spaced(target))


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _holds(text: str, target: str) -> bool:
    start = text.find(target) if target else -1
    while start >= 0:
        around = text[start - 1 : start] if start else "", text[start + len(target) :][:1]
        inside = target[0].isalnum() and around[0].isalnum(), target[-1].isalnum() and around[1].isalnum()
        if not any(inside):
            return True
        start = text.find(target, start + 1)
    return False


def _tells(text: str, target: str) -> bool:
    """Return whether a text holds a target, whatever its case; or one that is no short word, read backwards."""
    text, target = _spaced(text.casefold()), target.strip().casefold()
    spaced = _spaced(target)
    return _holds(text, spaced) or (len(target) >= BACKWARDS and _holds(text, spaced[::-1]))
