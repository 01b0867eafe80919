"""Prompts in files of their own: ``prompts/*.j2``, text behind an optional head of keys, and ``*.yaml``, keys alone.

They are read with the study file that names them and become part of it, so that what is stored of a study says all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import yaml

from harness.core.bounded_files import read_text
from harness.core.errors import UserError
from harness.core.named_path import named_path
from harness.core.plain_yaml import repeated_key, yaml_nodes, yaml_value

__all__ = ["SUFFIXES", "names_files", "prompts_in"]

SUFFIXES = (".j2", ".yaml", ".yml")

LARGEST = 2**20
"""The most bytes of one file."""

DASHES = r"---[ \t]*(?:\n|\Z)"

HEAD = re.compile(rf"{DASHES}(?P<keys>.*?\n)?{DASHES}", re.DOTALL)
"""The keys in front of a text, between two lines of dashes."""


def names_files(prompt: object) -> bool:
    """Return whether an entry of ``prompts`` is the path of a file, or a pattern of several."""
    return isinstance(prompt, str) and prompt.endswith(SUFFIXES) and not prompt.startswith("prompts:/")


def prompts_in(named: str, folder: Path) -> list[tuple[dict[str, Any], Path]]:
    """Return the prompts that a path or a pattern such as ``prompts/*.j2`` stands for, by file name, and their files.

    Args:
        named: As the study file has it.
        folder: Where a relative path starts.

    Raises:
        UserError: There is no such file, or one cannot be read as prompts.
    """
    path = named_path(named)
    start = Path(path.anchor) if path.is_absolute() else folder
    pattern = str(path.relative_to(path.anchor)) if path.is_absolute() else str(path)
    files = [start / pattern]
    if has_magic(named) and not files[0].exists():
        files = sorted(start / found for found in glob(pattern, root_dir=start, recursive=True))  # no hidden ones
    if not files:
        raise UserError(f"no file is called {named!r} in {folder.resolve()}; correct the pattern")
    return [(prompt, file) for file in files for prompt in _prompts(file)]


def _prompts(file: Path) -> Sequence[dict[str, Any]]:
    try:
        text = read_text(file, "utf-8-sig", LARGEST)
    except FileNotFoundError:
        raise UserError(f"there is no file {file}; correct the path, which starts at the study file's folder") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{file} cannot be read as a prompt: it is no UTF-8; save it as such") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read as a prompt: {error}") from error
    if file.suffix == ".j2":
        return [_with_head(text, file)]
    found = _keys(text, file)
    prompts = found if isinstance(found, list) else [found]
    if not prompts or not all(isinstance(prompt, dict) for prompt in prompts):
        raise UserError(f"{file} must hold the keys of a prompt, or a list of such; for example text: '...'")
    return [{"name": file.stem, **prompt} for prompt in prompts]


def _with_head(text: str, file: Path) -> dict[str, Any]:
    """Return a text with the keys in front of it; the line end that closes a file is no part of it."""
    head = HEAD.match(text)
    if not head and re.match(DASHES, text):
        rule = "begins with a line of dashes, and no second one ends its keys"
        raise UserError(f"{file} {rule}; add it, above the text too if there are no keys")
    keys = _keys(head["keys"] or "", file) if head else {}
    if not isinstance(keys or {}, dict):
        raise UserError(f"{file} must have keys between its lines of dashes, such as shorten: source")
    if "text" in (keys or {}):
        raise UserError(f"{file} has a key text between its lines of dashes; its text is what stands below them")
    body = text[head.end() :] if head else text
    return {"name": file.stem, **(keys or {}), "text": body.removesuffix("\n")}


def _keys(text: str, file: Path) -> Any:
    try:
        if (name := repeated_key(yaml_nodes(text))) is not None:
            raise UserError(f"{file} has the key {name!r} twice; keep one")
        return yaml_value(text)
    except yaml.YAMLError as error:
        raise UserError(f"{file} holds no valid YAML: {getattr(error, 'problem', None) or error}") from None
