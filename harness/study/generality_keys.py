"""The ``generality`` section of a study file."""

from __future__ import annotations

from typing import Any

from harness.core.named_path import TaskName, TextName
from harness.core.number_types import Rows
from harness.core.yaml_section import Section

__all__ = ["Generality", "generality_of"]


class Generality(Section):
    """What fine-tuning should leave as it was; measured before and after by every final run."""

    text: TextName | None = "default"
    """``default``: text that travels with the harness; a file; a Hub id, ``org/name``; ``null``: no text."""
    config: str | None = None
    """The Hub data set's configuration."""
    revision: str | None = None
    """The Hub data set's commit, tag or branch."""
    tasks: tuple[TaskName, ...] = ()
    """Other tasks, by name or path: their first prompts are scored on their own validation data."""
    examples: Rows = 100
    """The most texts, and the most examples of each task; the first ones are taken."""


def generality_of(value: Any) -> Any:
    """Turn the short form ``none`` into keys."""
    return {"text": None} if value == "none" else value
