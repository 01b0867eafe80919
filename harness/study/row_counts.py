"""What is counted of a split's rows as they pass, tokenized many at a time; none of them is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from harness.core.errors import TemplateError
from harness.core.example import Example, ListDigest
from harness.data.token_seam import anchored, prompt_text
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

    def add(self, example: Example, row: Row, text: str) -> None:
        """Count a row."""
        self.texts.add(text)
        self.ids.add((row.prompt, row.target))
        self.rows += 1
        self.longest = max(self.longest, len(row.prompt))
        self.shortened += row.truncated
        self.telling += _tells(text, example.target)
        if len(self.prompts) < 2:
            self.prompts.add(text)
        if len(self.sources) < 2:
            self.sources.add(example.source)

    @property
    def share(self) -> float:
        """The share of prompts that were shortened."""
        return self.shortened / max(self.rows, 1)


def read_ahead(examples: Sequence[Example], form: PromptForm, reader: Reader) -> Iterator[Example]:
    """Pass examples on, a batch of them tokenized at once."""
    for start in range(0, len(examples), BATCH):
        part = examples[start : start + BATCH]
        with suppress(TemplateError):  # told of when that row is encoded
            texts = [prompt_text(reader, form.render(example.fields)) for example in part]
            _tokenize_ahead(reader, texts, [example.target for example in part])
        yield from part


def _tokenize_ahead(reader: Reader, prompts: Sequence[str], targets: Sequence[str]) -> None:
    """Have the `prompt_text` and the targets of some rows tokenized at once, by a tokenizer that is quicker so."""
    ahead = getattr(reader.tokenizer, "read_ahead", None)
    if ahead:
        stripped = [target.strip() for target in targets]
        behind = [anchored(*pair)[1] for pair in zip(prompts, stripped, strict=True)]
        ahead(prompts, stripped if reader.is_encoder_decoder else behind)


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
    return _holds(text, _spaced(target)) or (len(target) >= BACKWARDS and _holds(text, _spaced(target[::-1])))
