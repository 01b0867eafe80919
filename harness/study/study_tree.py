"""A study file as a tree of plain values, with the line of each key; what it extends is merged in here.

Mappings merge key by key; everything else, lists among it, replaces what the extended file has, and so does a mapping
that is one value, as a tuning is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from harness.core.bounded_files import read_text
from harness.core.errors import Problem, StudyError, UserError
from harness.core.named_path import named_path
from harness.core.plain_yaml import shown, yaml_nodes, yaml_text, yaml_value
from harness.study.adapter_files import with_adapter_file
from harness.study.prompt_files import names_files, prompts_in

__all__ = ["EXTENDS", "Key", "Keys", "Line", "StudyTree", "dumped", "opening_comment", "read_tree"]

Key = str | int
Keys = tuple[Key, ...]

WHOLE = {("final", "baseline", "tuning")}
"""Keys whose mapping is one value: of two kinds of tuning none is made."""

STUDY = 2**20
"""The most bytes of a study file."""

EXTENDS = "extends"
"""The key that names another study file."""

PROMPTS = "prompts"
"""The key whose entries may be files."""

LONGEST = 8
"""Files of which each extends the next."""

EDITOR = "# yaml-language-server:"
"""How a comment begins that is an editor's, not the study's question."""


class Line(NamedTuple):
    """Where something stands."""

    file: Path
    number: int
    """Counted from 1."""

    def __str__(self) -> str:
        """Return it as messages have it: ``study.yaml:3``."""
        return f"{self.file}:{self.number}"


class StudyTree(NamedTuple):
    """What a study file says, with what it extends."""

    values: dict[str, Any]
    lines: dict[Keys, Line]
    """Of every key, in the file that has it."""
    text: str
    """Of the file itself."""
    files: tuple[Path, ...]
    """The file, its prompts' own, and those that it extends, from the nearest to the farthest."""


def read_tree(path: Path, chain: Sequence[Path] = ()) -> StudyTree:
    """Read a study file and all that it extends.

    Args:
        path: The file.
        chain: Those that lead to it, the one that was asked for first.

    Raises:
        StudyError: One of them cannot be read, is no YAML, or extends itself.
    """
    text = _text(path)
    values, lines = _parsed(text, path)
    own = [*_with_prompt_files(values, lines, path), *_with_adapter_files(values, lines, path)]
    if EXTENDS not in values:
        return StudyTree(values, lines, text, (path, *own))
    base = read_tree(_extended(values.pop(EXTENDS), lines[(EXTENDS,)], [*chain, path]), [*chain, path])
    merged = _merged(base.values, values, (), kept := dict(base.lines))
    return StudyTree(merged, {**kept, **lines}, text, (path, *own, *base.files))


def _with_prompt_files(values: dict[str, Any], lines: dict[Keys, Line], path: Path) -> list[Path]:
    """Put what files of prompts hold in the place of their names, and return the files."""
    named = values.get(PROMPTS)
    if not isinstance(named, list) or not any(map(names_files, named)):
        return []
    prompts, files, places = list[Any](), list[Path](), dict[Keys, Line]()
    for index, entry in enumerate(named):
        at = (PROMPTS, index)
        if not names_files(entry):
            inner = {keys[2:]: lines.pop(keys) for keys in [keys for keys in lines if keys[:2] == at]}
            places |= {(PROMPTS, len(prompts), *keys): line for keys, line in inner.items()}
            prompts.append(entry)
            continue
        line = lines.pop(at)
        try:
            found = prompts_in(entry, path.parent)
        except UserError as error:
            raise StudyError([Problem(str(line), f"prompts[{index}] is {shown(entry)}: {error}")]) from None
        places |= {(PROMPTS, len(prompts) + n): Line(file, 1) for n, (_, file) in enumerate(found)}
        prompts += [prompt for prompt, _ in found]
        files += [file for _, file in found if file not in files]
    values[PROMPTS] = prompts
    lines.update(places)
    return list(dict.fromkeys(files))


def _with_adapter_files(values: dict[str, Any], lines: dict[Keys, Line], path: Path) -> list[Path]:
    """Put what PEFT's configuration files hold in the place of their names among the tunings, and return the files."""
    tunings: list[Any] = values["tuning"] if isinstance(values.get("tuning"), list) else []
    files: list[Path] = []
    for index, entry in enumerate(tunings):
        try:
            tunings[index], read = with_adapter_file(entry, path.parent)
        except UserError as error:
            raise StudyError([Problem(str(lines[("tuning", index)]), f"tuning[{index}]: {error}")]) from None
        files += read
    return files


def opening_comment(text: str) -> list[str]:
    """Return the lines of the comment that opens a file, without an editor's."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith(EDITOR):
            lines.append(line)
    return lines


def dumped(values: dict[str, Any], question: Sequence[str]) -> str:
    """Return a study file's text that says these values, below a comment."""
    return "\n".join([*question, yaml_text(values)])


def _text(path: Path) -> str:
    try:
        return read_text(path, "utf-8-sig", STUDY)
    except FileNotFoundError:
        raise StudyError([Problem(str(path), "no such study file; write one with `harness init`")]) from None
    except (OSError, ValueError) as error:  # a name that no file can have, or no text
        raise StudyError([Problem(str(path), f"cannot be read as a study file: {error}")]) from error


def _parsed(text: str, path: Path) -> tuple[dict[str, Any], dict[Keys, Line]]:
    """Return the file's tree and the line of each of its keys."""
    try:
        root, tree = yaml_nodes(text), yaml_value(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}" if mark else str(path)
        told = str(getattr(error, "problem", None) or error)
        hint = '; a text with a bracket is quoted there: "train[-500:]"' if told.endswith("but got '['") else ""
        raise StudyError([Problem(place, f"no valid YAML: {told}{hint}")]) from None
    if root is None or not isinstance(tree, dict):
        raise StudyError([Problem(str(path), "a study file must hold keys and values; see `harness init`")])
    lines: dict[Keys, Line] = {}
    repeated: list[Problem] = []
    _walk(root, (), lines, repeated, path)
    if repeated:
        raise StudyError(repeated)
    return tree, lines


def _walk(node: yaml.Node, keys: Keys, lines: dict[Keys, Line], repeated: list[Problem], path: Path) -> None:
    lines.setdefault(keys, Line(path, node.start_mark.line + 1))
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            line = Line(path, key.start_mark.line + 1)
            if key.value in seen:
                repeated.append(Problem(str(line), f"key {key.value!r} stands twice; keep one"))
            seen.add(key.value)
            lines[(*keys, key.value)] = line
            _walk(value, (*keys, key.value), lines, repeated, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*keys, index), lines, repeated, path)


def _extended(named: Any, line: Line, chain: Sequence[Path]) -> Path:
    """Return the file that another one extends.

    Args:
        named: The key's value.
        line: Where it stands.
        chain: The files up to that one.
    """

    def refused(why: str) -> StudyError:
        return StudyError([Problem(str(line), f"extends is {shown(named)}; {why}")])

    if not isinstance(named, str) or not named:
        raise refused("it must be the path of one study file")
    try:
        path = named_path(line.file.parent / named_path(named))
    except UserError as error:
        raise refused(str(error)) from None
    way = " extends ".join(str(file) for file in (*chain, path))
    if any(_is_same(path, file) for file in chain):
        raise refused(f"that leads back to itself: {way}; take one of these lines out")
    if len(chain) >= LONGEST:
        raise refused(f"at most {LONGEST} files may extend one another: {way}; merge some of them")
    if not path.exists():
        raise refused(f"there is no such file: {way}; correct the path, which starts at the folder of {line.file}")
    return path


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _merged(base: dict[str, Any], own: dict[str, Any], keys: Keys, lines: dict[Keys, Line]) -> dict[str, Any]:
    """Return the base's values with one's own before them, and forget the lines of what is replaced."""
    merged = dict(base)
    for key, value in own.items():
        inner = (*keys, key)
        if isinstance(value, dict) and isinstance(base.get(key), dict) and inner not in WHOLE:
            merged[key] = _merged(base[key], value, inner, lines)
            continue
        merged[key] = value
        for there in [there for there in lines if there[: len(inner)] == inner]:
            del lines[there]
    return merged
