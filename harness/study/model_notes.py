"""What a model's files have that a study may not expect: settings, a limit, and special tokens that texts hold too."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from harness.core.example import Example, Split, as_text
from harness.data.tokenization import Limits, PromptForm, Reader, prompt_ids, prompt_limit, prompt_text
from harness.study.model_config import Description

__all__ = ["doubled_tokens", "model_notes", "special_tokens_in_texts"]

NEUTRAL: dict[str, Any] = {
    "do_sample": False,
    "num_beams": 1,
    "min_length": 0,
    "min_new_tokens": 0,
    "length_penalty": 1.0,
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
    "guidance_scale": 1.0,
    "stop_strings": None,
    "watermarking_config": None,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
}
"""Settings of ``generate`` that change what is said and are the study's to make, by the value that changes nothing."""


def model_notes(
    description: Description,
    reader: Reader,
    limits: Limits,
    forms: Sequence[PromptForm],
    examples: Mapping[Split, Sequence[Example]],
) -> list[str]:
    """Return what `check` tells of a model: what of its files does not hold, and what is known when it is loaded."""
    later = {
        "the model has no tokenizer.json: its tokens": description.tokenizer_file,
        "the model's config.json has no number of blocks: they": description.blocks,
    }
    return [
        *_unused_settings(description.generation),
        *_lowered_limit(reader, limits),
        *special_tokens_in_texts(forms, examples, reader),
        *(f"{what} are counted when it is loaded." for what, known in later.items() if known is None),
    ]


def _unused_settings(generation: Mapping[str, Any]) -> list[str]:
    """Tell which of a checkpoint's own settings of ``generate`` do not hold: all but those that name tokens."""
    unused = [
        f"{name} {generation[name]}" for name, neutral in NEUTRAL.items() if generation.get(name) not in (None, neutral)
    ]
    rule = "predictions are made as the study's generation section says"
    return [f"the model's own settings of generate are not used ({', '.join(unused)}): {rule}."] if unused else []


def _lowered_limit(reader: Reader, limits: Limits) -> list[str]:
    """Tell of a limit of prompts that the model's context lowers."""
    limit = prompt_limit(reader, limits)
    if limit >= limits.source:
        return []
    return [
        f"prompts may take {limit} tokens, not {limits.source} (training.max_source_tokens): the model's context is "
        f"{reader.context}{'' if reader.is_encoder_decoder else ', and targets and predictions need their part'}."
    ]


def special_tokens_in_texts(
    forms: Iterable[PromptForm], examples: Mapping[Split, Sequence[Example]], reader: Reader
) -> list[str]:
    """Tell where prompts, fields and targets hold the text of a special token, which is then read as that token."""
    special: list[str] = getattr(reader.tokenizer, "all_special_tokens", [])
    if not special:
        return []
    pattern = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))))
    rows = [example for part in examples.values() for example in part]
    fields = sorted({field for form in forms for field in form.names()})
    columns = {f"field {field}": [as_text(row.fields.get(field)) for row in rows] for field in fields}
    columns["target"] = [row.target for row in rows]
    own = [
        f"prompt {form.name} ({', '.join(map(repr, found))})" for form in forms if (found := pattern.findall(form.text))
    ]
    told = "; ".join([*own, *filter(None, (_place(name, texts, pattern) for name, texts in columns.items()))])
    return [f"texts hold special tokens of the model, which reads them as such: {told}."] if told else []


def _place(name: str, texts: Sequence[str], pattern: re.Pattern[str]) -> str:
    tokens = [found for text in texts if (found := set(pattern.findall(text)))]
    listed = ", ".join(f"{token!r} {count}" for token, count in Counter(chain(*map(sorted, tokens))).most_common())
    return f"{name} in {len(tokens)} of {len(texts)} ({listed})" if listed else ""


def doubled_tokens(forms: Iterable[PromptForm], example: Example, reader: Reader) -> list[str]:
    """Tell of prompts that begin or end with a special token twice, by their own text and by the tokenizer.

    Args:
        forms: The prompts.
        example: Any one.
        reader: The model, or what stands for it.
    """
    return [
        f"Prompt {form.name} {verb} with {token!r} twice, by its text and by the tokenizer; take it out of the text."
        for form in forms
        for verb, token in _doubled(prompt_text(reader, form.render(example.fields)), reader)
    ]


def _doubled(text: str, reader: Reader) -> list[tuple[str, str]]:
    text, special = text.strip(), getattr(reader.tokenizer, "all_special_tokens", [])
    ids = prompt_ids(reader, text)
    ends = [("begins", ids[:2], text.startswith), ("ends", ids[-2:], text.endswith)]
    return [
        (verb, token)
        for verb, pair, holds in ends
        for token in special
        if len(pair) == 2 and pair[0] == pair[1] and holds(token)
    ]
