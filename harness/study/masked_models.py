"""Masked language models in a study: what they are scored by, what is refused of them, and what scoring takes.

They read both ways and fill masks. A token is told from all others of its text, not from those before it alone as by a
causal model, so the scores of the two kinds of models are not compared: pseudo-perplexity is no perplexity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from harness.core.example import Example, Split
from harness.data.label_words import is_labelled
from harness.data.plain_text import PlainText
from harness.data.tokenization import PromptForm, Reader
from harness.metrics.likelihood import PSEUDO_PERPLEXITY
from harness.study.model_config import Description
from harness.study.plain_tasks import plain_form
from harness.study.problems import Problems
from harness.study.spec import StudySpec
from harness.study.task import Task

__all__ = ["masked_notes", "masked_task", "refuse_masked", "refuse_writing"]


def masked_task(study: StudySpec, task: Task, description: Description | None) -> Task:
    """Return a task as a study's model is scored by it: one of plain text by pseudo-perplexity, if it fills masks."""
    is_text = description is not None and description.is_masked and plain_form(study, task) is not None
    return replace(task, metrics=[PSEUDO_PERPLEXITY.name]) if is_text else task


def refuse_masked(study: StudySpec, task: Task, description: Description | None, problems: Problems) -> None:
    """Note what a study asks of a masked model that it cannot do, and what is said of one of another model."""
    is_text, masked = plain_form(study, task) is not None, description is not None and description.is_masked
    if study.training.scored_tokens is not None and is_text and not masked and description is not None:
        rule = "is of a masked model, each token of which takes a pass; this one tells all of them in one"
        problems.add(f"training.scored_tokens {rule}: leave it out", "training", "scored_tokens")
    if not masked:
        return
    named = f"model {study.model.name!r} is a masked language model"
    general = study.generality
    if study.first_generation.model_fields_set:
        problems.add(f"generation says nothing here: {named}, which writes no text; leave it out", "generation")
    if general.model_fields_set and (general.text or general.tasks):
        told = "which goes on with no text by which it would be measured"
        problems.add(f"generality says nothing here: {named}, {told}; leave it out", "generality")
    for place, tuning in enumerate(study.tuning):
        if tuning.virtual_tokens:
            rule = "virtual tokens would stand where it reads its text's beginning"
            problems.add(f"tuning {tuning.name}: {named}, and {rule}; use lora, or weights of its own", "tuning", place)


def refuse_writing(
    study: StudySpec, prompts: Sequence[tuple[int, PromptForm]], reader: Reader | None, problems: Problems
) -> None:
    """Note prompts that ask a masked model for texts, which it does not write."""
    for place, prompt in prompts if reader is not None and reader.is_masked else ():
        if not is_labelled(prompt) and not isinstance(prompt, PlainText):
            named = f"model {study.model.name!r} is a masked language model, which fills masks and writes no text"
            remedy = "set answers: likelihood or head, or use a causal or an encoder-decoder model"
            problems.add(f"prompt {prompt.name!r} is answered by a text, but {named}; {remedy}", "prompts", place)


def masked_notes(study: StudySpec, reader: Reader, examples: Mapping[Split, Sequence[Example]]) -> list[str]:
    """Tell what scoring the blocks of a masked model takes."""
    if not reader.is_masked or "validation" not in examples:
        return []
    trained, scored = len(examples["train"]), len(examples["validation"])
    most = study.training.scored_tokens
    each = f"{most} tokens of each block are masked" if most else "each token is masked"
    passes = (most or study.training.block_tokens or 128) * scored
    told = f"{each} in turn, about {passes:,} passes of a block for validation, where an epoch trains on {trained:,}"
    fewer = "" if most else "; training.scored_tokens takes fewer"
    return [f"pseudo-perplexity: {told}{fewer}. It is no perplexity: causal models are not compared by it."]
