"""Several settings of generation in one study: what `check` refuses of them, and tells."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from harness.data.label_words import is_labelled
from harness.data.plain_text import PlainText
from harness.data.tokenization import PromptForm
from harness.metrics.base import Metric
from harness.metrics.likelihood import OF_LIKELIHOODS
from harness.study.loss_kinds import ranking_metric
from harness.study.model_config import Description
from harness.study.problems import Problems
from harness.study.settings import decoding_of, new_tokens
from harness.study.spec import StudySpec
from harness.study.task import Task

__all__ = ["settings_compared"]


def settings_compared(
    study: StudySpec,
    task: Task,
    prompts: Sequence[PromptForm],
    metrics: Sequence[Metric | str],
    description: Description | None,
    problems: Problems,
) -> list[str]:
    """Return what is told of the settings that a study compares, and note what is wrong with them."""
    if len(study.settings) < 2:
        return []
    names = [one.name for one in study.settings]
    compares = f"generation compares {', '.join(names)}"
    if silent := next((prompt for prompt in prompts if is_labelled(prompt) or isinstance(prompt, PlainText)), None):
        why = "blocks of plain text are scored by their likelihood"
        if is_labelled(silent):
            why = f"prompt {silent.name!r} is answered by a label, which nothing is generated for"
        problems.add(f"{compares}, but {why}; keep one setting, or let prompts be answered by texts", "generation")
    elif metrics and (lead := ranking_metric(study, metrics)) in OF_LIKELIHOODS:
        rule = "which goes by likelihood and is the same by all of them; rank by a metric of texts, or keep one"
        problems.add(f"{compares}, but the study ranks by {lead}, {rule}", "generation")
    if not study.final.seeds:
        problems.add(f"{compares} by final runs, and final.seeds is empty; name a seed, or keep one", "generation")
    _refuse_longer(study, task, problems)
    if description:
        _refuse_alike(study, task, description, problems)
    return [f"{compares}: each final model answers by all of them; trials, curves and winners are those of {names[0]}."]


def _refuse_longer(study: StudySpec, task: Task, problems: Problems) -> None:
    """See that no answers are longer than those that prompts leave room for."""
    first, *others = study.by_setting()
    most = new_tokens(first, task)
    for place, other in enumerate(others, start=1):
        if (tokens := new_tokens(other, task)) > most:
            told = f"generation {study.settings[place].name} takes {tokens} tokens, and the first setting {most}"
            rule = "prompts leave room for the first's; put the longest first, or take no more"
            problems.add(f"{told}: {rule}", "generation", place)


def _refuse_alike(study: StudySpec, task: Task, description: Description, problems: Problems) -> None:
    """See that no two settings are the same, by whatever keys they say it."""
    halves = description.is_encoder_decoder
    found = [
        decoding_of(one, task, is_encoder_decoder=halves)._replace(batch_size=1).identity()
        for one in study.by_setting()
    ]
    for (place, one), (other_place, other) in combinations(enumerate(found), 2):
        if one == other:
            names = f"{study.settings[place].name} and {study.settings[other_place].name}"
            told = f"generation {names} are the same, by whatever batch size; leave one of them out"
            problems.add(told, "generation", other_place)
