"""Plain text, the prompt form of what needs no prompt: documents that hold theirs already, packed into blocks.

In a loss a block's first token is read, and every other one is a label. A prediction continues a block from its
beginning, or a text that a stored model is asked with.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.core.errors import TemplateError
from harness.core.example import Example, as_text
from harness.data.token_seam import Ids, prompt_ids, prompt_text
from harness.data.tokenization import Limits, Reader, Row

__all__ = ["FIELD", "NAME", "SHORTEST", "PlainText", "TextBlock", "asked", "opened"]

NAME = "text"
"""What ids and tables call it: a study that compares no prompts names none."""

FIELD = "text"
"""The column that a document stands in."""

SHORTEST = 8
"""Tokens of a block: fewer have no beginning to be continued from."""

BEGINNING = 4
"""A prediction continues so large a part of a block: a quarter."""


def asked(row: Row) -> Ids:
    """Return what a prediction follows: a row's prompt, and of a block all of its beginning."""
    return row.prompt + row.target[: row.opening]


def opened(row: Row) -> Row:
    """Return the same tokens, with all that a prediction follows as the prompt."""
    return row._replace(prompt=asked(row), target=row.target[row.opening :], opening=0)


@dataclass(frozen=True)
class TextBlock(Example):
    """A block of text: its fields hold its beginning, its target is the rest, as texts to be looked at."""

    ids: Ids = ()
    """What is trained on and scored."""


@dataclass(frozen=True)
class PlainText:
    """Text in blocks: the prompt of a task whose documents hold theirs already.

    Args:
        name: How ids and tables call it.
        block_tokens: How long a block is; a study's ``training.block_tokens`` takes its place.
        scored_tokens: Of a masked model, how many tokens of a block are scored; ``None``: all. A study's
            ``training.scored_tokens`` takes its place.

    >>> PlainText().beginning
    32
    """

    name: str = NAME
    block_tokens: int = 128
    scored_tokens: int | None = None

    @property
    def text(self) -> str:
        """What the model reads: the text."""
        return "{{ text }}"

    @property
    def beginning(self) -> int:
        """The tokens of a block that a prediction continues."""
        return self.block_tokens // BEGINNING

    def limits(self, generated: int) -> Limits:
        """Return the most tokens of a text that is to be continued, and of what follows a block's beginning."""
        return Limits(self.block_tokens, self.block_tokens - self.beginning - 1, generated)

    def contract(self) -> dict[str, str]:
        """Return how long blocks are, and how many of their tokens are scored where that is not all."""
        scored = {} if self.scored_tokens is None else {"scored_tokens": str(self.scored_tokens)}
        return {"block_tokens": str(self.block_tokens), **scored}

    def names(self) -> frozenset[str]:
        """Return the one field that it reads."""
        return frozenset({FIELD})

    def validate(self, fields: Collection[str]) -> None:
        """See that there is a text.

        Raises:
            TemplateError: There is none.
        """
        if FIELD not in fields:
            raise TemplateError(f"prompt {self.name!r} reads a column {FIELD!r}, which no row has; name it so")

    def render(self, fields: Mapping[str, Any], shots: Sequence[Example] = ()) -> str:
        """Return the text, or a block's beginning."""
        if FIELD not in fields and "source" not in fields:
            raise TemplateError(f"prompt {self.name!r}: {FIELD!r} is undefined; known fields: {', '.join(fields)}")
        return as_text(fields[FIELD] if FIELD in fields else fields["source"])

    def is_plain(self) -> bool:
        """Return that it renders alike wherever it is rendered."""
        return True

    def reads(self, fields: Mapping[str, Any], reader: Reader, shots: Sequence[Example] = ()) -> str:
        """Return the text as the model reads it."""
        return prompt_text(reader, self.render(fields))

    def ids(self, text: str, reader: Reader) -> Ids:
        """Return the ids of what `reads` gave."""
        return prompt_ids(reader, text)

    def ahead(self, example: Example, text: str, reader: Reader) -> tuple[list[str], list[str]]:
        """Return the text."""
        return [text], []

    def ends(self, reader: Reader) -> Ids:
        """Return no token: the model's own end token ends a continuation."""
        return ()

    def tokenize(self, example: Example, reader: Reader, *, limit: int) -> tuple[Row, str]:
        """Return a block as it is, or a text to be continued, of which the end stays where it is too long."""
        text = self.reads(example.fields, reader)
        if isinstance(example, TextBlock):
            return self.row(example.id, example.ids), text
        ids = self.ids(text, reader)
        return Row(example.id, ids[-limit:], (reader.tokenizer.eos_token_id,), truncated=len(ids) > limit), text

    def row(self, id: str, ids: Ids) -> Row:
        """Return a block as a row, by its id and its tokens."""
        return Row(id, ids[:1], ids[1:], truncated=False, opening=self.beginning - 1)
