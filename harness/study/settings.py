"""What a study and its task say together: settings with nothing left open, without loading a model."""

from __future__ import annotations

from harness.data.tokenization import Limits
from harness.study.spec import StudySpec
from harness.study.task import Task

__all__ = ["new_tokens", "stop_texts", "token_limits"]


def new_tokens(study: StudySpec, task: Task) -> int:
    """Return the most tokens of a prediction."""
    return study.generation.max_new_tokens or study.training.max_target_tokens or task.max_target_tokens


def token_limits(study: StudySpec, task: Task) -> Limits:
    """Return the most tokens of prompts, targets and predictions."""
    target = study.training.max_target_tokens or task.max_target_tokens
    return Limits(study.training.max_source_tokens or task.max_source_tokens, target, new_tokens(study, task))


def stop_texts(study: StudySpec, task: Task, *, is_encoder_decoder: bool) -> tuple[str, ...]:
    """Return the texts that end a prediction: the study's, else, for a causal model, the task's."""
    if study.generation.stop is not None:
        return study.generation.stop
    return () if is_encoder_decoder else tuple(task.stop)
