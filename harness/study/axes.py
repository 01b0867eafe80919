"""What a study compares: the axes of its grid, and the levels of the first two, prompts and tunings.

To add an axis, put an entry behind the others in `AXES`; nothing else has to know of it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from harness.core.closest_match import closest
from harness.core.number_types import Count
from harness.core.plain_yaml import shown
from harness.core.workspace import LONGEST_NAME
from harness.core.yaml_section import Section
from harness.data.prompt_forms import PROMPT_FORMS, form_keys
from harness.data.tokenization import PromptForm
from harness.study.tuning_kinds import TUNING_KINDS, forms

__all__ = ["AXES", "Axis", "Level", "Prompt", "Tuning", "tuning_of"]


class Prompt(Section):
    """A prompt: the name of one of the task's, or one written in the study file.

    Beside the keys of the text form, it may have those of any other form in `harness.data.prompt_forms.PROMPT_FORMS`.
    """

    model_config = ConfigDict(extra="allow")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=LONGEST_NAME)
    """How ids and tables call it."""
    text: str | None = None
    """Jinja2 text; left out: the task's prompt of that name."""
    registered: str | None = Field(default=None, pattern=r"^prompts:/[A-Za-z0-9_.-]+(/[0-9]+|@[A-Za-z0-9_.-]+)$")
    """``prompts:/name/3`` or ``prompts:/name@alias``: its text is in the store's Prompt Registry."""
    shorten: str | None = None
    """The one field that may be shortened to fit."""
    keep: Literal["start", "end"] = "start"
    """Which part of that field stays."""

    @classmethod
    def keys(cls) -> list[str]:
        """Return all keys that a prompt may have, of every form."""
        return list(dict.fromkeys([*cls.model_fields, *(key for form in PROMPT_FORMS for key in form_keys(form))]))

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("prompts:/"):
            return {"name": re.sub("[/@]", "-", value.removeprefix("prompts:/")), "registered": value}
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _of_one_form(self) -> Prompt:
        strays = [key for key in self.model_extra or {} if key not in self.keys()]
        if strays:
            details = [InitErrorDetails(type="extra_forbidden", loc=(key,), input=None) for key in strays]
            raise ValidationError.from_exception_data("Prompt", details)
        written = self._written()
        forms = [form for form in PROMPT_FORMS if form in written]
        if len(forms) + (self.registered is not None) > 1:
            other = f"is {self.registered}" if self.registered else f"has {forms[1]}"
            raise ValueError(f"prompt {self.name!r} has a {forms[0]} of its own and {other}; keep one of the two")
        if not forms and self.shorten is not None:
            raise ValueError(f"prompt {self.name!r} names shorten without a text; a named prompt brings its own")
        for key in written if forms else ():
            if key not in form_keys(forms[0]):
                raise ValueError(f"prompt {self.name!r} is written by {forms[0]}, which knows no {key}; leave it out")
        self.form()
        return self

    def form(self) -> PromptForm | None:
        """Return the prompt that is written here, ``None`` where it is named or registered."""
        written = self._written()
        form = next((form for form in PROMPT_FORMS if form in written), None)
        if form is None:
            return None
        prompt: PromptForm = TypeAdapter(PROMPT_FORMS[form]).validate_python({"name": self.name, **written})
        return prompt

    def _written(self) -> dict[str, Any]:
        """Return the keys of a form that say more than their defaults."""
        defaults = {name: field.default for name, field in type(self).model_fields.items()}
        return {
            key: value
            for key, value in self
            if key not in ("name", "registered") and value is not None and value != defaults.get(key)
        }


class Tuning(Section):
    """Which weights move: a kind of the table, and its number of blocks."""

    kind: str
    """One of `harness.study.tuning_kinds.TUNING_KINDS`."""
    blocks: Count | None = None
    """How many blocks, for a kind that takes a number of them."""

    @model_validator(mode="after")
    def _is_known(self) -> Tuning:
        if self.kind not in TUNING_KINDS:
            raise ValueError(_unknown(self.kind))
        if TUNING_KINDS[self.kind].takes_blocks is (self.blocks is None):
            raise ValueError(f"{self.kind} {'takes no' if self.blocks else 'needs a'} number; {forms()}")
        return self

    @property
    def name(self) -> str:
        """The name in ids and params: ``none``, ``head``, ``last_blocks-2``, ``full``."""
        return f"{self.kind}-{self.blocks}" if self.blocks else self.kind

    @property
    def depth(self) -> tuple[float, int]:
        """What sorts tunings by how much of the network trains."""
        return TUNING_KINDS[self.kind].depth, self.blocks or 0

    @property
    def trains(self) -> bool:
        """Whether anything is trained."""
        return self.kind != "none"


def tuning_of(value: Any) -> Any:
    """Turn the short forms ``head`` and ``{last_blocks: 2}`` into fields."""
    if isinstance(value, Tuning):
        return value
    if value is None:
        return {"kind": "none"}
    if isinstance(value, str):
        return {"kind": value}
    if isinstance(value, dict) and len(value) == 1:
        ((kind, blocks),) = value.items()
        if kind not in TUNING_KINDS:
            raise ValueError(_unknown(kind))
        if not isinstance(blocks, int) or isinstance(blocks, bool) or blocks < 1:
            raise ValueError(f"{kind} is {shown(blocks)}; it must be a whole number of at least 1")
        return {"kind": kind, "blocks": blocks}
    raise ValueError(f"a tuning cannot be {shown(value)}; {forms()}")


def _unknown(kind: object) -> str:
    return f"unknown tuning {kind!r}; {closest(str(kind), TUNING_KINDS)}; {forms()}"


class Level(Protocol):
    """One value of an axis."""

    @property
    def name(self) -> str:
        """How ids, params and tables call it: without a slash, distinct on its axis."""


class Axis(NamedTuple):
    """A factor of the grid."""

    name: str
    """Of its param, its column and its key in ``final.baseline``: letters, digits and ``_``."""
    levels: Callable[[Any], Sequence[Level]]
    """The levels that a `harness.study.spec.Study` compares, the reference first where the study names none."""
    apply: Callable[[Any, Any], Any]
    """What turns the study into the one that cells of a level run."""


def _carried_by_the_cell(study: Any, level: Level) -> Any:
    """Return the study as it is: a run takes its prompt and its tuning from its cell."""
    return study


AXES = [
    Axis("prompt", lambda study: study.prompts, _carried_by_the_cell),
    Axis("tuning", lambda study: study.tunings(), _carried_by_the_cell),
]
"""All axes, the outermost first; one with a single level shows nowhere, but for prompt and tuning."""
