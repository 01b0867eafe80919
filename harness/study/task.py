"""A task: one Python file that says what a row means, which prompts there are and how answers are scored.

A task file defines one module-level name, ``task``. Data with a column ``target`` (optional ``id`` and
``references``), and with those that its prompts use, suits a task without a mapping.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from pathlib import Path
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from harness.core.bounded_files import read_text
from harness.core.closest_match import closest
from harness.core.errors import DataError, MetricError, TaskError
from harness.core.example import Example, as_text
from harness.core.named_path import named_path
from harness.core.number_types import Count
from harness.core.plain_yaml import shown
from harness.core.user_code import module_in, user_code
from harness.data.known_columns import mapping_hint
from harness.data.label_words import Answers
from harness.data.nested_names import names_in
from harness.data.plain_text import NAME, PlainText
from harness.data.prompt_forms import PROMPT_FORMS
from harness.data.target_texts import trimmed
from harness.data.tokenization import SOURCE_TOKENS, PromptForm
from harness.metrics import get, names
from harness.metrics.base import Metric, metric_name
from harness.study.packaged_files import packaged
from harness.study.reference_rows import REFERENCES

__all__ = ["Task", "load_task", "packaged_tasks", "plain_example", "task_text"]

Row = Mapping[str, Any]

LONGEST = 100
"""Characters of a name: MLflow takes some 250 with what stands before and behind it."""

STORABLE = re.compile(r"[\w :-][\w .:-]*(/[\w :-][\w .:-]*)*")
"""What MLflow takes as the name of a metric."""


def plain_example(row: Row, id: str) -> Example:
    """Turn a row with a ``target`` into an example; every other column becomes a field, with its value as it is.

    Args:
        row: Column names to values.
        id: The example's id where the row has none.

    Raises:
        DataError: There is no target, or references are no list.
    """
    if "target" not in row:
        raise DataError(
            f"column 'target' is missing; {closest('target', names_in([row]))}; map it with data.columns: "
            f"{mapping_hint(row)}"
        )
    fields = {name: value for name, value in row.items() if name not in {"id", "target", "references"}}
    own = row.get("id")
    return Example(id if own in (None, "") else as_text(own), fields, as_text(row["target"]), _references(row))


def _references(row: Row) -> tuple[str, ...]:
    references = row.get("references") or ()
    if not isinstance(references, Sequence) or isinstance(references, str):
        raise DataError(f"column 'references' holds {references!r}; it must be a list of texts")
    return tuple(map(as_text, references))


@dataclass(frozen=True)
class Task:
    """What the harness knows about a task."""

    name: str
    """How study files and the MLflow UI call it."""

    data: str
    """Where examples come from when the study names no data: a folder, relative to the task's file, or ``""``."""

    prompts: Sequence[PromptForm]
    """At least one; study files choose among them by name."""

    metrics: Sequence[str | Metric]
    """Names (see `harness.metrics.names`, or ``evaluate:<name>``) or metrics of one's own; the first one leads."""

    max_target_tokens: int
    """The most tokens of a training target, and of a prediction."""

    example: Callable[[Row, str], Example] = plain_example
    """A row and a fallback id -> an example."""

    stop: Sequence[str] = ()
    """Texts that end a prediction of a causal model."""

    references: Sequence[str] = ()
    """Names of reference rows (see `harness.study.reference_rows`): what a cell's score is worth without any model."""

    max_source_tokens: int = SOURCE_TOKENS
    """The most tokens of a rendered prompt, where the study names none."""

    answers: Answers = "generate"
    """How prompts are answered where neither they nor the study say so; see `harness.data.label_words`."""

    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Of a task of few answers: its labels, and the words that stand for each; left out: the targets of train."""

    def prompt(self, name: str) -> PromptForm:
        """Return one of the task's prompts.

        Raises:
            TaskError: There is none of that name.
        """
        for prompt in self.prompts:
            if prompt.name == name:
                return prompt
        known = closest(name, [prompt.name for prompt in self.prompts])
        raise TaskError(f"task {self.name!r} has no prompt {name!r}; {known}; or give the prompt a text")

    def trimming(self, end: str | None) -> Task:
        """Return the task with examples that are `trimmed`: their targets end as predictions do."""
        return replace(self, example=lambda row, id: trimmed(self.example(row, id), end))


def packaged_tasks() -> dict[str, Path]:
    """Return the tasks that travel with the harness: name to file."""
    return {path.stem: path for path in sorted(packaged().glob("*.py")) if path.stem != "__init__"}


def load_task(name: str, folder: Path | None = None) -> tuple[Task, Path]:
    """Load a task by the name of a packaged one, or by the path of a file.

    Args:
        name: A bare name, or a path that ends in ``.py``.
        folder: What a relative path starts from; the current folder when left out.

    Returns:
        The task and its file.

    Raises:
        TaskError: No such task, or its file breaks the contract.
    """
    if not name.endswith(".py") and os.sep not in name and "/" not in name:
        tasks = packaged_tasks()
        if name not in tasks:
            raise TaskError(f"unknown task {name!r}; {closest(name, tasks)}; a task of your own is a path: ./{name}.py")
        return _load_file(tasks[name]), tasks[name]
    path = named_path((folder or Path()) / named_path(name))
    if not path.is_file():
        raise TaskError(f"task file {name!r} does not exist in {path.parent.resolve()}; write one with `harness init`")
    return _load_file(path), path


def task_text(path: Path, what: str = "task file") -> str:
    """Return the text of a task's file, or of another one of the user's code, which studies and stores keep.

    Args:
        path: The file.
        what: How messages call it.

    Raises:
        TaskError: It cannot be read, or is no text.
    """
    try:
        return read_text(path)
    except OSError as error:
        raise TaskError(f"{what} {path} cannot be read: {error}; correct it") from error
    except UnicodeDecodeError as error:
        raise TaskError(f"{what} {path} is not in UTF-8: {error}; store it in that encoding") from error


def _load_file(path: Path) -> Task:
    if path.suffix != ".py":
        raise TaskError(f"task file {path} is no Python file; its name must end in .py")
    task_text(path)
    task = getattr(module_in(path, "task"), "task", None)
    if not isinstance(task, Task):
        raise TaskError(f"task file {path} must define `task = Task(...)`, but its `task` is {task!r}")
    return _valid(task, path)


def _valid(task: Task, path: Path) -> Task:
    forms = tuple(PROMPT_FORMS.values())
    for what, items, kinds in (("prompts", task.prompts, forms), ("metrics", task.metrics, (str, Metric))):
        if isinstance(items, str) or not all(isinstance(item, kinds) for item in items):
            kind = "Template(...), Chat(...) or PlainText()" if what == "prompts" else "names or Metric(...)"
            raise TaskError(f"task file {path}: {what} is {items!r}; it must be a list of {kind}")
    names = [prompt.name for prompt in task.prompts]
    if not names or len(set(names)) < len(names):
        raise TaskError(f"task file {path}: prompts must be at least one, each of its own name, but are {names}")
    if any(isinstance(prompt, PlainText) for prompt in task.prompts) and names != [NAME]:
        rule = f"it is the only prompt of its task, and called {NAME!r}"
        raise TaskError(f"task file {path}: prompts holds PlainText(...) among {', '.join(names)}; {rule}")
    if not task.metrics:
        raise TaskError(f"task file {path}: metrics is empty; name at least one")
    _refuse_kinds(task, path)
    for name in task.references:
        if name not in REFERENCES:
            raise TaskError(f"task file {path}: references names {name!r}; {closest(name, REFERENCES)}")
    for name in ("max_target_tokens", "max_source_tokens"):
        try:
            TypeAdapter(Count).validate_python(getattr(task, name), strict=True)
        except ValidationError:
            rule = "it must be a whole number from 1 to 1,000,000"
            raise TaskError(f"task file {path}: {name} is {getattr(task, name)!r}; {rule}") from None
    _refuse_names(task, path)
    metrics = [_guarded(metric, path) if isinstance(metric, Metric) else metric for metric in task.metrics]
    return replace(task, metrics=metrics)


def _refuse_kinds(task: Task, path: Path) -> None:
    """Refuse values of another kind than their fields take, before something is made of them."""
    if not isinstance(task.data, str | os.PathLike):
        rule = "it must be a folder, from the task's file; '' for a task whose studies all name data"
        raise TaskError(f"task file {path}: data is {shown(task.data)}; {rule}")
    if not callable(task.example):
        rule = "it must be a function of a row and an id, or be left out"
        raise TaskError(f"task file {path}: example is {shown(task.example)}; {rule}")
    if task.answers not in get_args(Answers):
        rule = f"it must be one of: {', '.join(get_args(Answers))}"
        raise TaskError(f"task file {path}: answers is {shown(task.answers)}; {rule}")
    if not isinstance(task.labels, Mapping) or any(not _are_texts(words) for words in task.labels.values()):
        rule = "it must be a mapping of each label to a list of its words, or be left out"
        raise TaskError(f"task file {path}: labels is {shown(task.labels)}; {rule}")
    for name, items in (("stop", task.stop), ("references", task.references)):
        if not _are_texts(items):
            raise TaskError(f"task file {path}: {name} is {shown(items)}; it must be a list of texts, or be left out")


def _are_texts(items: object) -> bool:
    return isinstance(items, list | tuple) and all(isinstance(item, str) for item in items)


def _refuse_names(task: Task, path: Path) -> None:
    """Refuse names that the store would refuse, some of them when the first scores are there."""
    if not isinstance(task.name, str) or not 1 <= len(task.name.strip()) <= LONGEST:
        raise TaskError(f"task file {path}: name is {task.name!r}; it must be a text of up to {LONGEST} characters")
    metrics = [metric_name(metric) for metric in task.metrics]
    for name in metrics:
        if not STORABLE.fullmatch(name) or len(name) > LONGEST or name == "loss":
            rule = f"take up to {LONGEST} letters, digits and ' _.:-', with '/' only between them; 'loss' is taken"
            raise TaskError(f"task file {path}: a metric is called {name!r}; {rule}")
        if metrics.count(name) > 1:
            raise TaskError(f"task file {path}: two metrics are called {name!r}; give each a name of its own")
    for metric in task.metrics:
        if isinstance(metric, Metric):
            _refuse_parts(metric, path)


def _refuse_parts(metric: Metric, path: Path) -> None:
    """Refuse a metric that has no direction, or a value where a function must be."""
    where = f"of metric {metric.name!r} is"
    if not isinstance(metric.higher_is_better, bool):
        rule = "it must be True, or False where less is better"
        raise TaskError(f"task file {path}: higher_is_better {where} {metric.higher_is_better!r}; {rule}")
    for part in ("statistics", "reduce", "signature"):
        if not callable(value := getattr(metric, part)):
            rule = "it must be a function" + (" such as lambda: 'mine|version:1'" if part == "signature" else "")
            raise TaskError(f"task file {path}: {part} {where} {shown(value)}; {rule}")


REMEDIES = {"reduce": "it must make a number of what statistics returns for each row: correct one of the two"}
"""What to do where a part of a metric fails, beside the usual."""


def _given(part: str, arguments: Sequence[Any]) -> str:
    """Return what to say of the arguments that a part of a metric was given."""
    if part == "statistics":
        return f", for example {arguments[0].id!r},"
    return f", given {shown(arguments[0][0])} for its first row," if part == "reduce" and len(arguments[0]) else ""


def _guarded(metric: Metric, path: Path) -> Metric:
    """Return a metric of the task's own whose functions fail with a sentence; the harness's is left as it is."""
    if metric.name in names() and metric is get(metric.name):
        return metric

    def guarded(function: Callable[..., Any], part: str) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any) -> Any:
            what = f"task file {path}: {part} of metric {metric.name!r}{_given(part, arguments)}"
            with user_code(what, REMEDIES.get(part, "it must score any text: correct it"), MetricError):
                return function(*arguments)

        return call

    return replace(
        metric,
        statistics=guarded(metric.statistics, "statistics"),
        reduce=guarded(metric.reduce, "reduce"),
        signature=guarded(metric.signature, "signature"),
    )
