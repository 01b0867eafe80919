"""Whole characters: a prediction that its length cut inside of one, of several tokens, ends with the one before."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from collections.abc import Sequence

from transformers.convert_slow_tokenizer import bytes_to_unicode

from harness.data.target_texts import decoded
from harness.data.tokenization import Reader

__all__ = ["whole_characters"]

BYTES = {character: bytes([byte]) for byte, character in bytes_to_unicode().items()}
"""How byte-level tokenizers (Radford et al. 2019) write bytes."""

FALLBACK = re.compile(r"<0x([0-9A-F]{2})>")
"""How others write the bytes of characters that they lack."""


def whole_characters(reader: Reader, ids: Sequence[int], text: str) -> str:
    """Return the text of tokens without the beginning of a character at its end; what is no character stays.

    Args:
        reader: Its tokenizer made them.
        ids: Cut at any place.
        text: Their own, as `decoded` returns it: with U+FFFD for what is no character.
    """
    if not text.endswith("\ufffd"):
        return text
    special = reader.tokenizer.all_special_ids
    ids = [number for number in ids if number not in special]
    tokens = reader.tokenizer.convert_ids_to_tokens(ids[-4:])
    decoder = getincrementaldecoder("utf-8")("replace")
    decoder.decode(b"".join(map(_bytes, tokens)))
    begun, _ = decoder.getstate()
    if not begun:
        return text
    # Where a run of bytes is no text as a whole, none of it is read: what stands before may be.
    return decoded(reader, [ids[: -len(begun)]])[0] if FALLBACK.fullmatch(tokens[-1]) else text[:-1]


def _bytes(token: str) -> bytes:
    if match := FALLBACK.fullmatch(token):
        return bytes.fromhex(match[1])
    return b"".join(BYTES.get(character, b"?") for character in token)
