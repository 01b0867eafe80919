"""Lints of prompts: what is allowed, and mostly a slip; each says what to do about it.

To add one, write a function that tells of one prompt, and enter it in `LINTS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from harness.core.example import Example, Split, as_text, field_names
from harness.data.chat import Chat
from harness.data.chat_template import chat_template
from harness.data.demonstrations import NO_DEMONSTRATIONS, Demonstrations, pick_of, shots_of
from harness.data.label_words import answers_of
from harness.data.template import Template
from harness.data.tokenization import PromptForm, Reader
from harness.study.prompt_language import language_of, languages_of
from harness.study.row_lengths import TOLD, Fit

__all__ = ["LINTS", "Lint", "Linted", "lint_prompts"]

FILLED = re.compile(r"\{\{.*?\}\}", re.DOTALL)
"""What of a text is filled in."""

UNSHOWN = re.compile(r"\{%.*?%\}|\{#.*?#\}", re.DOTALL)
"""What of a text says how it is written, and is no part of what comes of it."""

INSTRUCTION = 4
"""Words from which on a text is more than a cue."""

TELLING = 12
"""Characters from which on a target stands in a prompt by no chance."""

OF_CHATS = {"messages", "source"}
"""Fields that say the same, where rows are chats."""

MARKERS = (
    *("<|im_start|>", "<|im_end|>", "[INST]", "[/INST]", "<<SYS>>", "<start_of_turn>", "<end_of_turn>", "<|eot_id|>"),
    *("<|start_header_id|>", "<|end_header_id|>", "<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
    *("<|begin_of_text|>", "<|endoftext|>", "<|start|>", "<|channel|>", "<|message|>", "</s>"),
)
"""How models mark turns and texts."""


class Lint(NamedTuple):
    """What one lint says of a prompt."""

    name: str
    """Of `LINTS`."""
    prompt: str
    advice: str
    """What is the matter, and what to do."""


class Linted(NamedTuple):
    """A prompt, and what is known of the study that it is for."""

    prompt: PromptForm
    fit: Fit | None
    """How its renderings fit; ``None`` where they were not counted."""
    examples: Mapping[Split, Sequence[Example]]
    reader: Reader
    languages: frozenset[str]
    """Of sources and targets."""
    unused: Sequence[str]
    """The fields of rows that no prompt of the study uses."""
    demonstrations: Demonstrations
    prefixes: Sequence[str]
    """What the model's prompts began with in training."""

    @property
    def tokens(self) -> frozenset[str]:
        """The model's; none where transformers alone can build its tokenizer."""
        return frozenset(self.reader.tokenizer.get_vocab())

    @property
    def bare(self) -> str:
        """The text with a NUL for all that is filled in."""
        return FILLED.sub("\0", UNSHOWN.sub("", self.prompt.text))


def lint_prompts(
    prompts: Sequence[PromptForm],
    fits: Iterable[Fit],
    examples: Mapping[Split, Sequence[Example]],
    reader: Reader,
    demonstrations: Demonstrations = NO_DEMONSTRATIONS,
    prefixes: Sequence[str] = (),
    shown_otherwise: frozenset[str] = frozenset(),
) -> tuple[Lint, ...]:
    """Return what there is to say of each prompt.

    Args:
        prompts: Of a study.
        fits: How they fit, as far as that was counted.
        examples: All splits at hand.
        reader: The model, or what stands for it.
        demonstrations: What prompts pick theirs from.
        prefixes: What the model's prompts began with in training.
        shown_otherwise: Columns that fields of other names are made of.
    """
    by_name = {fit.prompt: fit for fit in fits}
    rows = [row for part in examples.values() for row in part]
    used = {name for prompt in prompts for name in prompt.names()}
    used |= OF_CHATS if used & OF_CHATS else set()
    others = [name for name in field_names(rows) if name not in used and name not in shown_otherwise]
    unused = [name for name in others if not _is_shown(name, used, rows)]
    languages = languages_of(rows)
    found = []
    for prompt in prompts:
        seen = Linted(prompt, by_name.get(prompt.name), examples, reader, languages, unused, demonstrations, prefixes)
        found += [Lint(name, prompt.name, advice) for name, lint in LINTS.items() if (advice := lint(seen))]
    return tuple(found)


def _is_shown(name: str, used: Collection[str], rows: Sequence[Example]) -> bool:
    """Return whether a field says on every row what a used one does, or the target: it is the column of that one."""
    texts = [as_text(row.fields.get(name)) for row in rows]
    others = [[row.target for row in rows], *([as_text(row.fields.get(one)) for row in rows] for one in used)]
    return any(texts) and texts in others


def _trailing_space(seen: Linted) -> str | None:
    prompt = seen.prompt
    begins = (prompt.assistant or "") if isinstance(prompt, Chat) else prompt.text  # a marker follows all other turns
    if not re.search(r"[^\S\n]\Z", begins):
        return None
    return "it ends in a space, and what follows brings its own: end it with the word before, or with a new line"


def _unused_field(seen: Linted) -> str | None:
    if not seen.unused:
        return None
    several = len(seen.unused) > 1
    names = ", ".join(seen.unused[:5]) + (" and more" if len(seen.unused) > 5 else "")
    return f"no prompt uses the field{'s' * several} {names}: show what helps, or leave the column out of the data"


def _instruction_behind_cut(seen: Linted) -> str | None:
    shorten = getattr(seen.prompt, "shorten", None)
    cut = max(seen.fit.shortened.values(), default=0.0) if seen.fit else 0.0
    if not shorten or not cut or getattr(seen.prompt, "keep", "start") == "end":
        return None
    field = re.search(rf"\{{\{{[^}}]*\b{re.escape(shorten)}\b[^}}]*\}}\}}", seen.prompt.text)
    behind = FILLED.sub(" ", UNSHOWN.sub("", seen.prompt.text[field.end() :])) if field else ""
    if len(re.findall(r"\w+", behind)) < INSTRUCTION:
        return None
    found = f"its instruction stands behind {shorten!r}, which breaks off in {cut:.1%} of rows"
    return f"{found}: put it in front, or keep the field's end (keep: end)"


def _many_shortened(seen: Linted) -> str | None:
    cut = {split: share for split, share in seen.fit.shortened.items() if share > TOLD} if seen.fit else {}
    if not cut:
        return None
    told = ", ".join(f"{share:.0%} of {split}" for split, share in cut.items())
    return f"{told} is shortened: raise training.max_source_tokens, or show less"


def _leaked_labels(seen: Linted) -> str | None:
    text = _spaced(seen.bare)
    scored = [row for split, part in seen.examples.items() if split != "train" for row in part]
    targets = ((row.id, _spaced(row.target)) for row in scored)
    held = [(id, target) for id, target in targets if len(target) >= TELLING and target in text]
    # An answer that training rows have as well, such as a label in a list of all, tells of no scored row.
    known = {_spaced(row.target) for row in seen.examples.get("train", ())} if held else set()
    leaked = [id for id, target in held if target not in known]
    if not leaked:
        return _one_label(seen)
    rows = f"row {leaked[0]!r}" if len(leaked) == 1 else f"{len(leaked)} rows, {leaked[0]!r} among them"
    return f"it holds the target of {rows}, which are scored: take demonstrations from train alone"


def _spaced(text: str) -> str:
    return " ".join(text.casefold().split())


def _one_label(seen: Linted) -> str | None:
    """Tell of demonstrations that all rows share and that have one answer, where there are few to choose from."""
    rows = seen.demonstrations.rows
    labels = {row.target.strip() for row in rows}
    if shots_of(seen.prompt) < 2 or pick_of(seen.prompt) != "fixed" or not 1 < len(labels) <= len(rows) // 2:
        return None
    shown = {row.target.strip() for row in seen.demonstrations.picked(seen.prompt, rows[0], of_train=True)}
    if len(shown) != 1:
        return None
    return (
        f"its demonstrations all answer {shown.pop()[:40]!r}, one label of {len(labels)}: ask for more, or pick: bm25"
    )


def _missing_cue(seen: Linted) -> str | None:
    if not isinstance(seen.prompt, Template) or seen.reader.is_encoder_decoder or not seen.bare.endswith("\0"):
        return None
    if answers_of(seen.prompt) == "head":  # no word follows
        return None
    return "it ends in what is filled in, so nothing says where the answer begins: add a new line, or a cue"


def _chat_model_as_text(seen: Linted) -> str | None:
    has_template = chat_template(seen.reader.tokenizer, {}) is not None
    if isinstance(seen.prompt, Chat) or seen.reader.is_encoder_decoder or not (has_template and seen.tokens):
        return None
    chat = '{name: chat, user: "{{ source }}"}'
    return f"the model has a chat template, and this is text: it may answer much better in a chat, {chat}"


def _missing_prefix(seen: Linted) -> str | None:
    if not seen.prefixes or seen.prompt.text.lstrip().startswith(tuple(prefix.strip() for prefix in seen.prefixes)):
        return None
    some = ", ".join(repr(prefix) for prefix in seen.prefixes[:4])
    return f"the model's prompts began with {some} in training: begin with the one of this task, if there is one"


def _foreign_markers(seen: Linted) -> str | None:
    known = frozenset() if isinstance(seen.prompt, Chat) else seen.tokens
    if not known and not isinstance(seen.prompt, Chat):
        return None
    held = [marker for marker in MARKERS if marker in seen.prompt.text and marker not in known]
    if not held:
        return None
    why = "which the chat template writes" if isinstance(seen.prompt, Chat) else "which this model reads as plain text"
    return f"it holds {', '.join(held)}, {why}: leave it out"


def _other_language(seen: Linted) -> str | None:
    if not seen.languages:
        return None
    language = language_of(seen.bare.replace("\0", " "), seen.languages)
    if language is None or language in seen.languages:
        return None
    data = " and ".join(sorted(seen.languages))
    return f"its words are {language}, the data {data}: write it in the language of sources or targets"


LINTS: dict[str, Callable[[Linted], str | None]] = {
    "trailing-space": _trailing_space,
    "unused-field": _unused_field,
    "instruction-behind-cut": _instruction_behind_cut,
    "many-shortened": _many_shortened,
    "leaked-labels": _leaked_labels,
    "missing-cue": _missing_cue,
    "chat-model-as-text": _chat_model_as_text,
    "missing-prefix": _missing_prefix,
    "foreign-markers": _foreign_markers,
    "other-language": _other_language,
}
"""By the name that is told with each."""
