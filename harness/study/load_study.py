"""Reading a study file: YAML with line numbers, every problem reported at once, misspelt names answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from harness.core.bounded_files import read_text
from harness.core.closest_match import closest
from harness.core.environment_names import resolved
from harness.core.errors import Problem, StudyError
from harness.core.plain_yaml import yaml_nodes, yaml_value
from harness.core.yaml_section import Section
from harness.study.spec import StudySpec

__all__ = ["StudyFile", "read_study"]

OUTSIDE = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
"""What pydantic calls a number outside of its range."""

Key = str | int
Keys = tuple[Key, ...]

STUDY = 2**20
"""The most bytes of a study file."""

DEEPEST = 8
"""Sections within sections that a key on the command line may name."""

QUOTED = 200
"""The most characters of a value that a message shows."""


@dataclass(frozen=True)
class StudyFile:
    """A study and where it came from."""

    study: StudySpec
    """As it is written; what is stored of a study is this."""
    path: Path
    text: str
    """The file as written."""
    overrides: tuple[str, ...]
    """What the command line set, as ``key.sub=value``."""
    lines: dict[Keys, int]
    """Line numbers, counted from 1, of every key of the file."""

    @property
    def question(self) -> str:
        """The comment that opens the file, without its marks."""
        lines = []
        for line in self.text.splitlines():
            if not line.startswith("#"):
                break
            lines.append(line.lstrip("#").strip())
        return " ".join(line for line in lines if line)

    @cached_property
    def resolved(self) -> StudySpec:
        """The study with what each ``${NAME}`` of its model and data stands for.

        Raises:
            UnsetName: The environment has no such name.
        """
        spec, sections = self.study, dict[str, Section]()
        for name, section in {"model": spec.model, "data": spec.data}.items():
            said = section.model_dump()
            if (now := resolved(said, name)) != said:
                sections[name] = type(section).model_validate(now)
        return spec.model_copy(update=sections)

    def place(self, *keys: Key) -> str:
        """Return ``file:line`` of a key, or of the nearest one around it that the file has."""
        return _place(self.path, self.lines, self.overrides, keys)


def read_study(path: Path, overrides: Sequence[str] = ()) -> StudyFile:
    """Read and validate a study file.

    Args:
        path: The file.
        overrides: ``key.sub=value`` each, the value in YAML; applied before validation.

    Raises:
        StudyError: All that is wrong with it.
    """
    try:
        text = read_text(path, "utf-8-sig", STUDY)
    except FileNotFoundError:
        raise StudyError([Problem(str(path), "no such study file; write one with `harness init`")]) from None
    except (OSError, ValueError) as error:  # a name that no file can have, or no text
        raise StudyError([Problem(str(path), f"cannot be read as a study file: {error}")]) from error
    tree, lines = _parse(text, path)
    _apply_all(tree, overrides)
    try:
        study = StudySpec.model_validate(tree)
    except ValidationError as error:
        raise StudyError(_problems(error, path, lines, tuple(overrides))) from None
    return StudyFile(study, path, text, tuple(overrides), lines)


def _parse(text: str, path: Path) -> tuple[dict[str, Any], dict[Keys, int]]:
    """Return the file's tree and the line of each of its keys."""
    try:
        root, tree = yaml_nodes(text), yaml_value(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        raise StudyError([Problem(place, f"no valid YAML: {getattr(error, 'problem', None) or error}")]) from None
    if root is None or not isinstance(tree, dict):
        raise StudyError([Problem(str(path), "a study file must hold keys and values; see `harness init`")])
    lines: dict[Keys, int] = {}
    repeated: list[Problem] = []
    _walk(root, (), lines, repeated, path)
    if repeated:
        raise StudyError(repeated)
    return tree, lines


def _walk(node: yaml.Node, keys: Keys, lines: dict[Keys, int], repeated: list[Problem], path: Path) -> None:
    lines.setdefault(keys, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.value in seen:
                repeated.append(Problem(f"{path}:{line}", f"key {key.value!r} stands twice; keep one"))
            seen.add(key.value)
            lines[(*keys, key.value)] = line
            _walk(value, (*keys, key.value), lines, repeated, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*keys, index), lines, repeated, path)


def _apply_all(tree: dict[str, Any], overrides: Sequence[str]) -> None:
    problems = []
    for override in overrides:
        try:
            _apply(tree, override)
        except ValueError as error:
            problems.append(Problem("--set", f"{_quoted(override)}{error}"))
    if problems:
        raise StudyError(problems)


def _apply(tree: dict[str, Any], override: str) -> None:
    """Set ``key.sub=value`` in the tree."""
    dotted, equals, value = override.partition("=")
    if not equals or not all(dotted.split(".")):
        raise ValueError(" must have the form key.sub=value")
    *parents, last = dotted.split(".")
    if len(parents) > DEEPEST:
        raise ValueError(f": no key lies more than {DEEPEST} sections deep")
    node = tree
    for key in parents:
        child = node.get(key)
        if child is None:
            child = node[key] = {}
        if not isinstance(child, dict):
            raise ValueError(f": {key!r} holds {_quoted(child)}, no section with keys")
        node = child
    try:
        node[last] = yaml_value(value)
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or error
        raise ValueError(f": the value is no valid YAML, {reason}; quote it") from None


def _place(path: Path, lines: dict[Keys, int], overrides: tuple[str, ...], keys: Keys) -> str:
    dotted = ".".join(str(key) for key in keys)
    for override in overrides:
        reaches = f"{dotted}.".startswith(f"{_name(override)}.")
        if reaches or (keys not in lines and _name(override).startswith(f"{dotted}.")):
            return f"--set {_cut(override)}"
    while keys not in lines:
        keys = keys[:-1]
    if not keys:
        return str(path)
    section = ".".join(str(key) for key in keys)
    inside = [f" with --set {_cut(override)}" for override in overrides if _name(override).startswith(f"{section}.")]
    return f"{path}:{lines[keys]}" + "".join(inside)


def _line(lines: dict[Keys, int], keys: Keys) -> int:
    while keys not in lines:
        keys = keys[:-1]
    return lines[keys]


def _name(override: str) -> str:
    return override.partition("=")[0]


def _problems(error: ValidationError, path: Path, lines: dict[Keys, int], overrides: tuple[str, ...]) -> list[Problem]:
    """Turn pydantic's findings into problems, in the order of the file."""
    found = error.errors()
    kinds = {detail["loc"]: detail["type"] for detail in found}
    problems = []
    for detail in found:
        keys = detail["loc"]
        if detail["type"] == "too_short" and any(loc[: len(keys)] == keys and loc != keys for loc in kinds):
            continue  # the list looks empty only because its items were refused
        place = _place(path, lines, overrides, keys)
        problems.append((_line(lines, keys), Problem(place, _message(detail, keys))))
    return [problem for _, problem in sorted(problems, key=lambda pair: pair[0])]


def _message(detail: Any, keys: Keys) -> str:
    dotted, value = ".".join(str(key) for key in keys), _quoted(detail["input"])
    if detail["type"] == "extra_forbidden":
        section = ".".join(str(key) for key in keys[:-1]) or "the study"
        return f"unknown key {keys[-1]!r} in {section}; {closest(str(keys[-1]), _known(keys[:-1]))}"
    if detail["type"] == "missing":
        return f"key {dotted!r} is missing; add it"
    if detail["type"] == "invalid_key":
        return f"key {keys[-1]!r} is no text; quote it"
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if detail["type"] == "literal_error":
        return f"{dotted} is {value}; it must be one of {detail['ctx']['expected'].replace(' or ', ', ')}"
    if detail["type"] == "string_pattern_mismatch" and keys[-1] == "registered":
        return f"{dotted} is {value}; write prompts:/name/3 (a version) or prompts:/name@alias"
    if detail["type"] == "string_pattern_mismatch":
        return f"{dotted} is {value}; use letters, digits, '_', '.' and '-', and begin with a letter or digit"
    if detail["type"] in OUTSIDE:
        (limit,), words = detail["ctx"].values(), detail["type"].replace("_equal", " or equal to").replace("_", " ")
        return f"{dotted} is {value}; it must be {words} {limit:,}"
    return f"{dotted} is {value}; {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _quoted(value: object) -> str:
    return _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= QUOTED else f"{text[:QUOTED]} ..."


def _known(keys: Keys) -> list[str]:
    """Return the keys that the section at ``keys`` may have."""
    model: Any = StudySpec
    for key in keys:
        if key not in model.model_fields:  # a place in a list, or a name that a user chose
            continue
        annotation = model.model_fields[key].annotation
        candidates = [annotation, *get_args(annotation), *(a for arg in get_args(annotation) for a in get_args(arg))]
        model = next(c for c in candidates if isinstance(c, type) and issubclass(c, Section))
    return list(model.keys())
