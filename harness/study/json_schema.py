"""The JSON schema of a study file, for editors: every key with what it is, its values, its default.

It is made of the classes that read the file, so that both say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.study.axes import AXES, Prompt
from harness.study.spec import StudySpec
from harness.study.tuning_kinds import TUNING_KINDS, TuningKind
from harness.study.tunings.block_choice import FORM
from harness.study.written_tuning import BESIDE

__all__ = ["in_markdown", "study_schema"]

LIMITS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
"""Pydantic's names of limits, which it leaves as they are behind a validator of ours, to those of JSON schema."""


def study_schema() -> dict[str, Any]:
    """Return the schema, as draft 2020-12 has it."""
    schema: dict[str, Any] = _tidied(StudySpec.model_json_schema())
    sections = schema["$defs"]
    sections["Tuning"] = _tuning(sections["Tuning"])
    sections["Prompt"] = _prompt(sections["Prompt"])
    model = sections["ComparedModel"]
    sections["ComparedModel"] = {"description": model["description"], "anyOf": [{"type": "string"}, model]}
    sections["Generality"] = {"anyOf": [{"const": "none"}, sections["Generality"]]}
    whole = schema.pop("required")
    schema["anyOf"] = [{"required": whole}, {"required": ["extends"]}]  # the other file may have them
    further = {axis.name: {"anyOf": [{"type": "string"}, {"type": "number"}]} for axis in AXES}
    sections["Baseline"]["properties"] = {**further, **sections["Baseline"]["properties"]}
    sections["Baseline"]["additionalProperties"] = False
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Study file of the prompt-depth harness",
        **schema,
    }


def in_markdown(docstring: str) -> str:
    """Return a docstring's words as a page has them.

    >>> in_markdown('''A file, or
    ...     ``embedded``.''')
    'A file, or `embedded`.'
    """
    return " ".join(docstring.replace("``", "`").split())


def _tidied(node: Any, *, is_names: bool = False) -> Any:
    """Return a part of pydantic's schema in words of JSON schema, without titles that only repeat names.

    Args:
        node: The part.
        is_names: Whether its keys are names of ours, such as of keys of a section.
    """
    if isinstance(node, list):
        return [_tidied(part) for part in node]
    if not isinstance(node, dict):
        return node
    tidied = {}
    for key, value in node.items():
        if is_names:
            tidied[key] = _tidied(value)
        elif key == "description":
            tidied[key] = in_markdown(value)
        elif key != "title" and not (key == "default" and isinstance(value, dict) and value):
            tidied[LIMITS.get(key, key)] = _tidied(value, is_names=key in ("properties", "$defs"))
    return tidied


def _tuning(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the forms of a tuning: a word, or a word with what it says of blocks, and maybe a name of its own."""
    words = [kind for kind, facts in TUNING_KINDS.items() if facts.blocks in ("none", "option") and kind != "peft"]
    sections = []
    for kind, facts in TUNING_KINDS.items():
        keys = {"name": section["properties"]["name"], kind: _below(facts)}
        if facts.adapter:
            keys["with"] = {"type": "array", "items": {"enum": list(BESIDE)}, "minItems": 1}
        sections.append({"type": "object", "properties": keys, "required": [kind], "additionalProperties": False})
    return {"description": section["description"], "anyOf": [{"enum": [*words, None]}, *sections]}


def _below(facts: TuningKind) -> dict[str, Any]:
    """Return the forms of what stands below a kind of tuning."""
    if facts.blocks == "count":
        return {"type": "integer", "minimum": 1}
    numbers = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
    choice = {"anyOf": [{"type": "string", "pattern": FORM}, numbers]}
    if facts.blocks == "choice":
        return choice
    keys = {"blocks": choice} if facts.blocks == "option" else {}
    if facts.adapter is None:
        return {"anyOf": [{"type": "null"}, {"type": "object", "properties": keys, "additionalProperties": False}]}
    options = _tidied(facts.adapter.options.model_json_schema())
    below = {**options, "properties": {**options["properties"], **keys}}
    return {"anyOf": [{"type": "string"}, below] if "required" in options else [{"type": "null"}, below]}


def _prompt(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the forms of a prompt: its name or its address alone, or a section with keys of any form."""
    names = Prompt.keys()
    keys = {key: section["properties"].get(key, {}) for key in names}
    whole = {**section, "properties": keys, "additionalProperties": False}
    return {"description": section["description"], "anyOf": [{"type": "string"}, whole]}
