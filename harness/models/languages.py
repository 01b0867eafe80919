"""Languages of a loaded model, set in its tokenizer and its generation settings: what is stored has them too."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from harness.core.errors import ModelError
from harness.data.decoder_prefix import Beginning, language_codes, refuse_language
from harness.models.classification_head import classifies

__all__ = ["beginning", "set_languages"]


def beginning(model: PreTrainedModel) -> Beginning:
    """Return how answers of an encoder-decoder begin, by the rule of ``generate``.

    Raises:
        ModelError: Its generation settings do not say, or several things at once.
    """
    settings = model.generation_config
    start = settings.bos_token_id if settings.decoder_start_token_id is None else settings.decoder_start_token_id
    if not isinstance(start, int):
        raise ModelError(
            f"{type(model).__name__}: what its decoder starts with is {start}, not one token; set "
            "decoder_start_token_id in its generation_config.json"
        )
    return Beginning(start, settings.forced_bos_token_id)


def set_languages(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, source: str | None, target: str | None
) -> None:
    """Have a model read one language and write another.

    Args:
        model: Its generation settings are given the target's token.
        tokenizer: One with language codes knows the languages of sources and targets afterwards.
        source: The code of the language of prompts; ``None``: the tokenizer's own.
        target: That of answers; ``None``: the generation settings' own, else the tokenizer's.

    Raises:
        ModelError: The model has no languages, or not these.
    """
    speaker: Any = tokenizer
    tokens = getattr(tokenizer, "lang_token_to_id", None) or tokenizer.get_vocab()  # M2M100's are apart
    codes = language_codes(tokens) if hasattr(tokenizer, "src_lang") else {}
    for key, code in {"source_language": source, "target_language": target}.items():
        if code is not None:
            refuse_language(key, code, codes)
    if codes and classifies(model):
        speaker.src_lang = source or speaker.src_lang
    if not codes or classifies(model):
        return
    settings = model.generation_config
    own = Beginning(settings.decoder_start_token_id, settings.forced_bos_token_id)
    spoken = own.speaking(codes, target, (speaker.src_lang, speaker.tgt_lang))
    settings.decoder_start_token_id, settings.forced_bos_token_id = spoken
    for code in [code for code, number in codes.items() if number in spoken]:
        speaker.tgt_lang = code
    speaker.src_lang = source or speaker.src_lang  # last: a tokenizer is left ready for sources
    try:
        tokenizer(text_target="")
    except KeyError as error:  # M2M100's
        raise ModelError(
            "the model's tokenizer writes no targets before it is told their language; set model.target_language to "
            f"one of {', '.join(codes)}"
        ) from error
