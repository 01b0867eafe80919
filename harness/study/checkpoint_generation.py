"""A checkpoint's own settings of ``generate``: which hold, which give way to the study's, which are refused.

`ROLES` has every setting that transformers knows. One that is in no group of it is of the checkpoint's own code or of a
version to come; ``generate`` is not given it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

from harness.core.errors import ModelError
from harness.study.decoding_settings import Decoding
from harness.study.model_config import Description

__all__ = ["GENERATION_TOKENS", "ROLES", "Role", "refuse_malformed", "unused"]

GENERATION_TOKENS = (
    "bos_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "sequence_bias",
)
"""What holds of a checkpoint's own generation settings, beside its end tokens: which tokens may be said, and where."""


class Role(NamedTuple):
    """What becomes of a checkpoint's setting."""

    kind: Literal["honored", "overridden", "set aside", "idle"]
    """``overridden``: by a key of the study's, or its default; ``set aside``: nothing replaces it; ``idle``: it moves
    no token that is said."""

    key: str = ""
    """The study's key in ``generation`` that decides in its place."""

    neutral: Any = None
    """Of one that is set aside: the value with which nothing changes, beside ``None``."""


ROLES: Mapping[str, Role] = {
    **{name: Role("honored") for name in (*GENERATION_TOKENS, "eos_token_id")},
    "max_length": Role("overridden", "max_new_tokens"),
    "max_new_tokens": Role("overridden", "max_new_tokens"),
    "min_length": Role("overridden", "min_new_tokens"),
    "min_new_tokens": Role("overridden", "min_new_tokens"),
    "num_beams": Role("overridden", "num_beams"),
    "length_penalty": Role("overridden", "length_penalty"),
    "no_repeat_ngram_size": Role("overridden", "no_repeat_ngram_size"),
    "repetition_penalty": Role("overridden", "repetition_penalty"),
    "do_sample": Role("overridden", "sample"),
    "temperature": Role("overridden", "temperature"),
    "top_p": Role("overridden", "top_p"),
    "stop_strings": Role("overridden", "stop"),
    "encoder_repetition_penalty": Role("set aside", neutral=1.0),
    "encoder_no_repeat_ngram_size": Role("set aside", neutral=0),
    "forced_eos_token_id": Role("set aside"),
    "exponential_decay_length_penalty": Role("set aside"),
    "guidance_scale": Role("set aside", neutral=1.0),
    "watermarking_config": Role("set aside"),
    "num_beam_groups": Role("set aside", neutral=1),
    "diversity_penalty": Role("set aside", neutral=0.0),
    "early_stopping": Role("set aside", neutral=False),
    "top_k": Role("set aside", neutral=0),
    "min_p": Role("set aside"),
    "top_h": Role("set aside"),
    "typical_p": Role("set aside", neutral=1.0),
    "epsilon_cutoff": Role("set aside", neutral=0.0),
    "eta_cutoff": Role("set aside", neutral=0.0),
    "renormalize_logits": Role("set aside", neutral=False),
    "remove_invalid_values": Role("set aside", neutral=False),
    "token_healing": Role("set aside", neutral=False),
    "penalty_alpha": Role("set aside"),
    "dola_layers": Role("set aside"),
    "constraints": Role("set aside"),
    "force_words_ids": Role("set aside"),
    "max_time": Role("set aside"),
    "num_return_sequences": Role("set aside", neutral=1),
    **{
        name: Role("idle")
        for name in (
            *("pad_token_id", "use_cache", "cache_implementation", "cache_config", "max_cache_len", "low_memory"),
            *("prefill_chunk_size", "compile_config", "disable_compile", "continuous_batching_config", "use_mtp"),
            *("output_attentions", "output_hidden_states", "output_scores", "output_logits", "return_dict_in_generate"),
            *("is_assistant", "num_assistant_tokens", "num_assistant_tokens_schedule", "prompt_lookup_num_tokens"),
            *("assistant_confidence_threshold", "assistant_early_exit", "assistant_lookbehind", "target_lookbehind"),
            *("assistant_ensemble_weight", "max_matching_ngram_size", "speculation_type", "transformers_version"),
        )
    },
}
"""What becomes of each setting, by its name; pinned to transformers' own list by a test."""

WHEN_SAMPLING = frozenset(
    {"temperature", "top_p", "top_k", "min_p", "top_h", "typical_p", "epsilon_cutoff", "eta_cutoff"}
)
WITH_BEAMS = frozenset({"early_stopping", "length_penalty"})
LENGTHS = frozenset({"max_length", "max_new_tokens"})
"""Every study has a length of its own."""


def unused(settings: Mapping[str, Any], decoding: Decoding) -> dict[str, Any]:
    """Return a checkpoint's settings that would change what is said, and do not hold, by name.

    What shapes draws is told of where a study draws, else ``do_sample`` tells of it; what weighs beams where somebody
    has any.

    Args:
        settings: The checkpoint's.
        decoding: The study's.
    """
    silent = LENGTHS | (frozenset() if decoding.sample else WHEN_SAMPLING)
    if decoding.num_beams == 1 and settings.get("num_beams") in (None, 1):
        silent |= WITH_BEAMS
    found = {}
    for name, role in ROLES.items():
        own = getattr(decoding, role.key) if role.kind == "overridden" else role.neutral
        if role.kind in ("overridden", "set aside") and name not in silent and settings.get(name) not in (None, own):
            found[name] = settings[name]
    return found


MOST = 1000
"""Settings: transformers has some ninety, and copies them at every call."""


def refuse_malformed(name: str, description: Description) -> None:
    """See that the settings that hold can: tokens are ids, and those that are banned or forced are the vocabulary's.

    Args:
        name: The model's, for the message.
        description: Of the model.

    Raises:
        ModelError: One cannot; names it, its value and what it must be.
    """
    if len(description.generation) > MOST:
        raise ModelError(
            f"model {name}: it has {len(description.generation):,} generation settings, and no model has more than "
            f"{MOST:,}; take what is none out of generation_config.json"
        )
    for setting, (holds, rule) in SHAPES.items():
        value = description.generation.get(setting)
        if value is not None and not holds(value):
            raise ModelError(
                f"model {name}: its generation settings say {setting} {str(value)[:80]}; {rule}; correct "
                "generation_config.json"
            )
    rows = description.embedding_rows[1]
    for setting in ("decoder_start_token_id", "forced_bos_token_id", "bad_words_ids", "sequence_bias"):
        beyond = [id for id in _ids(description.generation.get(setting)) if rows is not None and id >= rows]
        if beyond:
            raise ModelError(
                f"model {name}: its generation settings say {setting} with token {beyond[0]}, but its embeddings have "
                f"{rows} rows; correct generation_config.json"
            )


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(id, int) and not isinstance(id, bool) for id in value)


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(word and _is_ids(word) for word in value)


def _is_bias(value: Any) -> bool:
    def is_pair(entry: Any) -> bool:
        return isinstance(entry, list) and len(entry) == 2 and bool(entry[0]) and _is_ids(entry[0])

    return isinstance(value, list) and bool(value) and all(is_pair(entry) for entry in value)


SHAPES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "eos_token_id": (lambda value: _is_id(value) or _is_ids(value), "it must be the id of a token, or a list of such"),
    "forced_bos_token_id": (_is_id, "it must be the id of a token"),
    "bad_words_ids": (_is_words, "it must be a list of words, each a list of ids of tokens"),
    "suppress_tokens": (_is_ids, "it must be a list of ids of tokens"),
    "begin_suppress_tokens": (_is_ids, "it must be a list of ids of tokens"),
    "sequence_bias": (_is_bias, "it must be a list of pairs, each a list of ids of tokens and a number"),
}
"""What a setting that holds must look like, and how that is said."""


def _ids(value: Any) -> list[int]:
    """Return all ids in a setting of tokens; the number beside a biased sequence is no id."""
    if isinstance(value, list):
        return [id for part in value for id in _ids(part)]
    return [value] if _is_id(value) else []
