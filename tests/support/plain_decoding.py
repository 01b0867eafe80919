"""Plain decoding of what was generated, as independent of ours as can be: Python's own reading of bytes."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Any

from transformers.convert_slow_tokenizer import bytes_to_unicode

__all__ = ["decode_plainly"]

BYTE_OF = {character: byte for byte, character in bytes_to_unicode().items()}


def decode_plainly(tokenizer: Any, ids: Sequence[int]) -> str:
    """Return the text of generated tokens, of a byte-level tokenizer; of a character that is cut at the end, nothing."""
    text: str = tokenizer.decode(ids, skip_special_tokens=True)
    if not text.endswith("\ufffd") or tokenizer.eos_token_id in ids:
        return text
    tokens = [token for token in tokenizer.convert_ids_to_tokens(ids) if token not in tokenizer.all_special_tokens]
    return codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(BYTE_OF[c] for t in tokens for c in t))
