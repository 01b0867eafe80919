"""What `check` tells of chats and a model's chat template: a date that is fixed."""

from __future__ import annotations

from collections.abc import Sequence

from harness.data.chat import Chat
from harness.data.chat_writing import is_dated
from harness.data.tokenization import PromptForm, Reader

__all__ = ["chat_notes", "dates"]


def chat_notes(forms: Sequence[PromptForm], reader: Reader) -> list[str]:
    """Return a line for each chat that is told a date.

    Args:
        forms: The prompts.
        reader: The model, or what stands for it.
    """
    return [
        f"the model's chat template asks for today's date: in prompt {name} it is told {day}, on every day (date)."
        for name, day in dates(forms, reader).items()
    ]


def dates(forms: Sequence[PromptForm], reader: Reader) -> dict[str, str]:
    """Return what each chat tells a chat template that writes a date, by the prompt's name."""
    return {form.name: form.date for form in forms if isinstance(form, Chat) and is_dated(form, reader)}
