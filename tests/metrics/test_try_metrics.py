"""Metrics of one's own that are broken are refused before anything trains; those that are only odd are not."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.core.errors import MetricError, TaskError
from harness.core.example import Example
from harness.metrics.base import Metric, mean
from harness.metrics.try_metrics import try_metrics
from harness.study.task import load_task

COUNT = itertools.count()


def rows() -> list[Example]:
    return [Example(f"row-{n}", {"source": f"note {n}", "tags": ["a"]}, f"alpha {n}") for n in range(4)]


def metric(**parts: Any) -> Metric:
    said = {
        "statistics": lambda prediction, example: np.array([float(len(prediction.text))]),
        "reduce": mean,
        "signature": lambda: "mine|version:1",
    }
    return Metric(name="mine", higher_is_better=True, **{**said, **parts})


def changed(prediction: Any, example: Example) -> np.ndarray:
    example.fields["source"] = "x"  # type: ignore[index]
    return np.ones(1)


def appended(prediction: Any, example: Example) -> np.ndarray:
    example.fields["tags"].append("b")
    return np.ones(1)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"statistics": lambda prediction, example: np.array([float(next(COUNT))])}, "another thing each time"),
        ({"reduce": lambda statistics: float(next(COUNT))}, "another thing each time"),
        ({"signature": lambda: f"mine|{next(COUNT)}"}, "another thing each time, mine"),
        ({"signature": lambda: None}, "has the signature None; it must be a text"),
        ({"signature": lambda: " "}, "has the signature ' '"),
        ({"signature": lambda: 3}, "has the signature 3"),
        ({"statistics": lambda prediction, example: np.array([math.nan])}, "gives nan even where all"),
        ({"statistics": lambda prediction, example: np.array([math.inf])}, "gives inf even where all"),
        ({"reduce": lambda statistics: math.nan}, "gives nan even where all rows are answered"),
        ({"reduce": lambda statistics: statistics[0]}, "must give one number"),
        ({"statistics": lambda prediction, example: None}, "contributes None for a row"),
        ({"statistics": lambda prediction, example: 1 / 0}, "it must score any text"),
        ({"statistics": changed}, "changes the fields"),
        ({"statistics": appended}, "changes the fields"),
    ],
)
def test_what_is_broken_is_refused(parts: dict[str, Any], says: str) -> None:
    with pytest.raises(MetricError, match=says):
        try_metrics([metric(**parts)], rows())


def test_what_has_no_number_for_some_rows_alone_is_none_of_them() -> None:
    def last(prediction: Any, example: Example) -> np.ndarray:
        return np.array([1.0 if example.id == "row-3" else math.nan])

    def known(statistics: list[np.ndarray]) -> float:
        numbers = [float(one[0]) for one in statistics if not math.isnan(one[0])]
        return mean([np.array([number]) for number in numbers])

    try_metrics([metric(statistics=last, reduce=known)], rows())
    with pytest.raises(MetricError, match="gives nan even where all rows"):  # without the one row that has a number
        try_metrics([metric(statistics=last, reduce=known)], rows()[:3])


class Tree:
    """What a task may put into a field, which is equal to itself alone."""


@pytest.mark.parametrize(
    "value", [np.arange(2.0), Tree(), [np.arange(2)], math.nan], ids=["array", "object", "list", "nan"]
)
def test_a_field_may_be_what_cannot_be_compared(value: Any) -> None:
    tried = [Example(row.id, {**row.fields, "own": value}, row.target) for row in rows()]
    try_metrics([metric()], tried)
    with pytest.raises(MetricError, match="changes the fields"):
        try_metrics([metric(statistics=appended)], tried)


def test_rows_are_as_they_were() -> None:
    tried = rows()
    with pytest.raises(MetricError):
        try_metrics([metric(statistics=appended)], tried)
    assert tried == rows()


@pytest.mark.parametrize("direction", ['"lower"', '"no"', "0", "None"])
def test_a_direction_is_true_or_false(direction: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from harness import Metric, Task, Template\n"
        f'wer = Metric("wer", {direction}, lambda p, e: [1.0], lambda s: 1.0, lambda: "wer|1")\n'
        'task = Task(name="t", data=".", prompts=[Template("a", "{{ source }}")], metrics=[wer], max_target_tokens=4)\n'
    )
    with pytest.raises(TaskError, match="higher_is_better of metric 'wer' is .*; it must be True, or False"):
        load_task(str(file))


def refused(metric: str, folder: Path) -> str:
    """Return what is said of a task whose metric is some Python."""
    file = folder / "mine.py"
    file.write_text(
        "from harness import Metric, Task, Template\n"
        f"mine = {metric}\n"
        'p = [Template("a", "{{ source }}")]\n'
        'task = Task(name="t", data=".", prompts=p, metrics=[mine], max_target_tokens=4)\n'
    )
    with pytest.raises((TaskError, MetricError)) as error:
        try_metrics(load_task(str(file))[0].metrics, rows())
    return str(error.value)


def test_parts_that_are_no_functions_are_told_by_what_they_must_be(tmp_path: Path) -> None:
    text = refused('Metric("mine", True, lambda p, e: [1.0], lambda s: 1.0, "mine|1")', tmp_path)
    assert "signature of metric 'mine' is 'mine|1'; it must be a function such as lambda: 'mine|version:1'" in text
    number = refused('Metric("mine", True, lambda p, e: [1.0], 3, lambda: "mine|1")', tmp_path)
    assert "reduce of metric 'mine' is 3; it must be a function" in number


def test_a_reduction_that_fails_is_told_with_what_it_was_given(tmp_path: Path) -> None:
    said = refused('Metric("mine", True, lambda p, e: ["red"], lambda s: sum(map(sum, s)), lambda: "mine|1")', tmp_path)
    assert "reduce of metric 'mine', given ['red'] for its first row, raised TypeError" in said
    assert said.endswith("it must make a number of what statistics returns for each row: correct one of the two")
    listed = refused('Metric("mine", True, lambda p, e: [1.0], lambda s: [1.0], lambda: "mine|1")', tmp_path)
    assert "reduces two rows to '[1.0]', a list; reduce must give one number" in listed
