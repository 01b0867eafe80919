"""Masks: the place to fill of a masked language model, which ``{{ mask }}`` in a prompt's text stands for.

An answer of k tokens takes k masks in one run, filled in one pass (Schick and Schuetze 2021, "It's Not Just Size That
Matters", section 3.1, has one after the other). A row's own text never writes one: the text of the mask token in it is
taken apart by a space, so that it is read as plain text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.core.errors import TemplateError
from harness.core.example import Example
from harness.data.token_seam import Ids, word_ids
from harness.data.tokenization import Row

if TYPE_CHECKING:
    from harness.data.tokenization import Reader

__all__ = ["FIELD", "SHOWN", "filled", "mask_token", "masked_row", "plain_example", "plain_fields", "plain_text"]

FIELD = "mask"
"""What prompts call it; no column of a row is called so."""

SHOWN = "[MASK]"
"""How people are shown it; models have their own."""


def mask_token(prompt: str, reader: Reader) -> str:
    """Return the text of a model's mask token.

    Args:
        prompt: The name of the prompt that has the field.
        reader: The model, or what stands for it.

    Raises:
        TemplateError: The model fills no masks.
    """
    token: str | None = reader.tokenizer.mask_token if reader.is_masked else None
    if token is None:
        raise TemplateError(
            f"prompt {prompt!r} uses {{{{ mask }}}}, the place that a masked language model such as BERT fills, and "
            "this model is none: write a cue instead; a column that is called mask takes another name by data.columns"
        )
    return token


def plain_text(text: str, token: str) -> str:
    """Return a text in which a token's is none.

    >>> plain_text("the [MASK] of it", "[MASK]")
    'the [ MASK] of it'
    """
    return text.replace(token, f"{token[:1]} {token[1:]}")


def plain_fields(fields: Mapping[str, Any], token: str) -> dict[str, Any]:
    """Return the fields of a row, of which no text, nor one in a list or a mapping, holds a token."""
    return {name: _plain(value, token) for name, value in fields.items()}


def plain_example(example: Example, token: str) -> Example:
    """Return an example of which neither fields nor target hold a token."""
    return replace(example, fields=plain_fields(example.fields, token), target=plain_text(example.target, token))


def _plain(value: Any, token: str) -> Any:
    if isinstance(value, str):
        return plain_text(value, token)
    if isinstance(value, list | tuple):
        return type(value)(_plain(item, token) for item in value)
    return {_plain(key, token): _plain(item, token) for key, item in value.items()} if type(value) is dict else value


def masked_row(prompt: str, row: Row, text: str, word: str, reader: Reader, *, has_mask: bool) -> Row:
    """Return a row whose mask hides a word, in as many masks as that has tokens; as it is where the prompt has no mask.

    Args:
        prompt: The prompt's name.
        row: With the ids of its text, in which the mask stands once.
        text: The prompt as the model reads it.
        word: What it hides.
        reader: The model, or what stands for it.
        has_mask: Whether the prompt has the field.

    Raises:
        TemplateError: The text has another number of masks than one, or any where the prompt has no such field.
    """
    token = reader.tokenizer.mask_token
    places = tuple(place for place, id in enumerate(row.prompt) if id == reader.tokenizer.mask_token_id)
    if len(places) != has_mask:
        rule = "{{ mask }} must stand in it once" if has_mask else "write {{ mask }} where it is meant"
        raise TemplateError(f"prompt {prompt!r} writes the mask token {token!r} {len(places)} times; {rule}")
    if not has_mask:
        return row
    word = plain_text(word, token)
    return filled(row._replace(places=places), word_ids(reader, text.partition(token)[0], word))


def filled(row: Row, word: Ids) -> Row:
    """Return the row whose masks, as many as the word has tokens, hide another word.

    Args:
        row: One with a run of masks.
        word: Token ids, such as `harness.data.token_seam.word_ids` gives; one at least.
    """
    first, last = row.places[0], row.places[-1]
    mask = row.prompt[first]
    prompt = (*row.prompt[:first], *(mask,) * len(word), *row.prompt[last + 1 :])
    return row._replace(prompt=prompt, target=word, places=tuple(range(first, first + len(word))))
