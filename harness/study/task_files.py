"""Task files that are not run: where they are, whether this person ever ran them, what they say as they stand.

A task file is code. A study file names one, and whoever runs that study allows it; a store names one as well, and
holds a copy, which allows nothing. So it is remembered, in a file of the person's own, what was run by hand; what a
store brings is run where it is the very same text.
"""

from __future__ import annotations

import ast
import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from harness.core.named_path import named_path
from harness.core.passwords import masked
from harness.study.task import packaged_tasks, task_text

__all__ = ["has_run", "prompt_in", "remember", "task_path"]

_HERE: set[str] = set()
"""Digests of what this process ran, should there be nowhere to keep them."""


def task_path(name: str, folders: Sequence[Path] = ()) -> Path:
    """Return where the task of a name or path is, whether it is there or not.

    Args:
        name: As a study has it.
        folders: Where a relative path may start, the likeliest first; what is in none is in the working folder.

    Raises:
        UserError: No file can be called so.
    """
    path = named_path(name)
    there = (folder / path for folder in folders if os.path.isfile(folder / path))
    return packaged_tasks().get(name) or next(there, path)


def remember(files: Iterable[Path]) -> None:
    """Take note of task files that the person at the keyboard has run, by their content."""
    new = [own for file in files if (own := _digest(task_text(file))) not in _known()]
    if not new:
        return
    _HERE.update(new)
    with suppress(OSError):  # a home that cannot be written to: then it is asked about again
        place = _place()
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("a", encoding="ascii") as file:
            file.write("".join(f"{own}\n" for own in new))


def has_run(text: str) -> bool:
    """Return whether a task file of this text comes with the harness, or was run by this person before."""
    own = _digest(text)
    packaged = (_digest(task_text(file)) for file in packaged_tasks().values())
    return own in _known() or own in packaged


def _known() -> set[str]:
    with suppress(OSError):
        return _HERE | set(_place().read_text(encoding="ascii", errors="replace").split())
    return _HERE


def _place() -> Path:
    """Return where it is kept: with the person, since a study's folder may have come from anybody."""
    state = os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser()
    return Path(state) / "prompt-depth-harness" / "task_files"


def _digest(text: str) -> str:
    return hashlib.sha256(masked(text).encode()).hexdigest()  # stores have it so


def prompt_in(source: str, name: str) -> str | None:
    """Return the text of a prompt that a task file makes of plain texts, as ``Template("cue", "{{ source }} TL;DR:")``.

    ``None`` where it is not made so, or the file does not parse.

    >>> prompt_in('prompts=[Template("bare", "{{ source }}", shorten="source")]', "bare")
    '{{ source }}'
    """
    with suppress(SyntaxError, ValueError):
        for call in ast.walk(ast.parse(source)):
            if isinstance(call, ast.Call):
                texts = [part.value for part in _given(call) if isinstance(part, ast.Constant)]
                if len(texts) == 2 and texts[0] == name and isinstance(texts[1], str):
                    return texts[1]
    return None


def _given(call: ast.Call) -> list[ast.expr]:
    """Return what a call gives for a prompt's name and text, by place or by name."""
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    return [*call.args, *(named[key] for key in ("name", "text") if key in named)][:2]
