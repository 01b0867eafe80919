"""The ``model`` section of a study file, and those of ``models``."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator

from harness.core.named_path import FolderName, ModelName
from harness.core.workspace import LONGEST_NAME, STUDY_NAME
from harness.core.yaml_section import Section

__all__ = ["ComparedModel", "Model"]


class Model(Section):
    """Which pretrained model the study starts from."""

    name: ModelName = "embedded"
    """A local folder, a Hub id, or ``embedded``: the small model that travels with the harness."""
    revision: str | None = None
    """A Hub commit, tag or branch; a commit makes the study reproducible."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """What the weights are loaded as, whatever the checkpoint holds."""
    adapter: FolderName | None = None
    """The folder of an adapter that one has, as PEFT stores it: the study starts from the model with it merged in."""
    frozen: Literal["float32", "bfloat16"] = "float32"
    """What those that do not train are held in, and computed with in float32: ``bfloat16`` takes half of their memory,
    for the rounding of their values. What trains stays float32, from the checkpoint's own values."""
    source_language: str | None = None
    """The language of prompts, by its code in the model's tokenizer (mBART, M2M100, NLLB); left out: the tokenizer's
    own."""
    target_language: str | None = None
    """The language of answers, likewise; left out: that of the model's generation settings, else the tokenizer's."""
    trust_remote_code: bool = False
    """Whether code that comes with the model may run."""
    allow_pickle: bool = False
    """Whether weights that are no safetensors may be read; unpickling runs code."""

    @model_validator(mode="after")
    def _has_its_values(self) -> Model:
        if self.adapter and self.frozen != "float32":
            told = "whose float32 values are read from its own file again, without the adapter"
            raise ValueError(f"model.adapter is merged into the model, {told}; leave model.frozen out")
        return self

    @property
    def languages(self) -> dict[str, str]:
        """The languages that the study names, by key."""
        return self.model_dump(include={"source_language", "target_language"}, exclude_none=True)

    @property
    def merged(self) -> dict[str, str]:
        """The adapter that is merged in, by its key; nothing without one."""
        return {"adapter": self.adapter} if self.adapter else {}


class ComparedModel(Model):
    """One of the models that a study compares."""

    model_config = ConfigDict(populate_by_name=True)

    called: str | None = Field(default=None, alias="as", pattern=STUDY_NAME, max_length=LONGEST_NAME)
    """How ids and tables call it; left out: the last part of its name."""

    @classmethod
    def keys(cls) -> list[str]:
        """Return the keys that it may have."""
        return [field.alias or name for name, field in cls.model_fields.items()]

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @property
    def level(self) -> str:
        """How ids and tables call it."""
        return self.called or re.sub(r"[^A-Za-z0-9_.-]", "_", PurePath(self.name).name) or "model"

    @property
    def alone(self) -> Model:
        """The section of a study of this model alone."""
        return Model(**{key: value for key, value in self if key in self.model_fields_set and key != "called"})
