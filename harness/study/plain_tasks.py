"""Tasks of plain text: what a study of one may say, and how long its blocks are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness.core.errors import UserError
from harness.data.plain_text import NAME, SHORTEST, PlainText
from harness.data.tokenization import Reader
from harness.study.model_config import Description
from harness.study.problems import Problems
from harness.study.spec import StudySpec
from harness.study.task import Task

__all__ = ["plain_form", "refuse_plain", "refuse_without_prompts"]

CUT = "text is cut into blocks of training.block_tokens"

STRAYS: Mapping[tuple[str, str], str] = {
    ("training", "max_source_tokens"): f"there is no prompt to shorten: {CUT}",
    ("training", "max_target_tokens"): f"there is no target to measure: {CUT}",
    ("data", "group"): f"rows that belong together follow each other in the text: {CUT}",
    ("data", "turns"): "turns of chats are not told apart here: a chat is a document like any other",
}
"""Keys that say nothing of plain text, and why."""


def plain_form(study: StudySpec, task: Task) -> PlainText | None:
    """Return how a study cuts plain text into blocks; ``None`` of a task with prompts and targets."""
    form = next((prompt for prompt in task.prompts if isinstance(prompt, PlainText)), None)
    if form is None:
        return None
    training = study.training
    return replace(
        form,
        block_tokens=form.block_tokens if training.block_tokens is None else training.block_tokens,
        scored_tokens=form.scored_tokens if training.scored_tokens is None else training.scored_tokens,
    )


def refuse_without_prompts(study: StudySpec, task: Task, problems: Problems) -> None:
    """Note what a study of a task with prompts lacks, or says of blocks."""
    if not study.prompts:
        names = ", ".join(prompt.name for prompt in task.prompts)
        problems.add(f"key 'prompts' is missing; add it (task {task.name!r} has {names})")
    for key in ("block_tokens", "scored_tokens"):
        if getattr(study.training, key) is not None:
            rule = f"of a task of plain text, but task {task.name!r} has prompts and targets"
            problems.add(f"training.{key} is {rule}; leave it out", "training", key)


def refuse_plain(
    study: StudySpec,
    task: Task,
    form: PlainText,
    description: Description | None,
    reader: Reader | None,
    problems: Problems,
) -> None:
    """Note what cannot be said of plain text, or done with it by this model."""
    for place, prompt in enumerate(study.prompts):
        if prompt.name != NAME or prompt.form() is not None or prompt.registered:
            rule = f"task {task.name!r} is of plain text, whose documents hold their prompts"
            problems.add(f"prompt {prompt.name!r}: {rule}; leave prompts out", "prompts", place)
    for (section, key), why in STRAYS.items():
        if getattr(getattr(study, section), key) is not None:
            problems.add(f"{section}.{key} says nothing of plain text: {why}; leave it out", section, key)
    if study.answers not in (None, "generate"):
        rule = f"task {task.name!r} is of plain text, which has no labels"
        problems.add(f"answers is {study.answers}: {rule}; leave it out", "answers")
    if study.data.labels is not None:
        problems.add("data.labels says nothing of plain text; leave it out", "data", "labels")
    if study.data.per_label is not None:
        problems.add("data.per_label says nothing of plain text; set data.train, in blocks", "data", "per_label")
    if form.block_tokens < SHORTEST:
        problems.add(
            f"training.block_tokens is {form.block_tokens}; it must be at least {SHORTEST}", "training", "block_tokens"
        )
    if description is None or reader is None:
        return
    with problems.at("model", "name"):
        _refuse_model(study.model.name, task, description)
    with problems.at("training", "block_tokens"):
        _refuse_length(study, form, reader)


def _refuse_model(name: str, task: Task, description: Description) -> None:
    if description.is_encoder_decoder:
        raise UserError(
            f"model {name!r} is an encoder-decoder, which reads a text before it writes one, and task {task.name!r} is "
            "text alone; use a causal model"
        )
    if description.tokenizer_file is None:
        raise UserError(
            f"model {name!r} has no tokenizer.json, by which text is cut into blocks; store its tokenizer again with "
            "transformers, which writes one: AutoTokenizer.from_pretrained(...).save_pretrained(...)"
        )


def _refuse_length(study: StudySpec, form: PlainText, reader: Reader) -> None:
    if reader.context is None:
        return
    if form.block_tokens > reader.context:
        raise UserError(
            f"blocks of {form.block_tokens} tokens cannot fit the model's context of {reader.context}; set "
            f"training.block_tokens: {reader.context}"
        )
    asked = None if reader.is_masked else study.first_generation.max_new_tokens
    if asked is not None and form.beginning + asked > reader.context:
        raise UserError(
            f"generation.max_new_tokens is {asked}, which behind the {form.beginning} tokens of a block's beginning "
            f"cannot fit the model's context of {reader.context}; lower it to {reader.context - form.beginning}"
        )
