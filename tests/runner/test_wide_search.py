"""A study that searches over five hyperparameters: replayed or not, killed or not, it ends with the same results.

`KILLS=10 pytest -m slow tests/runner/test_wide_search.py` kills it more often.
"""

from __future__ import annotations

import os
import random

import pytest

from harness.study.dimension import parse_value
from tests.support.kill_moments import kill_at
from tests.support.study_fixture import Place, Places

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("KILLS", "3"))

SPACE = """{training.epochs: [1, 2], training.batch_size: [4, 8], training.clip: [null, 1.0],
 training.warmup: {low: 0.0, high: 0.2}, training.weight_decay: {low: 1.0e-3, high: 1.0, scale: log}}"""

OPTIONS = (
    *("--set", "prompts=[bare]", "--set", "tuning=[none, head]", "--set", "final.seeds=[11]"),
    *("--set", f"search.space={SPACE}", "--set", "search.metric=perplexity", "--set", "search.sampler=gp"),
    *("--set", "search.first=[{learning_rate: 0.02, training.weight_decay: 0.01, training.epochs: 2}]"),
    *("--set", "search.trials=5", "--set", "search.pruner=median"),
)


def is_close(one: str, other: str) -> bool:
    """Whether two values are the same, of numbers up to the rounding of float32 that a training carries on."""
    number = parse_value(one) if one and other else one
    return parse_value(other) == pytest.approx(number, rel=1e-5) if isinstance(number, float) else one == other


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    place = places()
    place.run(*OPTIONS)
    return place


def test_the_setting_is_tried_first_and_the_winner_is_retrained(done: Place) -> None:
    done.clean()
    trials = {int(run.data.tags["trial"]): run.data.params for run in done.runs("search")}
    names = ("learning_rate", "training.epochs", "training.clip", "training.batch_size")
    assert [parse_value(trials[0][name]) for name in names] == [0.02, 2, 1.0, 8]
    (parent,), (final,) = done.runs("cell", cell="bare/head"), done.runs("final", cell="bare/head")
    won = trials[int(parent.data.tags["best_trial"])]
    row = done.table()["bare/head"]
    for name in (*names, "training.warmup", "training.weight_decay"):
        assert won[name] == parent.data.params[name] == final.data.params[name] == row[name]
    page = (done.folder / "reports" / "tiny" / "report.md").read_text(encoding="utf-8")
    assert "training.batch_size among 4, 8" in page
    assert "Tried first, within the budget" in page


def test_without_replay_the_results_are_the_same(done: Place, places: Places) -> None:
    live = places()
    live.run(*OPTIONS, "--set", "engine.replay=false")
    for cell, row in live.table().items():
        for column, text in row.items():
            assert is_close(text, done.table()[cell][column]), (cell, column)
    assert {run.data.tags["trunk"] for run in done.runs("search")} == {"replayed"}


def test_a_final_run_is_reproduced(done: Place) -> None:
    (final,) = done.runs("final", cell="bare/head")
    again = done.command("reproduce", final.info.run_id)
    assert (again.status, "the same to the last bit" in again.out) == (0, True), again.err


def test_kills_at_random_change_nothing(done: Place, places: Places) -> None:
    draws, place = random.Random(KILLS), places()
    for _ in range(KILLS):
        kill_at(place, lambda place: True, draws.uniform(2.0, 14.0), ("run", "study.yaml", *OPTIONS)[2:])
    place.run(*OPTIONS)
    place.clean()
    assert place.results() == done.results()
