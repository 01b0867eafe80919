"""What a model's files have that a study may not expect: settings, a limit, and special tokens that texts hold too."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from harness.core.example import Example, Split, as_text
from harness.data.tokenization import Limits, PromptForm, Reader, prompt_limit
from harness.study.adapter_base import base_to_compare
from harness.study.chat_notes import chat_notes
from harness.study.checkpoint_generation import unused
from harness.study.decoding_settings import Decoding
from harness.study.model_config import Description
from harness.study.settings import decoding_of, token_limits
from harness.study.spec import StudySpec
from harness.study.task import Task

__all__ = ["doubled_tokens", "model_notes", "special_tokens_in_texts"]


def model_notes(
    study: StudySpec,
    task: Task,
    description: Description,
    reader: Reader,
    forms: Sequence[PromptForm],
    examples: Mapping[Split, Sequence[Example]],
) -> list[str]:
    """Return what `check` tells of a model: what of its files does not hold, and what is known when it is loaded."""
    decoding = decoding_of(study, task, is_encoder_decoder=description.is_encoder_decoder)
    later = {
        "the model has no tokenizer.json: its tokens": description.tokenizer_file,
        "the model's config.json has no number of blocks: they": description.blocks,
    }
    return [
        *base_to_compare(study.model),
        *([] if reader.is_masked else _unused_settings(description.generation, decoding)),
        *(_lowered_limit(reader, token_limits(study, task)) if examples else ()),  # there are none of plain text
        *special_tokens_in_texts(forms, examples, reader),
        *(chat_notes(forms, reader) if description.tokenizer_file else ()),
        *(f"{what} are counted when it is loaded." for what, known in later.items() if known is None),
    ]


def _unused_settings(generation: Mapping[str, Any], decoding: Decoding) -> list[str]:
    """Tell which of a checkpoint's own settings of ``generate`` do not hold: all but those that name tokens."""
    told = ", ".join(f"{name} {value}" for name, value in unused(generation, decoding).items())
    rule = "predictions are made as the study's generation section says"
    return [f"the model's own settings of generate are not used ({told}): {rule}."] if told else []


def _lowered_limit(reader: Reader, limits: Limits) -> list[str]:
    """Tell of a limit of prompts that the model's context lowers."""
    limit = prompt_limit(reader, limits)
    if limit >= limits.source:
        return []
    behind = "" if reader.is_encoder_decoder or reader.is_masked else ", and targets and predictions need their part"
    return [
        f"prompts may take {limit} tokens, not {limits.source} (training.max_source_tokens): the model's context is "
        f"{reader.context}{behind}."
    ]


def special_tokens_in_texts(
    forms: Iterable[PromptForm], examples: Mapping[Split, Sequence[Example]], reader: Reader
) -> list[str]:
    """Tell where prompts, fields and targets hold the text of a special token, which is then read as that token."""
    special: list[str] = getattr(reader.tokenizer, "all_special_tokens", [])
    if reader.is_masked:  # whose masks are written by prompts alone
        special = [token for token in special if token != reader.tokenizer.mask_token]
    if not special:
        return []
    pattern = re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))))
    rows = [example for part in examples.values() for example in part]
    fields = sorted({field for form in forms for field in form.names()})
    columns = {f"field {field}": _texts(rows, field) for field in fields} | {"target": (row.target for row in rows)}
    own = [
        f"prompt {form.name} ({', '.join(map(repr, found))})" for form in forms if (found := pattern.findall(form.text))
    ]
    told = "; ".join([*own, *filter(None, (_place(name, texts, pattern) for name, texts in columns.items()))])
    return [f"texts hold special tokens of the model, which reads them as such: {told}."] if told else []


def _place(name: str, texts: Iterable[str], pattern: re.Pattern[str]) -> str:
    counts, holding, rows = Counter[str](), 0, 0
    for text in texts:
        found = set(pattern.findall(text))
        counts.update(sorted(found))
        holding, rows = holding + bool(found), rows + 1
    listed = ", ".join(f"{token!r} {count}" for token, count in counts.most_common())
    return f"{name} in {holding} of {rows} ({listed})" if listed else ""


def _texts(rows: Iterable[Example], field: str) -> Iterator[str]:
    return (as_text(row.fields.get(field)) for row in rows)


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
        for verb, token in _doubled(form, form.reads(example.fields, reader), reader)
    ]


def _doubled(form: PromptForm, text: str, reader: Reader) -> list[tuple[str, str]]:
    text, special = text.strip(), getattr(reader.tokenizer, "all_special_tokens", [])
    ids = form.ids(text, reader)
    ends = [("begins", ids[:2], text.startswith), ("ends", ids[-2:], text.endswith)]
    return [
        (verb, token)
        for verb, pair, holds in ends
        for token in special
        if len(pair) == 2 and pair[0] == pair[1] and holds(token)
    ]
