"""What a study and its task say together: settings with nothing left open, without loading a model."""

from __future__ import annotations

from harness.core.errors import UserError
from harness.data.tokenization import Limits
from harness.study.decoding_settings import Decoding
from harness.study.plain_tasks import plain_form
from harness.study.spec import StudySpec
from harness.study.task import Task

__all__ = [
    "decoding_of",
    "new_tokens",
    "refuse_least_over_most",
    "stop_texts",
    "token_limits",
    "virtual_tokens",
]


def new_tokens(study: StudySpec, task: Task) -> int:
    """Return the most tokens of a prediction; of a block of text no more than it has behind its beginning."""
    if form := plain_form(study, task):
        behind = form.block_tokens - form.beginning
        return study.first_generation.max_new_tokens or min(task.max_target_tokens, behind)
    return study.first_generation.max_new_tokens or study.training.max_target_tokens or task.max_target_tokens


def token_limits(study: StudySpec, task: Task) -> Limits:
    """Return the most tokens of prompts, targets and predictions."""
    if form := plain_form(study, task):
        return form.limits(new_tokens(study, task))
    target = study.training.max_target_tokens or task.max_target_tokens
    return Limits(study.training.max_source_tokens or task.max_source_tokens, target, new_tokens(study, task))


def virtual_tokens(study: StudySpec) -> int:
    """Return how much of the model's context virtual tokens may take in a run: all cells of a study read as much."""
    dimensions = study.search.dimensions
    searched = [dimensions.get(f"tuning.{tuning.kind}.tokens") for tuning in study.tuning]
    return max(
        int(drawn.highest) if drawn else tuning.virtual_tokens
        for tuning, drawn in zip(study.tuning, searched, strict=True)
    )


def stop_texts(study: StudySpec, task: Task, *, is_encoder_decoder: bool) -> tuple[str, ...]:
    """Return the texts that end a prediction: the study's, else, for a causal model, the task's."""
    if study.first_generation.stop is not None:
        return study.first_generation.stop
    return () if is_encoder_decoder else tuple(task.stop)


def decoding_of(study: StudySpec, task: Task, *, is_encoder_decoder: bool) -> Decoding:
    """Return how predictions are made."""
    generation, resolved = study.first_generation, {"max_new_tokens", "stop"}
    written = {name: getattr(generation, name) for name in Decoding._fields if name not in resolved}
    return Decoding(
        max_new_tokens=new_tokens(study, task),
        stop=stop_texts(study, task, is_encoder_decoder=is_encoder_decoder),
        **{name: value for name, value in written.items() if value is not None},
    )


def refuse_least_over_most(study: StudySpec, task: Task) -> None:
    """See that a prediction may be as long as it must be.

    Raises:
        UserError: It may not.
    """
    least, most = study.first_generation.min_new_tokens or 0, new_tokens(study, task)
    if least > most:
        raise UserError(
            f"generation.min_new_tokens is {least}; a prediction has at most {most} tokens: lower it, or set "
            "generation.max_new_tokens"
        )
