"""Prompt forms: the ways to write a prompt, one entry of a table each.

To add one, write a frozen dataclass that does what `harness.data.tokenization.PromptForm` says, and enter it here under
the field that only it has: study files, stored models and the Prompt Registry know it then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from harness.core.errors import TemplateError
from harness.data.template import Template
from harness.data.tokenization import PromptForm

__all__ = ["PROMPT_FORMS", "form_keys", "form_of", "restored"]

PROMPT_FORMS: dict[str, type[PromptForm]] = {"text": Template}
"""By the key that tells a prompt of this form wherever it is written: ``{name: cue, text: "{{ source }}"}``."""


def form_keys(form: str) -> tuple[str, ...]:
    """Return the keys that a prompt of a form may have beside its name."""
    return tuple(field.name for field in fields(PROMPT_FORMS[form]) if field.name != "name")


def form_of(prompt: PromptForm) -> str:
    """Return the key of a prompt's form."""
    return next(form for form, kind in PROMPT_FORMS.items() if isinstance(prompt, kind))


def restored(stored: Mapping[str, Any]) -> PromptForm:
    """Return a prompt from its fields, as `dataclasses.asdict` gave them.

    Raises:
        TemplateError: No form here is known by one of them.
        TypeError: The form has no such field, or needs one more.
    """
    form = next((form for form in PROMPT_FORMS if form in stored), None)
    if form is None:
        known = ", ".join(PROMPT_FORMS)
        raise TemplateError(f"a prompt of {', '.join(stored)} has no form known here; one of its keys must be {known}")
    return PROMPT_FORMS[form](**stored)
