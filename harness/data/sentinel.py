"""Sentinels: the place to fill of a T5-type model, which pretraining asks for, ``{{ sentinel }}`` in a prompt's text.

Pretraining replaces spans of a text by ``<extra_id_0>``, ``<extra_id_1>``, ... and has the decoder say each sentinel
and what stood there (Raffel et al. 2020, "Exploring the Limits of Transfer Learning with a Unified Text-to-Text
Transformer", section 3.1.4). So the answer stands between the first sentinel and the second, which ends it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.core.errors import TemplateError

if TYPE_CHECKING:
    from harness.data.tokenization import Ids, Reader

__all__ = ["FIELD", "FIRST", "filled_ids", "sentinel_ids"]

FIELD = "sentinel"
"""What prompts call it; no column of a row is called so."""

FIRST, SECOND = "<extra_id_0>", "<extra_id_1>"


def sentinel_ids(prompt: str, reader: Reader) -> tuple[int, int]:
    """Return the ids of the sentinels before and behind an answer.

    Args:
        prompt: The name of the prompt that has the field.
        reader: The model, or what stands for it.

    Raises:
        TemplateError: The model has no sentinels.
    """
    known = reader.tokenizer.get_vocab() if reader.is_encoder_decoder else {}
    if FIRST not in known or SECOND not in known:
        why = f"the tokenizer has no {FIRST}" if reader.is_encoder_decoder else "it is no encoder-decoder"
        raise TemplateError(
            f"prompt {prompt!r} uses {{{{ sentinel }}}}, which is for T5-type models; of this one {why}: "
            "write a cue instead"
        )
    return known[FIRST], known[SECOND]


def filled_ids(prompt: str, reader: Reader, target: str) -> Ids:
    """Return the ids of a target as what fills the sentinel: between the first and the second one.

    Raises:
        TemplateError: The model has no sentinels.
    """
    first, second = sentinel_ids(prompt, reader)
    bare = reader.tokenizer(text_target=target.strip(), add_special_tokens=False, verbose=False)["input_ids"]
    return (*reader.answers.prefix, first, *bare, second)
