"""A study as the text of a study file: what it sets, or defaults as well."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from harness.core.plain_yaml import yaml_text
from harness.core.yaml_section import Section
from harness.study.axes import Prompt, Tuning
from harness.study.spec import StudySpec
from harness.study.written_space import TUNING

__all__ = ["study_text"]


def study_text(study: StudySpec, question: str = "", *, defaults: bool = False) -> str:
    """Return a study file that says the same.

    Args:
        study: A study.
        question: The comment that opens the file.
        defaults: Whether keys are written that the study leaves out, but for those that are then empty.
    """
    searched = study.search.space or {}
    return (f"# {question}\n" if question else "") + yaml_text(_written(study, defaults=defaults, searched=searched))


def _written(value: Any, *, defaults: bool, searched: Collection[str]) -> Any:
    """Return a value as a study file writes it, in its short form where it has one."""
    if isinstance(value, Tuning):
        return value.written(_defaults(value, searched) if defaults else {})
    if isinstance(value, Prompt) and value.model_fields_set == {"name"}:
        return value.name
    if isinstance(value, Section):
        keys = [*type(value).model_fields, *(value.model_extra or {})]
        written = [key for key in keys if _says(value, key, defaults=defaults)]
        fields = type(value).model_fields
        names = {key: (key in fields and fields[key].alias) or key for key in written}
        return {names[key]: _written(getattr(value, key), defaults=defaults, searched=searched) for key in written}
    if isinstance(value, Mapping):
        return {key: _written(inner, defaults=defaults, searched=searched) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_written(item, defaults=defaults, searched=searched) for item in value]
    return value


def _defaults(tuning: Tuning, searched: Collection[str]) -> dict[str, Any]:
    """Return an adapter's options that are as they are where none is named, but for those that the search draws."""
    settings = tuning.settings.model_dump(mode="json") if tuning.adapter else {}
    names = {name for name in settings if f"{TUNING}{tuning.kind}.{name}" not in searched}
    return {name: value for name, value in settings.items() if name in names and value is not None}


def _says(section: Section, key: str, *, defaults: bool) -> bool:
    """Return whether a key is written."""
    field = type(section).model_fields.get(key)
    if not defaults or field is None:
        return key in section.model_fields_set
    value = getattr(section, key)
    if key == "model" and isinstance(section, StudySpec) and section.models:
        return False
    return (value is not None or field.default is not None) and not (key in ("prompts", "models") and not value)
