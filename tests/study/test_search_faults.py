"""What is refused of a search before it begins: settings to try first, grids without room, patience."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.core.errors import StudyError
from harness.data.template import Template
from harness.study.grid import expand
from harness.study.load_study import read_study
from harness.study.problems import Problems
from harness.study.search_faults import refuse_search, search_plan
from harness.study.spec import StudySpec


def content(**sections: Any) -> dict[str, Any]:
    return {"name": "s", "task": "t", "prompts": ["p", "q"], "tuning": ["head", "full"], **sections}


FORMS = [Template(name, f"{name} {{{{ source }}}}", "source") for name in "pq"]


def told(folder: Path, **sections: Any) -> tuple[list[str], list[str]]:
    """Return the problems, and the notes."""
    file = folder / "study.yaml"
    file.write_text(yaml.safe_dump(content(**sections)), encoding="utf-8")
    problems = Problems(read_study(file))
    notes = refuse_search(problems.file.study, expand(problems.file.study, FORMS), problems)
    return [problem.message for problem in problems.problems], notes


RATES = {"low": 1e-4, "high": 1e-2}
GRID = {"sampler": "grid", "space": {"training.epochs": [1, 2], "training.schedule": ["linear", "cosine"]}}


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"first": [{"learning_rate": 1e-3}, {"learning_rate": 0.001}]}, "search.first has learning rate 0.001 twice"),
        ({"first": [{"training.epochs": 1}]}, "'training.epochs', which is not searched over"),
        ({"first": [{"learnin_rate": 1}]}, "did you mean 'learning_rate'?"),
        ({"first": [{}]}, "without a learning_rate, which nothing else says"),
        ({"first": [{"learning_rate": 1.0}]}, "learning_rate 1.0 is not from 0.0001 to 0.01"),
        ({"first": [{"learning_rate": 1.0}]}, "search.first {learning_rate: 1.0} lies in no cell's space"),
        ({"first": [{"learning_rate": 1e-3}], "space": {"training.epochs": [1, 2]}}, "training.epochs 3 is not among"),
        ({"first": [{"learning_rate": 10**-n} for n in (2, 3, 4)], "trials": 2}, "3 settings, but search.trials is 2"),
        (
            {**GRID, "trials": 5, "first": [{"learning_rate": 1e-3, "training.epochs": 1}], "warm_start": "neighbor"},
            "3 trials are no grid of 4 combinations of choices; raise search.trials to at least 6",
        ),
        (
            {"sampler": "grid", "trials": 1, "space": {"training.warmup": {"low": 0.0, "high": 0.1}}},
            "1 trials are no grid of 2 ranges, of which one alone may get a single point; raise search.trials to at",
        ),
    ],
)
def test_a_search_that_could_not_be_is_refused(search: dict[str, Any], words: str, tmp_path: Path) -> None:
    problems, _ = told(tmp_path, search={"learning_rate": RATES, **search})
    assert len(problems) == 1
    assert words in problems[0]


def test_patience_that_could_stop_no_run_is_refused(tmp_path: Path) -> None:
    space = {"training.epochs": [4, 2]}
    problems, _ = told(tmp_path, training={"epochs": 4, "patience": 2}, search={"space": space})
    assert problems == [
        "training.patience 2 could stop no run of 2 epochs, which a search may draw; lower it or leave it out"
    ]
    assert told(tmp_path, training={"epochs": 4, "patience": 1}, search={"space": space}) == ([], [])


def test_patience_goes_by_the_scores_of_the_shortest_run(tmp_path: Path) -> None:
    space = {"training.steps": {"low": 200, "high": 600}}
    length = {"steps": 600, "evaluate_every": 100}
    problems, _ = told(tmp_path, training={**length, "patience": 2}, search={"space": space})
    assert problems == [
        "training.patience 2 could stop no run of 2 scores, which a search may draw; lower it or leave it out"
    ]
    assert told(tmp_path, training={**length, "patience": 1}, search={"space": space}) == ([], [])
    # How many scores there are by the epoch, only the rows tell.
    assert told(tmp_path, training={"steps": 600, "patience": 5}, search={"space": space}) == ([], [])


@pytest.mark.parametrize(
    ("training", "named", "words"),
    [
        ({"steps": 600}, "epochs", "counted in steps; name training.steps, or leave training.steps out"),
        ({}, "steps", "counted in epochs; name training.epochs, or set training.steps"),
    ],
)
def test_lengths_are_drawn_in_the_unit_that_runs_are_counted_in(
    training: dict[str, Any], named: str, words: str, tmp_path: Path
) -> None:
    problems, _ = told(tmp_path, training=training, search={"space": {f"training.{named}": [1, 2]}})
    assert problems == [f"search.space names training.{named}, but the study's runs are {words}"]


SMOOTH = {"training.label_smoothing": {"low": 0.0, "high": 0.2}}
UNSMOOTHED = "but it is of cross entropy alone; leave one of the two out"


@pytest.mark.parametrize(
    ("space", "training"),
    [
        ({**SMOOTH, "training.loss": ["cross_entropy", "focal"]}, {}),
        (SMOOTH, {"loss": "mse"}),
        ({"training.loss": ["cross_entropy", "mse"]}, {"label_smoothing": 0.1}),
    ],
)
def test_labels_are_smoothed_of_cross_entropy_alone(
    space: dict[str, Any], training: dict[str, Any], tmp_path: Path
) -> None:
    (problem,), _ = told(tmp_path, training=training, search={"space": space})
    assert problem.endswith(UNSMOOTHED)


def test_losses_optimizers_and_rates_by_block_are_searched_over(tmp_path: Path) -> None:
    space = {
        "training.loss": ["cross_entropy", "focal", "mse"],
        "training.optimizer": ["adamw", "adafactor"],
        "training.block_decay": {"low": 0.5, "high": 1.0},
        "training.label_smoothing": [0.0],
    }
    assert told(tmp_path, search={"space": space}) == ([], [])
    assert told(tmp_path, search={"space": SMOOTH}) == ([], [])


@pytest.mark.parametrize("searched", [True, False])
def test_sgd_at_the_rates_of_adamw_is_told(searched: bool, tmp_path: Path) -> None:
    space = {"training.optimizer": ["adamw", "sgd"]} if searched else {}
    training = {} if searched else {"optimizer": "sgd"}
    problems, (note,) = told(tmp_path, training=training, search={"space": space})
    assert problems == []
    assert "10 to 1000 times larger: give search.learning_rate a range" in note
    assert told(tmp_path, training=training, search={"space": {**space, "learning_rate": RATES}}) == ([], [])
    assert told(tmp_path, training={"optimizer": "adafactor"}) == ([], [])


def test_a_setting_has_what_it_leaves_out_from_the_training_section() -> None:
    space = {"training.epochs": [1, 2], "training.weight_decay": {"low": 0.0, "high": 0.5}}
    search = {"first": [{"learning_rate": 2e-3}, {"learning_rate": 2e-3, "training.weight_decay": 0.5}], "space": space}
    study = StudySpec.model_validate(content(search=search, training={"epochs": 2, "weight_decay": 0.1}))
    cells = expand(study, FORMS)
    plan = search_plan(cells[1], study, cells)
    assert [list(setting.values()) for setting in plan.first] == [[2e-3, 2, 0.1], [2e-3, 2, 0.5]]
    assert plan.trials == 8


def test_a_setting_is_typed_as_its_keys_are(tmp_path: Path) -> None:
    """YAML reads ``2e-3`` as a text; a key of the training section takes it, and so does what is tried first."""
    file = tmp_path / "study.yaml"
    space = "{training.weight_decay: [0, 1e-2], training.epochs: [1, 2]}"
    first = "[{learning_rate: 2e-3, training: {weight_decay: 1e-2, epochs: 2.0}}]"
    search = f"search:\n  learning_rate: {{low: 1e-4, high: 1e-2}}\n  space: {space}\n  first: {first}\n"
    file.write_text(yaml.safe_dump(content(tuning=["full"])) + search, encoding="utf-8")
    study = read_study(file).study
    assert study.search.first == ({"learning_rate": 0.002, "training.weight_decay": 0.01, "training.epochs": 2},)
    cells = expand(study, FORMS)
    (tried,) = search_plan(cells[1], study, cells).first
    assert [(value, type(value)) for value in tried.values()] == [(0.002, float), (2, int), (0.01, float)]


def test_a_value_that_no_key_takes_is_told_with_its_place(tmp_path: Path) -> None:
    first = [{"learning_rate": "fast", "training.epochs": 2.5}, {"learning_rate": 1e-3, "training.loss": "hinge"}]
    with pytest.raises(StudyError) as caught:
        told(tmp_path, search={"first": first})
    assert [problem.message[: len(words)] for problem, words in zip(caught.value.problems, TYPED, strict=True)] == TYPED


TYPED = [
    "search.first.0.learning_rate is 'fast'; it must be a number",
    "search.first.0.training.epochs is 2.5; it must be a whole number",
    "training.loss is 'hinge'; known: cross_entropy",
]


def test_the_budget_of_a_grid_is_its_points() -> None:
    search = {"sampler": "grid", "trials": 7, "learning_rate": RATES, "space": {"training.epochs": [1, 2, 3]}}
    for first, trials in (
        ([], 6),
        ([{"learning_rate": 1e-4, "training.epochs": 2}], 6),
        ([{"learning_rate": 2e-3}], 7),
    ):
        study = StudySpec.model_validate(content(search={**search, "first": first}))
        cells = expand(study, FORMS)
        assert search_plan(cells[1], study, cells).trials == trials  # one of the points is the setting itself
