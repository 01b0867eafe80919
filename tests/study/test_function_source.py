"""A task from memory as a file: it does the same, wherever its functions and what they use came from."""

from __future__ import annotations

import collections
import functools
import math
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import harness.metrics.base as bases
from harness import Example, Metric, Prediction, Task, Template
from harness.core.errors import TaskError
from harness.metrics import get
from harness.study.task import load_task, packaged_tasks
from harness.study.task_from_memory import own_file, task_source

MARK = "!"
WORDS = re.compile(r"\w+", re.IGNORECASE)
TABLE = {"a": [1, 2.5], "b": (None, {"c"})}
LOCK = threading.Lock()
Pair = collections.namedtuple("Pair", "a b")  # noqa: PYI024  # as people write it
CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


def shout(text: str, mark: str = MARK) -> str:
    return text.upper() + mark


def twice(function: Callable[[str], str]) -> Callable[[str], str]:
    @functools.wraps(function)
    def call(text: str) -> str:
        return function(function(text))

    return call


mark = words = LOCK
"""What a notebook holds by chance, under names that functions have for values of their own."""


class Counter:
    """Counts words."""

    def of(self, text: str) -> int:
        return len(WORDS.findall(text)) + len(TABLE["a"])


def example(row: Mapping[str, Any], id: str) -> Example:
    """Turn a row into an example."""

    def inner() -> str:
        return shout(row["source"])

    return Example(id=id, fields={"source": inner(), "words": Counter().of(row["source"])}, target=row["target"])


class Marked:
    """A text with a mark."""

    def __init__(self, text: str) -> None:
        self.mark, self.words = MARK, text

    def text(self) -> str:
        mark, words = self.mark, self.words
        return words + mark


def with_local_names(row: Mapping[str, Any], id: str) -> Example:
    made = Marked(row["source"])
    mark, words = made.mark, made.words
    return Example(id=id, fields={"source": made.text(), "mark": mark, "words": words}, target=row["target"])


def locked(row: Mapping[str, Any], id: str) -> Example:
    with LOCK:
        return Example(id=id, fields={}, target="")


@twice
def wrapped(text: str) -> str:
    return text


def with_wrapped(row: Mapping[str, Any], id: str) -> Example:
    return Example(id=id, fields={"source": wrapped(row["source"])}, target="")


def closing_over(value: Any) -> Callable[[Mapping[str, Any], str], Example]:
    def made(row: Mapping[str, Any], id: str) -> Example:
        return Example(id=id, fields={"source": row["source"], "value": value}, target="x")

    return made


def counted(prediction: Prediction, example: Example, *, times: int) -> np.ndarray[Any, Any]:
    return np.array([times * len(prediction.text)], dtype=np.float64)


def task(**parts: Any) -> Task:
    made = {"name": "mine", "data": "data", "prompts": [Template("bare", "{{ source }}")], "metrics": ["rougeL"]}
    return Task(**{**made, "max_target_tokens": 8, **parts})


def written(made: Task, folder: Path) -> Task:
    file = folder / "task.py"
    file.write_text(task_source(made), encoding="utf-8")
    return load_task(str(file))[0]


ROW = {"source": "a note", "target": "n"}


@pytest.mark.parametrize("function", [example, with_local_names, closing_over(3), closing_over({"k": [1, -0.5]})])
def test_examples_are_the_same(function: Callable[[Mapping[str, Any], str], Example], tmp_path: Path) -> None:
    assert written(task(example=function), tmp_path).example(ROW, "1") == function(ROW, "1")


class Kind(Enum):
    SHORT = "short"


class Name(StrEnum):
    MINE = "mine"


@pytest.mark.parametrize(
    "value", [Kind.SHORT, Name.MINE, {"k": {Kind.SHORT: (1,)}}, {3, 1, 2}], ids=["text", "name", "nested", "set"]
)
def test_values_that_a_function_closes_over_are_the_same(value: Any, tmp_path: Path) -> None:
    made = written(task(example=closing_over(value)), tmp_path).example(ROW, "1").fields["value"]
    assert (repr(made), type(made).__name__) == (repr(value), type(value).__name__)


def far_inside(mark: str) -> Callable[[Mapping[str, Any], str], Example]:
    class Local:
        @property
        def said(self) -> str:
            return mark + later

        def __call__(self, text: str) -> str:
            return self.said + text

    def made(row: Mapping[str, Any], id: str) -> Example:
        text = """
        moved in

to the left"""
        return Example(id=id, fields={"source": Local()(row["source"])}, target=text)

    later = "!"
    return made


def test_a_text_of_several_lines_stays_as_it_is_however_deep_it_stands(tmp_path: Path) -> None:
    function = far_inside("?")
    assert written(task(example=function), tmp_path).example(ROW, "1") == function(ROW, "1")


def test_the_text_is_the_same_in_every_process(tmp_path: Path) -> None:
    """A name made of it is what a second process goes on by, and sets have another order there."""
    script = tmp_path / "own.py"
    script.write_text(
        "from harness import Example, Task, Template\n"
        "from harness.study.task_from_memory import task_source\n"
        "WORDS = frozenset(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'])\n"
        "def example(row, id):\n"
        "    return Example(id=id, fields={'source': str(row in WORDS)}, target='x')\n"
        "print(task_source(Task('t', 'data', [Template('bare', 'x')], ['rougeL'], 8, example=example)))\n",
        encoding="utf-8",
    )
    said = {
        subprocess.run(
            [sys.executable, str(script)],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in "123"
    }
    assert len(said) == 1


def test_metrics_are_the_same(tmp_path: Path) -> None:
    own = Metric("own", False, functools.partial(counted, times=3), lambda each: math.fsum(each), lambda: "own|1", range=(0, 9))  # fmt: skip # noqa: E501
    metric = written(task(metrics=[own, get("rougeL")]), tmp_path).metrics[0]
    assert isinstance(metric, Metric)
    said, asked = Prediction("1", "four", 0.0, 1), Example("1", {}, "four")
    assert (metric.name, metric.higher_is_better, metric.range, metric.signature()) == ("own", False, (0, 9), "own|1")
    assert metric.statistics(said, asked) == own.statistics(said, asked) == np.array([12.0])
    assert metric.reduce([1.5, 2.0]) == 3.5


@pytest.mark.parametrize("name", packaged_tasks())
def test_a_task_of_a_file_is_written_as_it_is(name: str, tmp_path: Path) -> None:
    made, _ = load_task(name)
    again = written(made, tmp_path)
    for part in ("name", "data", "prompts", "metrics", "max_target_tokens", "stop", "references", "max_source_tokens"):
        assert list(map(str, [getattr(again, part)])) == list(map(str, [getattr(made, part)]))


def test_the_text_is_the_same_each_time() -> None:
    assert task_source(task(example=example)) == task_source(task(example=example))


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (
            locked,
            r"task 'mine': `LOCK`, which locked\(\) uses, is lock <.*, which another process cannot have; make it",
        ),
        (
            with_wrapped,
            r"task 'mine': .*wrapped.* is wrapped, whose source is not to be had; write the task into a file",
        ),
        (closing_over(LOCK), r"`value`, which made\(\) uses, is lock"),
        (closing_over(collections.Counter("aab")), r"`value`, which made\(\) uses, is Counter Counter\("),
        (closing_over(np.float64(1)), r"`value`, which made\(\) uses, is float64 np.float64\(1.0\)"),
        (closing_over(Pair(1, 2)), r"`value`, which made\(\) uses, is Pair Pair\(a=1, b=2\)"),
        (closing_over(CIRCLE), r"`value`, which made\(\) uses, holds itself, or is nested too deep"),
        (eval("lambda row, id: None"), "the source of example is not to be had"),
    ],
    ids=["object", "decorated", "closure", "counter", "number", "named tuple", "circle", "no source"],
)
def test_what_lives_in_this_process_alone_is_refused(function: Any, says: str) -> None:
    with pytest.raises(TaskError, match=says):
        task_source(task(example=function))


def test_a_module_of_one_s_own_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    helper = ModuleType("helper_of_mine")
    monkeypatch.setitem(sys.modules, "helper_of_mine", helper)
    with pytest.raises(TaskError, match="is module helper_of_mine of your own; write the task into a file"):
        task_source(task(example=closing_over(helper)))


def test_two_things_of_one_name_are_refused() -> None:
    def other() -> Callable[[], str]:
        MARK = "?"
        return lambda: MARK

    own = Metric("own", True, functools.partial(counted, times=1), bases.mean, other())
    with pytest.raises(TaskError, match="needs a second thing that is called `MARK`; rename one of the two"):
        task_source(task(example=example, metrics=[own]))


def test_a_module_that_was_imported_is_the_task_s_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notes_task.py").write_text(task_source(task()), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    module = __import__("notes_task")
    assert own_file(module.task) == tmp_path / "notes_task.py"
    monkeypatch.chdir(tmp_path)
    assert own_file(module.task) == Path("notes_task.py")
    assert own_file(task()) is None
