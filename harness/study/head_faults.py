"""What a study may not ask of a classification head, which stands in the place of a language model's own."""

from __future__ import annotations

from collections.abc import Sequence

from harness.data.label_words import answers_of
from harness.data.tokenization import PromptForm
from harness.study.problems import Problems
from harness.study.spec import StudySpec

__all__ = ["refuse_heads"]


def refuse_heads(study: StudySpec, prompts: Sequence[tuple[int, PromptForm]], problems: Problems) -> None:
    """Note what cannot be where some prompts are answered by a head.

    Args:
        study: The study.
        prompts: With their places in the study file's list.
        problems: Takes what is wrong.
    """
    heads = [form.name for _, form in prompts if answers_of(form) == "head"]
    if not heads:
        return
    named = f"prompt {heads[0]!r} is answered by a classification head"
    if study.model.adapter:
        rule = "which is put on a model's own weights, not on those that model.adapter makes of them"
        problems.add(f"{named}, {rule}; store the merged model and name that, or set answers: likelihood", "model")
    if study.model.frozen != "float32":
        rule = "whose model is held in float32; leave model.frozen out, or set answers: likelihood"
        problems.add(f"{named}, {rule}", "model", "frozen")
    for place, tuning in enumerate(study.tuning):
        if tuning.virtual_tokens:
            rule = "and virtual tokens would move the place where it reads; use lora, or weights of the model's own"
            problems.add(f"tuning {tuning.name}: {named}, {rule}", "tuning", place)
