"""A tokenizer read from its files alone, so that `check` counts tokens without transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from harness.core.errors import ModelError
from harness.study.model_config import Description

__all__ = ["LightReader", "light_reader"]


class LightReader(NamedTuple):
    """What `encode` needs to know of a model, read from its files."""

    tokenizer: Any
    is_encoder_decoder: bool
    context: int | None


class _LightTokenizer:
    """The call of a transformers tokenizer, on a ``tokenizer.json`` alone; each text is tokenized once."""

    def __init__(self, file: Path) -> None:
        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.no_truncation()
        self._known: dict[tuple[str, bool], list[int]] = {}
        self.eos_token_id = _end_token(self._tokenizer, file.parent / "tokenizer_config.json")

    def __call__(
        self, text: str = "", *, text_target: str = "", add_special_tokens: bool = True, verbose: bool = False
    ) -> dict[str, list[int]]:
        key = (text or text_target, add_special_tokens)
        if key not in self._known:
            self._known[key] = self._tokenizer.encode(key[0], add_special_tokens=add_special_tokens).ids
        return {"input_ids": self._known[key]}


class _Words:
    """Stands in for a tokenizer that only transformers can build: a word is a token. Lengths are told at load."""

    eos_token_id = -1

    def __call__(self, text: str = "", *, text_target: str = "", **_: bool) -> dict[str, list[int]]:
        return {"input_ids": list(range(len((text or text_target).split())))}


def light_reader(description: Description) -> LightReader:
    """Return a reader that needs neither weights nor transformers.

    Raises:
        ModelError: The tokenizer's files cannot be read.
    """
    file = description.tokenizer_file
    try:
        tokenizer = _LightTokenizer(file) if file else _Words()
    except Exception as error:  # tokenizers raises nothing more precise
        raise ModelError(f"tokenizer {file} cannot be read: {error}; write the model's tokenizer again") from error
    return LightReader(tokenizer, description.is_encoder_decoder, description.context)


def _end_token(tokenizer: Tokenizer, config: Path) -> int:
    """Return the end token's id, -1 where the files do not name one; loading the model will refuse that."""
    if not config.is_file():
        return -1
    settings = json.loads(config.read_text(encoding="utf-8"))
    named = settings.get("eos_token") if isinstance(settings, dict) else None
    token = named.get("content") if isinstance(named, dict) else named
    identity = tokenizer.token_to_id(token) if isinstance(token, str) else None
    return -1 if identity is None else int(identity)
