"""A tokenizer read from its files alone, so that `check` counts tokens without transformers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from tokenizers import AddedToken, Tokenizer

from harness.core.bounded_files import read_json, read_text
from harness.core.errors import ModelError
from harness.data.decoder_prefix import AnswerTokens, Beginning, answer_tokens, language_codes
from harness.study.model_config import Description
from harness.study.model_files import CHAT_TEMPLATE

__all__ = ["LightReader", "light_reader"]

ROLES = ("bos", "eos", "unk", "sep", "pad", "cls", "mask")
"""What a tokenizer's settings may name a token for."""


class LightReader(NamedTuple):
    """What `encode` needs to know of a model, read from its files."""

    tokenizer: Any
    is_encoder_decoder: bool
    context: int | None
    embedding_rows: tuple[int | None, int | None] = (None, None)
    answers: AnswerTokens = AnswerTokens()
    is_masked: bool = False


MASKS, SEPARATORS = ("[MASK]", "<mask>"), ("[SEP]", "</s>")
"""What tokenizers whose settings name none call their masks, and what stands behind a text."""

KNOWN = 8192
"""Texts whose tokens are remembered."""


class _LightTokenizer:
    """What `encode` calls of a transformers tokenizer, on its files alone; the last texts are remembered."""

    def __init__(self, file: Path, *, is_masked: bool = False) -> None:
        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._known: dict[tuple[str, bool], list[int]] = {}
        settings = _settings(file.parent / "tokenizer_config.json")
        self.languages = settings.get("src_lang"), settings.get("tgt_lang")
        self.chat_template = _chat_templates(file.parent, settings)
        names = (f"{role}_token" for role in ROLES)
        self.special_tokens_map = {name: text for name in names if (text := _content(settings.get(name))) is not None}
        self.mask_token = self._role(settings, "mask", MASKS)
        self.mask_token_id = self._tokenizer.token_to_id(self.mask_token) if self.mask_token else None
        self.unk_token = _content(settings.get("unk_token")) or getattr(self._tokenizer.model, "unk_token", None)
        self.unk_token_id = self._tokenizer.token_to_id(self.unk_token) if self.unk_token else None
        behind = self._role(settings, "sep", SEPARATORS) if is_masked else None
        self.eos_token = _content(settings.get("eos_token")) or behind
        # -1 where the files do not name one; loading the model will refuse that.
        self.eos_token_id = -1 if (number := self._tokenizer.token_to_id(self.eos_token or "")) is None else number
        _mark_special(self._tokenizer, settings)
        added = self._tokenizer.get_added_tokens_decoder().values()
        self.all_special_tokens = [token.content for token in added if token.special]

    def __call__(
        self, text: str = "", *, text_target: str = "", add_special_tokens: bool = True, verbose: bool = False
    ) -> dict[str, list[int]]:
        key = (text or text_target, add_special_tokens)
        if key not in self._known:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[key] = self._tokenizer.encode(key[0], add_special_tokens=add_special_tokens).ids
        return {"input_ids": self._known[key]}

    def _role(self, settings: Mapping[str, Any], role: str, usual: Sequence[str]) -> str | None:
        """Return the token that settings name for a role, else a usual one that the vocabulary has."""
        known = (token for token in usual if self._tokenizer.token_to_id(token) is not None)
        return _content(settings.get(f"{role}_token")) or next(known, None)

    def spans(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the ids of a text, without special tokens, and the first and last character of each."""
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    @property
    def digest(self) -> str:
        """A content hash of what it makes of texts."""
        return sha256(self._tokenizer.to_str().encode()).hexdigest()

    def read_ahead(self, texts: Sequence[str], bare: Sequence[str]) -> None:
        """Tokenize texts all at once, on all cores: some with special tokens, some without; forget all others."""
        self._known.clear()
        for part, special in ((texts, True), (bare, False)):
            distinct = list(dict.fromkeys(part))  # targets that are labels recur
            encodings = self._tokenizer.encode_batch_fast(distinct, add_special_tokens=special)
            self._known |= {(text, special): encoding.ids for text, encoding in zip(distinct, encodings, strict=True)}

    def get_vocab(self) -> dict[str, int]:
        """Return all tokens with their ids."""
        vocabulary: dict[str, int] = self._tokenizer.get_vocab()
        return vocabulary

    def batch_decode(
        self, rows: Sequence[Sequence[int]], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool
    ) -> list[str]:
        """Return texts; `tokenizers` by itself cleans up no spaces."""
        return self._tokenizer.decode_batch([list(ids) for ids in rows], skip_special_tokens=skip_special_tokens)


class _Words:
    """Stands in for a tokenizer that only transformers can build: a word is a token, and nothing is cut or dropped."""

    eos_token = mask_token = mask_token_id = unk_token = unk_token_id = None
    eos_token_id = -1
    languages = None, None
    end = "</s>"
    chat_template = (
        "{% for turn in messages %}{{ turn.content }} {{ '</s>' if turn.role == 'assistant' else '' }}{% endfor %}"
    )
    special_tokens_map: Mapping[str, str] = MappingProxyType({})

    def get_vocab(self) -> dict[str, int]:
        return {}

    def batch_decode(self, rows: Sequence[Sequence[int]], *, skip_special_tokens: bool, **_: bool) -> list[str]:
        """Return the end token for each, which is all that is asked for of words that no file numbers."""
        return ["" if skip_special_tokens else self.end for _ in rows]

    def __call__(self, text: str = "", *, text_target: str = "", **_: bool) -> dict[str, list[int]]:
        return {"input_ids": list(range(len((text or text_target).split())))}


def light_reader(description: Description, target_language: str | None = None) -> LightReader:
    """Return a reader that needs neither weights nor transformers.

    Args:
        description: Of the model.
        target_language: The study's, known to the model.

    Raises:
        ModelError: The tokenizer's files cannot be read.
    """
    file = description.tokenizer_file
    try:
        tokenizer = _LightTokenizer(file, is_masked=description.is_masked) if file else _Words()
    except ModelError:
        raise
    except Exception as error:  # tokenizers raises nothing more precise
        raise ModelError(f"tokenizer {file} cannot be read: {error}; write the model's tokenizer again") from error
    if file is None:
        return LightReader(tokenizer, description.is_encoder_decoder, None, is_masked=description.is_masked)
    settings, halves = description.generation, description.is_encoder_decoder
    if halves:
        own = Beginning(settings.get("decoder_start_token_id"), settings.get("forced_bos_token_id"))
        spoken = own.speaking(language_codes(tokenizer.get_vocab()), target_language, tokenizer.languages)
        settings = {**settings, "forced_bos_token_id": spoken.forced}
    answers = answer_tokens(tokenizer, settings, halves=halves)
    return LightReader(
        tokenizer, halves, description.context, description.embedding_rows, answers, description.is_masked
    )


def _chat_templates(folder: Path, settings: Mapping[str, Any]) -> str | dict[str, str] | None:
    """Return the chat template, or several by their names, as transformers finds them: files go before settings."""
    others = folder.glob("additional_chat_templates/*.jinja")
    files = {"default": folder / CHAT_TEMPLATE, **{file.stem: file for file in others}}
    found = {name: _template_in(file) for name, file in sorted(files.items()) if file.is_file()}
    if not found:
        held = settings.get("chat_template")
        if not isinstance(held, list):
            return held if isinstance(held, str | dict) else None
        named = (one for one in held if isinstance(one, dict) and {"name", "template"} <= one.keys())
        found = {one["name"]: one["template"] for one in named}
    return found["default"] if found.keys() == {"default"} else found


def _template_in(file: Path) -> str:
    try:
        return read_text(file)
    except (OSError, ValueError) as error:
        raise ModelError(f"chat template {file} cannot be read: {error}; write it again, as UTF-8") from error


def _settings(file: Path) -> dict[str, Any]:
    """Return what stands beside a tokenizer's vocabulary; nothing where there is no such file."""
    settings = read_json(file) if file.is_file() else {}
    return settings if isinstance(settings, dict) else {}


def _mark_special(tokenizer: Tokenizer, settings: Mapping[str, Any]) -> None:
    """Mark tokens as special as transformers does: those with a role always, others where their file says nothing."""
    added = {token.content: token.special for token in tokenizer.get_added_tokens_decoder().values()}
    roles = {_content(settings.get(f"{role}_token")) for role in ROLES}
    more = [settings.get(name) or () for name in ("additional_special_tokens", "extra_special_tokens")]
    others = {_content(token) for some in more for token in (some.values() if isinstance(some, dict) else some)}
    unmarked = {text for text in roles if text and not added.get(text)} | (others - added.keys())
    known = [text for text in unmarked if text is not None and tokenizer.token_to_id(text) is not None]
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in known])


def _content(token: object) -> str | None:
    """Return a token's text, which stands by itself or among its properties."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None
