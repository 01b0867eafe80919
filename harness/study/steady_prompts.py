"""Steady prompts: the same row must give the same prompt, today and tomorrow, here and in another process.

What depends on chance, on the address of an object, on the order of a set or on the day gives two identical runs
different results. Prompts of plain text and fields cannot; where a prompt or a task is more than that, a sample of rows
is made into examples and rendered in two further processes, in which texts hash differently and the clock is ahead.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from harness.core.errors import DataError, TaskError, TemplateError
from harness.core.example import Example
from harness.core.python_child import child_environment, python
from harness.data.data_keys import Data
from harness.data.demonstrations import shots_of
from harness.data.sources import SourceRow, example_of
from harness.data.tokenization import PromptForm
from harness.study.later_clock import turn_ahead
from harness.study.task import Task, load_task, plain_example

__all__ = ["Unsteady", "look", "unsteady"]

HASH_SEEDS = ("1", "2")
"""Of the further processes; this one's is another, or one of them with little loss."""

PATIENCE = 60.0
"""Seconds that a process may take."""


class Unsteady(NamedTuple):
    """What differs between processes."""

    prompt: str | None
    """Its name; ``None``: the task's own function made another example."""
    message: str


class _Seen(NamedTuple):
    """A row as one process sees it."""

    example: Any
    """Fields, target, references."""
    prompts: Mapping[str, str]
    """What each prompt renders; those that could not be taken along are missing."""
    id: str = ""
    """The example's; of a task that counts its calls only that of a process which begins is what it will be."""


def unsteady(
    prompts: Sequence[PromptForm], rows: Sequence[SourceRow], data: Data, task: Task, task_file: Path
) -> list[Unsteady]:
    """Return what two further processes make of rows otherwise than this one, at most once for each prompt.

    Args:
        prompts: Those that can be rendered.
        rows: A sample.
        data: How columns are called.
        task: The task.
        task_file: Where it stands.
    """
    own = task.example is not plain_example
    suspects = [prompt for prompt in prompts if own or not prompt.is_plain()]
    if not suspects or not rows:
        return []
    here = _seen(suspects, rows, data, task)
    work = pickle.dumps((str(task_file) if own else None, data.model_dump(), list(map(tuple, rows)), _packed(suspects)))
    there = _elsewhere(work)
    return _differences(rows, [here, *there])


def _packed(prompts: Sequence[PromptForm]) -> list[bytes]:
    """Return prompts as another process can read them; forms that only this one knows are left out."""
    packed = []
    for prompt in prompts:
        try:
            packed.append(pickle.dumps(prompt))
        except (pickle.PicklingError, AttributeError, TypeError):
            continue
    return packed


def _seen(prompts: Sequence[PromptForm], rows: Sequence[SourceRow], data: Data, task: Task) -> list[_Seen]:
    seen = []
    for row in rows:
        try:
            example = example_of(row, data, task.example)
        except DataError as error:
            seen.append(_Seen(str(error), {}))
            continue
        content = (dict(example.fields), example.target, example.references)
        seen.append(_Seen(content, {prompt.name: _rendered(prompt, example) for prompt in prompts}, example.id))
    return seen


def _rendered(prompt: PromptForm, example: Example) -> str:
    try:
        shots = (example,) if shots_of(prompt) else ()  # any will do to see whether it is written alike
        return prompt.render(example.fields, shots)
    except TemplateError as error:
        return str(error)


def _elsewhere(work: bytes) -> list[list[_Seen]]:
    """Return what processes with other hash seeds see; one that fails, for a task that needs this one, sees nothing."""
    command = python("-c", f"from {__name__} import look; look()")
    environments = [child_environment(PYTHONHASHSEED=seed) for seed in HASH_SEEDS]
    processes = [
        subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        for environment in environments
    ]
    seen = []
    for process in processes:
        try:
            answer, _ = process.communicate(work, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            continue
        if process.returncode == 0:
            seen.append([_Seen(*row) for row in pickle.loads(answer)])
    return seen


def look() -> None:
    """Read rows and prompts from standard input, and write what this process makes of them at a later time."""
    turn_ahead()
    task_file, keys, rows, packed = pickle.loads(sys.stdin.buffer.read())
    with redirect_stdout(sys.stderr):  # a task file may print
        task = load_task(task_file)[0] if task_file else _plain_task()
        prompts = [prompt for part in packed if (prompt := _unpacked(part)) is not None]
        seen = _seen(prompts, [SourceRow(*row) for row in rows], Data(**keys), task)
    sys.stdout.buffer.write(pickle.dumps([tuple(row) for row in seen]))


def _plain_task() -> Task:
    return Task(name="plain", data="", prompts=(), metrics=(), max_target_tokens=1)


def _unpacked(part: bytes) -> PromptForm | None:
    try:
        prompt: PromptForm = pickle.loads(part)
    except (ImportError, AttributeError, TaskError):
        return None
    return prompt


def _differences(rows: Sequence[SourceRow], seen: Sequence[Sequence[_Seen]]) -> list[Unsteady]:
    differences: dict[str | None, Unsteady] = {}
    for row, views in zip(rows, zip(*seen, strict=True), strict=True):
        here, *others = views
        if len(ids := {there.id for there in others}) > 1:
            differences.setdefault(None, Unsteady(None, _of_task(row, *sorted(ids)[:2])))
        for there in others:
            if there.example != here.example:
                differences.setdefault(None, Unsteady(None, _of_task(row, here.example, there.example)))
                continue
            for name, text in there.prompts.items():
                if text != here.prompts[name]:
                    differences.setdefault(name, Unsteady(name, _of_prompt(row, name, here.prompts[name], text)))
    return [differences[None]] if None in differences else list(differences.values())


def _of_task(row: SourceRow, here: object, there: object) -> str:
    return (
        f"{row.place}: the task's example() makes another example of it in each process, {_parted(here, there)}; what "
        "depends on chance, on the time, on hash() or on the order of a set must not: sort it, or seed it with the "
        "row's id"
    )


def _of_prompt(row: SourceRow, name: str, here: str, there: str) -> str:
    return (
        f"prompt {name!r} renders {row.place} otherwise in each process, {_parted(here, there)}; call what is a "
        "method, sort what has no order, and show no object as it is"
    )


def _parted(here: object, there: object) -> str:
    """Quote two texts from shortly before they part."""
    one, other = str(here), str(there)
    common = os.path.commonprefix([one, other])
    start = max(0, len(common) - 20)
    return f"{one[start : start + 60]!r} and {other[start : start + 60]!r}"
