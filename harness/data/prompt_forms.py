"""Prompt forms: the ways to write a prompt, one entry of a table each.

To add one, write a frozen dataclass that does what `harness.data.tokenization.PromptForm` says, and enter it here under
the fields that only it has, any one of which tells it: study files, stored models and the Prompt Registry know it then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, asdict, fields
from typing import Any

from harness.core.errors import TemplateError
from harness.core.stored_values import of_kind
from harness.data.chat import Chat
from harness.data.demonstrations import shots_of
from harness.data.label_words import answers_of, calibration_of, is_labelled
from harness.data.plain_text import PlainText
from harness.data.prompt_mixture import PromptMixture
from harness.data.template import Template
from harness.data.tokenization import PromptForm

__all__ = [
    "PROMPT_FORMS",
    "SHOWN",
    "UNWRITTEN",
    "form_keys",
    "form_of",
    "forms_in",
    "more_than_texts",
    "restored",
    "stored_fields",
    "written_keys",
]

PROMPT_FORMS: dict[str, type[PromptForm]] = {
    "text": Template,
    "user": Chat,
    "messages": Chat,
    "system": Chat,
    "block_tokens": PlainText,
    "mixture": PromptMixture,
}
"""By the keys that tell a prompt of this form wherever it is written: ``{name: cue, text: "{{ source }}"}``."""

UNWRITTEN = ("block_tokens", "scored_tokens")
"""Keys of forms that study files do not write: a task has them."""
OF_CHATS = ("assistant", "template_args")
"""Keys that tell a chat where no other does: one that takes the turns of rows."""
SHOWN = ("shots", "pick", "shot", "separator")
"""The fields that say which demonstrations there are, and how they are written."""
LABELS = "labels"
"""The field of the labels that a prompt is answered by: a study works them out, and no prompt is written with them."""
OF_LABELS = ("answers", LABELS, "calibration")
LATER = ("scored_tokens", "calibration")
"""Fields that are stored only where they say anything."""


def forms_in(keys: Collection[str]) -> dict[type[PromptForm], str]:
    """Return the forms that some keys tell, each by the first of its keys."""
    told: dict[type[PromptForm], str] = {}
    for key, kind in PROMPT_FORMS.items():
        if key in keys:
            told.setdefault(kind, key)
    return told or ({Chat: "user"} if any(key in keys for key in OF_CHATS) else {})


def form_keys(form: str) -> tuple[str, ...]:
    """Return the keys that a prompt of a form may have beside its name."""
    return tuple(field.name for field in fields(PROMPT_FORMS[form]) if field.name not in ("name", LABELS))


def form_of(prompt: PromptForm) -> str:
    """Return the first key of a prompt's form."""
    return next(form for form, kind in PROMPT_FORMS.items() if isinstance(prompt, kind))


def written_keys(prompt: PromptForm) -> dict[str, Any]:
    """Return the keys of a prompt that say more than their defaults, as a study file has them."""
    made = {field.name: field.default_factory() for field in fields(prompt) if field.default_factory is not MISSING}
    defaults = {field.name: field.default for field in fields(prompt)} | made
    return {key: value for key, value in asdict(prompt).items() if value != defaults[key]}


def stored_fields(prompt: PromptForm) -> dict[str, Any]:
    """Return a prompt's fields as digests and stored models hold them: later ones where they say anything."""
    apart = (*(SHOWN if getattr(prompt, "shots", None) == 0 else ()), *(() if is_labelled(prompt) else OF_LABELS))
    fields = {key: value for key, value in asdict(prompt).items() if key not in apart}
    return {key: value for key, value in fields.items() if key not in LATER or value is not None}


def more_than_texts(prompts: Sequence[PromptForm]) -> list[PromptForm]:
    """Return those of a study's prompts of which a report must know more than a text.

    Where some are calibrated, these are all that are answered so: one may be the same without.
    """
    calibrates = any(map(calibration_of, prompts))

    def is_more(prompt: PromptForm) -> bool:
        chooses = calibrates and answers_of(prompt) == "likelihood"
        return form_of(prompt) != "text" or shots_of(prompt) > 0 or chooses

    return [prompt for prompt in prompts if is_more(prompt)]


def restored(stored: Mapping[str, Any]) -> PromptForm:
    """Return a prompt from its fields, as `stored_fields` gave them.

    Raises:
        TemplateError: No form here is known by one of them, the form has no such field, or needs one more, or one is
            not what it should be.
    """
    form = next((form for form in PROMPT_FORMS if form in stored), None)
    if form is None:
        known = ", ".join(PROMPT_FORMS)
        raise TemplateError(f"a prompt of {', '.join(stored)} has no form known here; one of its keys must be {known}")
    for key in stored:
        if key not in ("name", LABELS, *form_keys(form)):
            raise TemplateError(f"a prompt that is written by {form} has no {key!r}; install the version that wrote it")
    try:
        prompt: PromptForm = of_kind(PROMPT_FORMS[form], dict(stored))
    except ValueError as error:
        raise TemplateError(f"a stored prompt cannot be read: {error}; bring it back as it was") from None
    return prompt
