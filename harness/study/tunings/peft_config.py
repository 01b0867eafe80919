"""``peft``: any method of PEFT, by its own configuration: ``{peft: adapter_config.json}``, or its keys in place."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field, model_validator

from harness.study.tunings.adapter_form import AdapterForm, AdapterOptions
from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["OWN", "PEFT", "PeftOptions"]

OWN = {"base_model_name_or_path", "revision", "task_type", "inference_mode", "auto_mapping"}
"""Keys of such a file that say what it was made from; here the study says that."""


class PeftOptions(AdapterOptions):
    """PEFT's configuration, as its ``adapter_config.json`` writes it."""

    model_config = ConfigDict(extra="allow")

    peft_type: str = Field(min_length=1)
    """The method, as ``LOHA``; the other keys are its own."""

    @model_validator(mode="before")
    @classmethod
    def _of_the_method(cls, value: Any) -> Any:
        """Leave out what a file says of the model that it was made from."""
        return {name: one for name, one in value.items() if name not in OWN} if isinstance(value, dict) else value


def _config(options: PeftOptions) -> dict[str, Any]:
    return options.model_dump()


PEFT = TuningKind(0.7, words="PEFT's {}", rates=(3e-5, 3e-2), adapter=AdapterForm(PeftOptions, _config))
