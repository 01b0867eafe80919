"""What a study compares: prompts and tunings, as its file names them."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, model_validator

from harness.core.errors import closest
from harness.core.yaml_section import Section
from harness.data.template import Template
from harness.study.tuning_kinds import TUNING_KINDS, forms

__all__ = ["Prompt", "Tuning", "tuning_of"]


class Prompt(Section):
    """A prompt: the name of one of the task's, or one written in the study file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """How ids and tables call it."""
    text: str | None = None
    """Jinja2 text; left out: the task's prompt of that name."""
    registered: str | None = Field(default=None, pattern=r"^prompts:/[A-Za-z0-9_.-]+(/[0-9]+|@[A-Za-z0-9_.-]+)$")
    """``prompts:/name/3`` or ``prompts:/name@alias``: its text is in the store's Prompt Registry."""
    shorten: str | None = None
    """The one field that may be shortened to fit."""
    keep: Literal["start", "end"] = "start"
    """Which part of that field stays."""

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("prompts:/"):
            return {"name": re.sub("[/@]", "-", value.removeprefix("prompts:/")), "registered": value}
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _text_or_name(self) -> Prompt:
        if self.text is None and self.shorten is not None:
            raise ValueError(f"prompt {self.name!r} names shorten without a text; a named prompt brings its own")
        if self.text is not None and self.registered is not None:
            raise ValueError(
                f"prompt {self.name!r} has a text of its own and is {self.registered}; keep one of the two"
            )
        return self

    def template(self) -> Template:
        """Return the inline prompt as a template."""
        assert self.text is not None
        return Template(self.name, self.text, self.shorten, self.keep)


class Tuning(Section):
    """Which weights move: a kind of the table, and its number of blocks."""

    kind: str
    """One of `harness.study.tuning_kinds.TUNING_KINDS`."""
    blocks: int | None = Field(default=None, ge=1)
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
            raise ValueError(f"{kind} is {blocks!r}; it must be a whole number of at least 1")
        return {"kind": kind, "blocks": blocks}
    raise ValueError(f"a tuning cannot be {value!r}; {forms()}")


def _unknown(kind: object) -> str:
    return f"unknown tuning {kind!r}; {closest(str(kind), TUNING_KINDS)}; {forms()}"
