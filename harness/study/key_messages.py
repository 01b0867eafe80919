"""What is said of a key of a study file that is unknown, or holds what it cannot; in words of YAML, never of Python."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import ValidationError

from harness.core.closest_match import closest
from harness.core.plain_yaml import shown
from harness.core.yaml_section import Section
from harness.study.foreign_keys import FOREIGN_KEYS
from harness.study.spec import StudySpec

__all__ = ["all_keys", "findings", "message"]

OWN_FORM = {"tuning", "ranges", "models"}
"""Keys with forms of their own inside: tunings, ranges by names of tunings, models, which are sections like one."""

Keys = tuple[str | int, ...]

CLOSE = 0.75
"""How alike two keys are, from 0 to 1, for one to be a misspelling of the other wherever they stand."""

YAML = {"True": "true", "False": "false"}
"""Of Python's words for choices those of YAML."""

OUTSIDE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
"""What pydantic calls a number outside of its range."""

WANTED = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "tuple": "a list: [one, another]",
    "dict": "a mapping: {name: value}",
    "model": "a section with keys",
}
"""What a key takes, by what pydantic's names of errors begin with."""


def findings(error: ValidationError) -> list[tuple[Keys, str]]:
    """Return each of pydantic's findings, in its order: where, and the sentence for it."""
    found = error.errors()
    places = [detail["loc"] for detail in found]
    return [
        (keys[:-1] if keys[-1:] == ("[key]",) else keys, message(detail, keys))
        for detail, keys in zip(found, places, strict=True)
        # A list may look empty only because its items were refused.
        if detail["type"] != "too_short" or not any(loc[: len(keys)] == keys and loc != keys for loc in places)
    ]


def message(detail: Mapping[str, Any], keys: Keys) -> str:
    """Return the sentence for one of pydantic's findings at a key: the thing, the value, the rule and the remedy."""
    dotted, kind, context = ".".join(map(str, keys)), str(detail["type"]), detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown(keys)
    if kind == "missing":
        return f"key {dotted!r} is missing; add it"
    if kind == "invalid_key":
        return f"key {keys[-1]!r} is no text; quote it"
    if keys[-1:] == ("[key]",) and "expected" not in context:
        truth = ": YAML reads yes, no, on and off as true and false" * isinstance(detail["input"], bool)
        return f"key {shown(detail['input'])} of {'.'.join(map(str, keys[:-2]))} is no text; quote it{truth}"
    if keys[-1:] == ("[key]",):
        return f"unknown key {keys[-2]!r} in {'.'.join(map(str, keys[:-2]))}; {closest(str(keys[-2]), _words(context))}"
    if kind == "value_error":
        return str(context["error"])
    quote = "; quote it" if kind == "string_type" and isinstance(detail["input"], int | float) else ""
    return f"{dotted} is {shown(detail['input'])}; {_rule(kind, context, keys) or detail['msg']}{quote}"


def _rule(kind: str, context: Mapping[str, Any], keys: Keys) -> str | None:
    """Return what a key takes, ``None`` for what the harness says in words of its own."""
    if kind == "literal_error":
        return f"it must be one of {', '.join(YAML.get(word, repr(word)) for word in _words(context))}"
    if kind == "string_pattern_mismatch" and keys[-1] == "registered":
        return "write prompts:/name/3 (a version) or prompts:/name@alias"
    if kind == "string_pattern_mismatch":
        return "use letters, digits, '_', '.' and '-', and begin with a letter or digit"
    if kind in OUTSIDE:
        (limit,), words = context.values(), kind.replace("_equal", " or equal to").replace("_", " ")
        return f"it must be {words} {limit:,}"
    if "too_short" in kind:
        return f"it must have at least {context['min_length']} {'character' if 'string' in kind else 'entry'}"
    if "too_long" in kind:
        return f"it must have at most {context['max_length']} character{'s' * (context['max_length'] > 1)}"
    wanted = next((words for beginning, words in WANTED.items() if kind.startswith(beginning)), None)
    if wanted is None:
        return None
    section = _section(keys) if kind.startswith("model") else None
    return f"it must be {wanted}{': ' if section else ''}{', '.join(section.keys() if section else ())}"


def _words(context: Mapping[str, Any]) -> list[str]:
    """Return the choices of a key from pydantic's ``'a', 'b' or 'c'``."""
    return [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]


def _unknown(keys: Keys) -> str:
    """Answer a key that its section does not have: misspelt there, meant for another section, or misspelt for one."""
    name, section = str(keys[-1]), ".".join(map(str, keys[:-1])) or "the study"
    if name in FOREIGN_KEYS:
        return f"unknown key {name!r} in {section}; {FOREIGN_KEYS[name]}"
    here = _section(keys[:-1])
    known = list(here.keys()) if here else []
    elsewhere = [(dotted, dotted.rpartition(".")[2]) for dotted in all_keys() if "." in dotted]
    same = [dotted for dotted, last in elsewhere if last == name]
    alike = difflib.get_close_matches(name, {last for _, last in elsewhere}, n=1, cutoff=CLOSE)
    hint = closest(name, known)
    if difflib.get_close_matches(name, known, n=1, cutoff=CLOSE):
        also = f"? Or {' or '.join(map(repr, same))}? Known: " if same else "? Known: "
        hint = hint.replace("? Known: ", also, 1)
    elif meant := same or [dotted for dotted, last in elsewhere if last in alike]:
        hint = f"did you mean {' or '.join(map(repr, meant))}? Known: {', '.join(known) or 'none'}"
    return f"unknown key {name!r} in {section}; {hint}"


def all_keys(section: type[Section] = StudySpec, above: str = "") -> Iterator[str]:
    """Yield every key that a study file may have, sections before what is in them: ``search``, ``search.trials``."""
    names = section.keys()
    for name in names:
        yield f"{above}{name}"
        field = section.model_fields.get(name)
        if name not in OWN_FORM and field and (inner := _inner(field.annotation)):
            yield from all_keys(inner, f"{above}{name}.")


def _section(keys: Keys) -> type[Section] | None:
    """Return the section at some keys, an entry of a list among them; ``None`` where there is none."""
    section: type[Section] | None = StudySpec
    is_named = False
    for key in keys:
        if is_named or not isinstance(key, str) or section is None:
            is_named = False  # a name that a user chose, or a place in a list
            continue
        field = section.model_fields.get(key)
        section, is_named = (_inner(field.annotation), _maps(field.annotation)) if field else (None, False)
    return section


def _maps(annotation: Any) -> bool:
    """Return whether an annotation is of a mapping, whose keys users choose."""
    return any(get_origin(part) is dict for part in (annotation, *get_args(annotation)))


def _inner(annotation: Any) -> type[Section] | None:
    """Return the section that an annotation is about, itself or as a part."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for part in get_args(annotation) if (found := _inner(part))), None)
