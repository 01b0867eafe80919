"""Targets and predictions as text: both end alike, and both are what a tokenizer reads back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from harness.core.example import Example
from harness.data.tokenization import Reader, target_ids

__all__ = ["decoded", "said_by_heart", "trimmed"]


def trimmed(example: Example, end: str | None) -> Example:
    """Return an example whose target and references end as predictions do: in neither white space nor an end token.

    Args:
        example: As the task made it; returned as it is where nothing is to be taken off.
        end: The end token's text, which closes a target as the token itself would; ``None``: unknown.
    """
    target, *references = (_trimmed(text, end) for text in (example.target, *example.references))
    if (target, *references) == (example.target, *example.references):
        return example
    return replace(example, target=target, references=tuple(references))


def _trimmed(text: str, end: str | None) -> str:
    text = text.strip()
    while end and text.endswith(end):
        text = text.removesuffix(end).strip()
    return text


def decoded(reader: Reader, rows: Iterable[Any]) -> list[str]:
    """Return the texts of rows of token ids as predictions are read: special tokens left out, spaces as they are."""
    return list(reader.tokenizer.batch_decode(rows, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def said_by_heart(reader: Reader, target: str) -> str:
    """Return the prediction of a model that says the very tokens of a target: the target, unless none can equal it.

    Banned tokens are left out. Behind a causal model's prompt that may be a line's start or not; it counts where it
    goes well.
    """
    rows = [target_ids(reader, prompt, target) for prompt in ("\n", ":")]
    said = [ids[: ids.index(reader.tokenizer.eos_token_id)] for ids in rows]
    texts = decoded(reader, [[number for number in ids if number not in reader.answers.banned] for ids in said])
    stripped = [text.strip() for text in texts]
    return target if target in stripped else stripped[0]
