"""A task from memory, as the file that studies and stores need: its module's own, else the text of one."""

from __future__ import annotations

import sys
from dataclasses import MISSING, Field, fields
from pathlib import Path

from harness.metrics import get, names
from harness.metrics.base import Metric
from harness.study.function_source import SourceModule
from harness.study.task import Task

__all__ = ["own_file", "task_source"]


def own_file(task: Task) -> Path | None:
    """Return the file of the module that was imported and defines a task as a task file does, if there is one.

    A script is none: it would run once more.
    """
    script = sys.modules["__main__"]
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and module is not script and vars(module).get("task") is task:
            path = Path(file)
            return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return None


def task_source(task: Task) -> str:
    """Return a task file that makes a task which does the same.

    Raises:
        TaskError: It uses what lives in this process alone, or what has no source.

    >>> from harness import Task, Template
    >>> task = Task("t", "data", [Template("bare", "{{ source }}")], ["rougeL"], max_target_tokens=8)
    >>> print(task_source(task).splitlines()[-1])
    task = Task(name='t', data='data', prompts=[Template(name='bare', text='{{ source }}')], metrics=['rougeL'], \
max_target_tokens=8)
    """
    module = SourceModule(f"task {task.name!r}")
    parts = {"metrics": [_name_of(metric) for metric in task.metrics]}
    said = []
    for part in fields(task):
        value = parts.get(part.name, getattr(task, part.name))
        if value != _default(part):
            said.append(f"{part.name}={module.expression(value, part.name)}")
    kind = module.expression(Task, "task")
    return f"{module.text()}\ntask = {kind}({', '.join(said)})\n"


def _default(part: Field[object]) -> object:
    """Return what a field holds where nothing is said."""
    return part.default if part.default_factory is MISSING else part.default_factory()


def _name_of(metric: Metric | str) -> Metric | str:
    """Return a metric of the harness by its name."""
    known = isinstance(metric, Metric) and metric.name in names() and get(metric.name) is metric
    return metric.name if known and isinstance(metric, Metric) else metric
