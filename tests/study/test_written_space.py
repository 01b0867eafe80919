"""``search.space`` as it is written: what each form means, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import StudyError
from harness.study.dimension import Dimension, Value
from harness.study.load_study import read_study
from harness.study.search_space import HYPERPARAMETERS, SearchSpace, applied
from harness.study.spec import Search, StudySpec, Training
from harness.study.written_space import OPTIONS, SEARCHED
from tests.support.search_spaces import DEFAULT_SPACE, choices, learning_rates

STUDY = "name: s\ntask: t\nprompts: [p]\ntuning: [head]\n"


def read(search: str, *overrides: str, folder: Path) -> StudySpec:
    file = folder / "study.yaml"
    file.write_text(f"{STUDY}search: {search}\n", encoding="utf-8")
    return read_study(file, overrides).study


def dimension(name: str, written: Any) -> Dimension | None:
    content = {"name": "s", "task": "t", "prompts": ["p"], "tuning": ["head"], "search": {"space": {name: written}}}
    return SearchSpace.of(StudySpec.model_validate(content)).find(name)


@pytest.mark.parametrize(
    ("name", "written", "meant"),
    [
        ("training.warmup", {"low": 0.0, "high": 0.2}, Dimension("training.warmup", 0.0, 0.2)),
        (
            "training.weight_decay",
            {"low": 1e-4, "high": 0.1, "scale": "log"},
            Dimension("training.weight_decay", 1e-4, 0.1, "log"),
        ),
        ("training.weight_decay", {"low": 0, "high": 9}, Dimension("training.weight_decay", 0, 9, integer=True)),
        ("training.weight_decay", {"low": 0, "high": 9.0}, Dimension("training.weight_decay", 0, 9)),
        ("training.epochs", {"low": 1, "high": 4}, Dimension("training.epochs", 1, 4, integer=True)),
        (
            "training.batch_size",
            {"low": 4.0, "high": 64, "scale": "log"},
            Dimension("training.batch_size", 4, 64, "log", integer=True),
        ),
        ("training.epochs", [3, 1], choices("training.epochs", 3, 1)),
        ("training.weight_decay", [0, 0.1], choices("training.weight_decay", 0.0, 0.1)),
        ("training.schedule", ["linear", "cosine"], choices("training.schedule", "linear", "cosine")),
        ("training.clip", [None, 1], choices("training.clip", None, 1.0)),
        ("learning_rate", {"low": 1, "high": 10}, Dimension("learning_rate", 1.0, 10.0, "log")),
        ("learning_rate", {"low": 0.1, "high": 1, "scale": "linear"}, Dimension("learning_rate", 0.1, 1.0)),
        ("learning_rate", [2e-5], choices("learning_rate", 2e-5)),
    ],
)
def test_each_form_means_one_dimension(name: str, written: Any, meant: Dimension) -> None:
    found = dimension(name, written)
    assert found == meant
    assert found is not None
    assert [type(one) for one in found.choices] == [type(one) for one in meant.choices]


def test_the_learning_rate_is_always_searched_and_the_short_form_is_a_space() -> None:
    def space(**search: Any) -> SearchSpace:
        content = {"name": "s", "task": "t", "prompts": ["p"], "tuning": ["head"], "search": search}
        study = StudySpec.model_validate(content)
        assert Search.model_validate(study.search.model_dump(mode="json")) == study.search
        return SearchSpace.of(study)

    given = {"low": 1e-4, "high": 1e-2}
    assert space() == DEFAULT_SPACE
    assert space(learning_rate=given) == space(space={"learning_rate": given}) == learning_rates(1e-4, 1e-2)
    both = space(learning_rate=given, space={"training.warmup": [0.0, 0.1], "training.epochs": [1, 2]})
    assert both.names == ("learning_rate", "training.epochs", "training.warmup")  # however it is ordered in the file


def test_every_name_acts_on_its_key_of_the_training_section() -> None:
    study = StudySpec.model_validate({"name": "s", "task": "t", "prompts": ["p"], "tuning": ["head"]})
    values: dict[str, Value] = {"epochs": 7, "batch_size": 3, "accumulation": 2, "schedule": "cosine", "warmup": 0.3}
    values |= {"weight_decay": 0.2, "clip": None, "optimizer": "sgd", "block_decay": 0.9, "loss": "mse"}
    smoothed: dict[str, Value] = {"label_smoothing": 0.1}  # of cross entropy alone
    counted: dict[str, Value] = {"steps": 7}  # of a study that counts them
    names = {f"training.{key}" for key in (*values, *smoothed, *counted)}
    assert names | {"learning_rate", *OPTIONS} == set(SEARCHED) == set(HYPERPARAMETERS)
    for some in (values, smoothed):
        made = applied(study, {f"training.{key}": value for key, value in some.items()})
        assert made == study.model_copy(update={"training": Training.model_validate(some)})
    by_steps = study.model_copy(update={"training": Training(steps=3)})
    assert applied(by_steps, {"training.steps": 7}).training == Training(steps=7)


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ("{space: {training.epochs: [0, 1]}}", "search.space.training.epochs.0 is 0; it must be greater than or equal"),
        ("{space: {training.epochs: [true]}}", "search.space.training.epochs.0 is true; it must be a number"),
        ("{space: {training.steps: [1, null]}}", "search.space.training.steps has null, which is no number of steps"),
        ("{space: {training.evaluate_every: [1]}}", "it says when a run is scored, not what is learnt"),
        ("{space: {training.epochs: [1, 1]}}", "training.epochs has a choice more than once, [1, 1]; keep one of each"),
        ("{space: {training.epochs: []}}", "search.space.training.epochs has no choice"),
        ("{space: {training.epochs: 2}}", "search.space.training.epochs is 2; write a range, {low: 1, high: 4}, or a"),
        ("{space: {training.epochs: {low: 1}}}", "search.space.training.epochs has no high; write a range"),
        (
            "{space: {training.epochs: {low: 1, hihg: 3}}}",
            "unknown key 'hihg' in search.space.training.epochs; did you",
        ),
        ("{space: {training.epochs: {low: 1, high: 2.5}}}", "search.space.training.epochs.high is 2.5; "),
        (
            "{space: {training.warmup: {low: 0.0, high: 1.0}}}",
            "search.space.training.warmup.high is 1.0; it must be less",
        ),
        ("{space: {training.warmup: {low: 0.2, high: 0.1}}}", "training.warmup needs low < high"),
        ("{space: {training.warmup: {low: 0.1, high: 0.1000000001}}}", "training.warmup is no range to search"),
        ("{space: {training.warmup: {low: 0, high: 0.1, scale: log}}}", "training.warmup begins at 0.0, which has no"),
        (
            "{space: {training.warmup: {low: 0, high: 0.1, scale: ln}}}",
            "scale is 'ln'; it must be one of 'log', 'linear'",
        ),
        ("{space: {training.schedule: [linear, cosin]}}", "schedule.1 is 'cosin'; it must be one of"),
        (
            "{space: {training.schedule: {low: linear, high: cosine}}}",
            "training.schedule is no number; list the choices",
        ),
        (
            "{space: {training.wamup: [0.1]}}",
            "search.space has the unknown name 'training.wamup'; did you mean 'training.w",
        ),
        ("{space: {weight_decay: [0.1]}}", "unknown name 'weight_decay'; did you mean 'training.weight_decay'?"),
        (
            "{space: {training.precision: [fp32, bf16]}}",
            "training.precision cannot be searched over: it says how numbers",
        ),
        ("{space: {training.max_source_tokens: [8, 9]}}", "cannot be searched over: it says what the model reads"),
        (
            "{space: {tuning.last_blocks: [1, 2, 3]}}",
            "tuning.last_blocks cannot be searched over: how much trains is an axis",
        ),
        ("{space: {tuning: {head: [1]}}}", "tuning.head cannot be searched over: how much trains is an axis"),
        (
            "{space: {learning_rate: {low: 0.0, high: 1.0}}}",
            "search.space.learning_rate.low is 0.0; it must be greater",
        ),
        ("{space: {learning_rate: [.nan]}}", "search.space.learning_rate.0 is nan"),
        (
            "{learning_rate: {low: 0.1, high: 1.0}, space: {learning_rate: [0.1]}}",
            "search.learning_rate and search.space.learning_rate are two ranges of one thing; keep one of them",
        ),
        ("{space: {training.epochs: [1], training: {epochs: [2]}}}", "training.epochs stands twice"),
        ("{space: [1]}", "search.space is [1]"),
    ],
)
def test_what_is_refused_is_told_with_its_place(search: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        read(search, folder=tmp_path)
    (problem,) = caught.value.problems
    assert words in problem.message
    assert problem.place == f"{tmp_path / 'study.yaml'}:5"


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(StudyError) as caught:
        read(
            "\n  space:\n    training.epochs: [0]\n    training.warmup: {low: 2, high: 3}\n  trials: 0", folder=tmp_path
        )
    places = [problem.place.rpartition(":")[2] for problem in caught.value.problems]
    assert places == ["7", "8", "9"]


def test_the_command_line_reaches_every_name(tmp_path: Path) -> None:
    settings = ("search.space.training.epochs=[1, 2]", "search.space.learning_rate={low: 1.0e-4, high: 1.0e-2}")
    study = read("{trials: 3}", *settings, folder=tmp_path)
    assert SearchSpace.of(study).dimensions == (
        *learning_rates(1e-4, 1e-2).dimensions,
        choices("training.epochs", 1, 2),
    )
