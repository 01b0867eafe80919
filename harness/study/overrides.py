"""What a command or Python's ``overrides`` set: ``search.trials=16``, ``prompts[0].text=...``, the value in YAML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml

from harness.core.closest_match import closest
from harness.core.errors import Problem, StudyError
from harness.core.plain_yaml import shown, yaml_value
from harness.study.study_tree import EXTENDS, Key, Keys

__all__ = ["apply_overrides", "dotted_name", "is_set"]

DEEPEST = 8
"""Sections within sections that a key on the command line may name."""

PART = re.compile(r"([^\[\]]+)((?:\[[0-9]{1,6}\])*)")
"""A key, and the entries of lists behind it."""

FIELD = "{{"
"""How a value begins that is a prompt's text, which YAML would take for a mapping."""

FORM = " must have the form key.sub=value, an entry of a list key[0].sub=value"


def apply_overrides(tree: dict[str, Any], overrides: Sequence[str]) -> None:
    """Set all of them in a study's tree.

    Raises:
        StudyError: All that cannot be set.
    """
    problems = []
    for override in overrides:
        try:
            _apply(tree, override)
        except ValueError as error:
            problems.append(Problem("override", f"{shown(override)}{error}"))
    if problems:
        raise StudyError(problems)


def dotted_name(override: str) -> str:
    """Return what an override sets, entries of lists with a dot before them.

    >>> dotted_name("prompts[0].text={{ source }}")
    'prompts.0.text'
    """
    return re.sub(r"\[(\d+)\]", r".\1", override.partition("=")[0])


def is_set(keys: Keys, overrides: Sequence[str]) -> bool:
    """Return whether one of some overrides gives a key its value, or a section that it is in.

    >>> is_set(("data", "path"), ["data={path: rows}"])
    True
    """
    dotted = ".".join(map(str, keys))
    return any(f"{dotted}.".startswith(f"{dotted_name(override)}.") for override in overrides)


def _keys(name: str) -> Keys:
    keys: list[Key] = []
    for part in name.split("."):
        written = PART.fullmatch(part)
        if written is None:
            raise ValueError(FORM)
        keys += [written[1], *map(int, re.findall(r"\d+", written[2]))]
    if len(keys) > DEEPEST + 1:
        raise ValueError(f": no key lies more than {DEEPEST} sections deep")
    return tuple(keys)


def _apply(tree: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals:
        raise ValueError(FORM)
    keys = _keys(name)
    if keys == (EXTENDS,):
        raise ValueError(f": {EXTENDS} is read in study files alone; write a study file that has it")
    node: Any = tree
    for depth in range(1, len(keys)):
        node = _inside(node, keys[:depth], makes=isinstance(keys[depth], str), owner=tree if depth == 1 else {})
    last = keys[-1]
    if isinstance(last, int):
        _see_entry(node, keys)
    elif not isinstance(node, dict):
        raise ValueError(f": {_name(keys[:-1])!r} holds {shown(node)}, no section with keys")
    try:
        node[last] = text if text.startswith(FIELD) else yaml_value(text)
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or error
        raise ValueError(f": the value is no valid YAML, {reason}; quote it") from None


def _inside(node: Any, keys: Keys, *, makes: bool, owner: dict[str, Any]) -> Any:
    """Return what is at the last of some keys, a section that is made where nothing is, or a list.

    Args:
        node: What is at the keys before.
        keys: All of them.
        makes: Whether a section is wanted, which may be missing.
        owner: The study, where the key is one of its own.
    """
    key = keys[-1]
    if isinstance(key, int):
        _see_entry(node, keys)
        if keys == ("prompts", key) and isinstance(node[key], str) and makes:
            node[key] = {"name": node[key]}  # the short form has no keys to set
        return node[key]
    if not isinstance(node, dict):
        raise ValueError(f": {_name(keys[:-1])!r} holds {shown(node)}, no section with keys")
    child = node.get(key)
    if child is None and makes:
        child = node[key] = {}
    if child is None:
        lists = [name for name, value in owner.items() if isinstance(value, list)]
        hint = f"; {closest(key, lists)}" if owner else f"; set the whole list: {_name(keys)}=[...]"
        raise ValueError(f": the study file has no list {_name(keys)!r}{hint}")
    return child


def _see_entry(node: Any, keys: Keys) -> None:
    """See that a list has an entry."""
    *above, index = keys
    name = _name(tuple(above))
    if not isinstance(node, list):
        raise ValueError(f": {name!r} holds {shown(node)}, no list")
    if int(index) >= len(node):
        there = f"{len(node)} entries, {name}[0] to {name}[{len(node) - 1}]" if node else "no entries"
        raise ValueError(f": {name} has {'1 entry, ' + name + '[0]' if len(node) == 1 else there}")


def _name(keys: Keys) -> str:
    """Return keys as they are written on a command line."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
