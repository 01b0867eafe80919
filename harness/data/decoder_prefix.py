"""What generation settings say of tokens: how an encoder-decoder's answers begin, its language, and what is never said.

A language is a token of the vocabulary. mBART's decoder starts with it; mBART-50, M2M100 and NLLB start with another
token, and generation forces the language behind it (their papers: Liu et al. 2020, Tang et al. 2020, Fan et al. 2020,
NLLB Team 2022). Whichever of the two a checkpoint's generation settings use is what a study's language replaces.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from harness.core.closest_match import closest
from harness.core.errors import ModelError

__all__ = ["AnswerTokens", "Beginning", "answer_tokens", "language_codes", "refuse_language"]

CODE = re.compile(r"[a-z]{2,3}_([A-Z]{2}|[A-Z][a-z]{3})|__[a-z]+(_[A-Z]{2})?__")
"""Tokens of languages: ``en_XX`` of mBART, ``eng_Latn`` of NLLB, ``__en__`` of M2M100, ``__java__`` of PLBart."""


class Beginning(NamedTuple):
    """The first tokens of an answer, by their ids."""

    start: int | None
    """What the decoder reads first."""
    forced: int | None
    """What generation then says whatever the model thinks; ``None``: what it thinks."""

    def speaking(self, codes: Mapping[str, int], target: str | None, tokenizer: tuple[str | None, ...]) -> Beginning:
        """Return the beginning of answers in a language.

        Args:
            codes: The languages of the model.
            target: The study's; ``None``: that of these settings, else the tokenizer's.
            tokenizer: The source and target language of the tokenizer's settings. Transformers writes the source's as
                both where none was set for targets.
        """
        source, own = ((code or "").strip("_") for code in tokenizer)
        if target is None and own != source and not {self.start, self.forced} & set(codes.values()):
            target = own
        if target is None or target not in codes:
            return self
        if self.start is None or self.start in codes.values():
            return Beginning(codes[target], None)
        return Beginning(self.start, codes[target])


class AnswerTokens(NamedTuple):
    """What of answers is settled before a model thinks, by token ids."""

    prefix: tuple[int, ...] = ()
    """What an encoder-decoder says before a target: what generation forces, else what the tokenizer puts there."""
    banned: frozenset[int] = frozenset()
    """What no prediction holds."""


def language_codes(vocabulary: Mapping[str, int]) -> dict[str, int]:
    """Return the languages of a vocabulary, by their codes as tokenizers take them, ``en`` for ``__en__``."""
    return {token.strip("_"): number for token, number in sorted(vocabulary.items()) if CODE.fullmatch(token)}


def refuse_language(key: str, code: str, codes: Mapping[str, int]) -> None:
    """Refuse a language that a study names and a model lacks.

    Args:
        key: The study's, for the message.
        code: Its value.
        codes: From `language_codes`.

    Raises:
        ModelError: The model has no languages, or not this one.
    """
    if not codes:
        raise ModelError(f"{key} is {code!r}, but the model's tokenizer has no language codes; remove {key}")
    if code not in codes:
        raise ModelError(f"{key} {code!r} is no language of the model's tokenizer; {closest(code, codes)}")


def answer_tokens(tokenizer: Any, settings: Mapping[str, Any], *, halves: bool) -> AnswerTokens:
    """Return what of answers is settled before a model thinks.

    Args:
        tokenizer: A transformers tokenizer, or what stands for it.
        settings: Those of ``generate``.
        halves: Whether an encoder reads the prompt; nothing is forced behind one that answers follow.
    """
    words = (words[0] for words in settings.get("bad_words_ids") or () if len(words) == 1)
    banned = frozenset((*words, *(settings.get("suppress_tokens") or ())))
    return AnswerTokens(_target_prefix(tokenizer, settings.get("forced_bos_token_id")) if halves else (), banned)


def _target_prefix(tokenizer: Any, forced: int | None) -> tuple[int, ...]:
    if forced is not None:
        return (forced,)
    whole, bare = (
        tuple(tokenizer(text_target="a 1", add_special_tokens=special, verbose=False)["input_ids"])
        for special in (True, False)
    )
    return next((whole[:start] for start in range(len(whole)) if whole[start : start + len(bare)] == bare), ())
