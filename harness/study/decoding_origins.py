"""Where each setting of decoding comes from: the study, the task, the checkpoint, or what holds where nobody says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from harness.study.checkpoint_generation import ROLES, unused
from harness.study.decoding_settings import Decoding
from harness.study.model_config import Description
from harness.study.settings import decoding_of
from harness.study.spec import StudySpec
from harness.study.task import Task

__all__ = ["Setting", "decoding_settings"]

OLD = "model_type"
"""What shows that a checkpoint keeps its settings in its configuration, among much else."""


class Setting(NamedTuple):
    """One setting of decoding."""

    name: str
    value: Any
    """What is used; ``None`` where the checkpoint asks for what no study has."""

    source: Literal["study", "task", "checkpoint", "default"]
    asked: Any = None
    """What the checkpoint asks for, where that is something else."""


def decoding_settings(study: StudySpec, task: Task, description: Description) -> list[Setting]:
    """Return all settings by which predictions are made, the study's own first, then the checkpoint's."""
    decoding = decoding_of(study, task, is_encoder_decoder=description.is_encoder_decoder)
    own = description.generation
    return [*_own(study, decoding, unused(own, decoding)), *_of_checkpoint(own, decoding)]


def _own(study: StudySpec, decoding: Decoding, differing: Mapping[str, Any]) -> Iterator[Setting]:
    asked = {ROLES[name].key: value for name, value in differing.items() if ROLES[name].key}
    for name, value in decoding._asdict().items():
        yield Setting(name, value, _source(study, name, value), asked.get(name))


def _source(study: StudySpec, name: str, value: Any) -> Literal["study", "task", "default"]:
    if name in study.first_generation.model_fields_set and getattr(study.first_generation, name) is not None:
        return "study"
    if name == "max_new_tokens":
        return "study" if study.training.max_target_tokens else "task"
    return "task" if name == "stop" and value else "default"


def _of_checkpoint(own: Mapping[str, Any], decoding: Decoding) -> Iterator[Setting]:
    """Yield the checkpoint's settings: those that hold, and those that are of no key of a study's."""
    differing = unused(own, decoding)
    for name, value in own.items():
        role = ROLES.get(name)
        if value is None or (role is None and OLD in own):
            continue
        if role is None:
            yield Setting(name, None, "default", value)
        elif role.kind == "honored":
            yield Setting(name, value, "checkpoint")
        elif role.kind == "set aside" and name in differing:
            yield Setting(name, None, "default", value)
