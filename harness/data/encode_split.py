"""A split in token ids, whatever it is of: prompts and targets, prompts and the words of labels, or blocks of text."""

from __future__ import annotations

from collections.abc import Sequence

from harness.core.example import Example
from harness.data.choice_rows import encode_choices
from harness.data.label_words import is_labelled
from harness.data.masked_blocks import masked_rows
from harness.data.plain_text import PlainText
from harness.data.text_blocks import BlockRows
from harness.data.tokenization import Encoded, Limits, PromptForm, Reader, encode

__all__ = ["encode_split"]


def encode_split(
    examples: Sequence[Example], prompt: PromptForm, reader: Reader, *, limits: Limits, of_train: bool = False
) -> Encoded:
    """Return a split in token ids, blocks of text each when it is asked for.

    Takes and raises what `harness.data.tokenization.encode` does; of the training split, examples are left out whose
    target exceeds its limit, and of a masked model's blocks some tokens are hidden, of others each in turn.
    """
    if isinstance(prompt, PlainText):
        masked = reader.is_masked
        rows = masked_rows(examples, prompt, reader, of_train=of_train) if masked else BlockRows(examples, prompt)
        return Encoded(rows, [], 0.0, dropped=0)
    if is_labelled(prompt):
        return encode_choices(examples, prompt, reader, limits=limits)
    return encode(examples, prompt, reader, limits=limits, drop_long_targets=of_train)
