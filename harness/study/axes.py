"""What a study compares: the axes of its grid, and the levels of the first two, prompts and tunings.

Those behind them are in `harness.study.further_axes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_core import InitErrorDetails

from harness.core.number_types import Shots
from harness.core.workspace import LONGEST_NAME
from harness.core.yaml_section import Section
from harness.data.chat import Role
from harness.data.demonstrations import Pick
from harness.data.label_words import Answers, Calibration
from harness.data.prompt_forms import PROMPT_FORMS, SHOWN, UNWRITTEN, form_keys, forms_in
from harness.data.template import SEPARATOR
from harness.data.tokenization import PromptForm
from harness.study.further_axes import FURTHER_AXES, Axis, Level
from harness.study.prompt_features import (
    FEATURE,
    LEVEL,
    LONGEST,
    combinations,
    feature_name,
    filled,
    refuse_features,
    refuse_malformed_features,
)
from harness.study.prompt_files import names_files
from harness.study.tuning import Tuning, tuning_of

__all__ = ["AXES", "Prompt", "Tuning", "Turn", "featured", "tuning_of"]


class Turn(Section):
    """One turn of a chat."""

    role: Role
    """Who speaks."""
    content: str
    """Jinja2 text."""


FeatureName = Annotated[str, Field(pattern=FEATURE, max_length=LONGEST)]
LevelName = Annotated[str, Field(pattern=LEVEL, max_length=LONGEST)]


class Prompt(Section):
    """A prompt: named in the task, or written by the keys of a form of `harness.data.prompt_forms.PROMPT_FORMS`."""

    model_config = ConfigDict(extra="allow")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_NAME)
    """How ids and tables call it."""
    text: str | None = None
    """Jinja2 text, and what is said beside it is all; left out: the task's prompt of that name."""
    registered: str | None = Field(default=None, pattern=r"^prompts:/[A-Za-z0-9_.-]+(/[0-9]+|@[A-Za-z0-9_.-]+)$")
    """``prompts:/name/3`` or ``prompts:/name@alias``: its text is in the store's Prompt Registry."""
    system: str | None = None
    """Of a chat: Jinja2 text of the system's turn; left out, there is none, or the chat template's own."""
    user: str | None = None
    """Of a chat: Jinja2 text of the user's turn; left out, the turns of rows that are chats, ``{{ messages }}``."""
    messages: tuple[Turn, ...] | None = None
    """Of a chat, instead of these two: all turns before the answer's, a list of ``{role: user, content: ...}``."""
    assistant: str | None = None
    """Of a chat: Jinja2 text that begins the answer's turn; no loss is on it."""
    template_args: dict[str, Any] | None = None
    """Of a chat: further arguments of the model's chat template, as ``{enable_thinking: false}``."""
    date: str | None = None
    """Of a chat: what the chat template is told where it asks for today's date; left out, 2024-07-26."""
    shorten: str | None = None
    """The one field that may be shortened to fit."""
    keep: Literal["start", "end"] = "start"
    """Which part of that field stays."""
    shots: Shots = 0
    """How many training rows stand, with their answers, before each row as demonstrations; as many of them as fit."""
    pick: Pick = "fixed"
    """Which ones: the same for all rows, drawn for each row, or those with the nearest sources, by BM25 or by the mean
    of the model's input embeddings; never the row itself or a near duplicate."""
    shot: str | None = None
    """Of a text: Jinja2 text of one demonstration, of its row's fields and `{{ target }}`; left out, the text itself,
    then the answer as training writes it behind it."""
    separator: str = SEPARATOR
    """Of a text: what stands behind each demonstration; left out, an empty line."""
    mixture: tuple[str, ...] | None = None
    """Names of two or more of the study's prompts of text: each row stands under one of them, drawn by the row itself;
    final models are scored under each as well."""
    answers: Answers | None = None
    """How it is answered; left out: as the study says."""
    calibration: Calibration | None = None
    """``contextual``, with ``answers: likelihood``: the probabilities of labels are divided by those behind inputs that
    say nothing (Zhao et al. 2021) whenever the model is scored or asked; it trains as without."""
    features: dict[FeatureName, list[str] | dict[LevelName, str]] = {}
    """Parts of the text and their wordings, in a list or by name: one prompt for every combination, whose effects the
    report estimates."""

    @classmethod
    def keys(cls) -> list[str]:
        """Return all keys that a prompt may have, of every form."""
        written = [form for form in PROMPT_FORMS if form not in UNWRITTEN]
        return list(dict.fromkeys([*cls.model_fields, *(key for form in written for key in form_keys(form))]))

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("prompts:/"):
            return {"name": re.sub("[/@]", "-", value.removeprefix("prompts:/")), "registered": value}
        if names_files(value):
            raise ValueError(f"{value} is a file of prompts, which is read where a study file names it; write it there")
        return {"name": value} if isinstance(value, str) else value

    @field_validator("features", mode="before")
    @classmethod
    def _of_wordings(cls, features: Any) -> Any:
        refuse_malformed_features(features)
        return features

    @model_validator(mode="after")
    def _of_one_form(self) -> Prompt:
        strays = [key for key in self.model_extra or {} if key not in self.keys()]
        if strays:
            details = [InitErrorDetails(type="extra_forbidden", loc=(key,), input=None) for key in strays]
            raise ValidationError.from_exception_data("Prompt", details)
        written = self._written()
        forms = list(forms_in(written).values())
        if len(forms) + (self.registered is not None) > 1:
            other = f"is {self.registered}" if self.registered else f"has {forms[1]}"
            raise ValueError(f"prompt {self.name!r} has a {forms[0]} of its own and {other}; keep one of the two")
        if not forms and (stray := next((key for key in written if key not in ("answers", "calibration")), None)):
            rule = f"names {stray} without a text or a user's turn"
            raise ValueError(f"prompt {self.name!r} {rule}; a named prompt brings its own")
        for key in written if forms else ():
            if key not in form_keys(forms[0]):
                raise ValueError(f"prompt {self.name!r} is written by {forms[0]}, which knows no {key}; leave it out")
        if stray := next((key for key in SHOWN if key in written), None) if not self.shots else None:
            raise ValueError(f"prompt {self.name!r} has {stray} and no demonstrations; add shots: 4, or leave it out")
        if self.features:
            self._refuse_features(forms)
        for one in self.combinations():
            one.form()
        return self

    def _refuse_features(self, forms: Sequence[str]) -> None:
        if not forms:
            raise ValueError(f"prompt {self.name!r} has features and no text; write the text that holds them")
        if taken := [axis.name for axis in AXES if axis.name in self.features]:
            raise ValueError(f"prompt {self.name!r} has a feature called {taken[0]}, as an axis is; call it otherwise")
        refuse_features(self.wordings, self._written())

    @property
    def wordings(self) -> dict[str, dict[str, str]]:
        """The texts of each feature's levels by their names; those of a list are called by their places, from 0."""
        return {
            feature: each if isinstance(each, dict) else {str(place): text for place, text in enumerate(each)}
            for feature, each in self.features.items()
        }

    def combinations(self) -> list[Prompt]:
        """Return the prompts that it stands for: itself, or one for each combination of its features."""
        if not self.features:
            return [self]
        wordings, written = self.wordings, self._written()
        texts = {
            name: {feature: wordings[feature][level] for feature, level in levels.items()}
            for name, levels in self.feature_levels().items()
        }
        return [Prompt(name=name, **filled(written, each)) for name, each in texts.items()]

    def feature_levels(self) -> dict[str, dict[str, str]]:
        """Return the level of each feature of each combination, by the name of its prompt; empty without features."""
        if not self.features:
            return {}
        return {feature_name(self.name, levels): levels for levels in combinations(self.wordings)}

    def form(self) -> PromptForm | None:
        """Return the prompt that is written here, ``None`` where it is named, registered or a mixture of others."""
        written = self._written()
        for kind in forms_in(written) if self.mixture is None else ():
            prompt: PromptForm = TypeAdapter(kind).validate_python({"name": self.name, **written})
            return prompt
        return None

    def _written(self) -> dict[str, Any]:
        """Return the keys of a form that say more than their defaults."""
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        return {
            key: value
            for key, value in self.model_dump().items()
            if key not in ("name", "registered", "features") and value is not None and value != defaults.get(key)
        }


def featured(prompts: Iterable[Mapping[str, Any]]) -> list[Prompt]:
    """Return those of a stored study's prompts that have features, of whatever form; their texts are left out."""
    having = [one for one in prompts if one.get("features")]
    return [Prompt.model_construct(name=one["name"], features=one["features"]) for one in having]


def _carried_by_the_cell(study: Any, level: Level) -> Any:
    """Return the study as it is: a run takes its prompt and its tuning from its cell."""
    return study


AXES = [
    Axis("prompt", lambda study: study.prompt_levels(), _carried_by_the_cell),
    Axis("tuning", lambda study: study.tunings(), _carried_by_the_cell),
    *FURTHER_AXES,
]
"""All axes, the outermost first; one with a single level shows nowhere, but for prompt and tuning."""
