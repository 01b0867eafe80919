"""Trials that are under way at once, and some that are lost: the searches are those of one after the other."""

from __future__ import annotations

import random
from functools import partial

import pytest

from harness.runner.executors.executor_table import EXECUTORS
from harness.runner.study import Study
from tests.support.made_up_side_by_side import MadeUpSideBySide
from tests.support.study_fixture import Place, Places

STUDY = ["search.metric=perplexity", "final.seeds=[]", "training.epochs=2", "prompts=[bare, colon]", "tuning=[head]"]
SEARCHES = {
    "grid": ["search.sampler=grid", "search.trials=5"],
    "random": ["search.sampler=random", "search.trials=5"],
    "random, widened": ["search.sampler=random", "search.trials=4", "search.edges=extend"],
    "gp": ["search.sampler=gp", "search.trials=5"],
    "median": ["search.sampler=random", "search.trials=5", "search.pruner=median"],
    "warm": ["search.sampler=grid", "search.trials=4", "search.warm_start=neighbor", "tuning=[head, full]"],
}
IN_TURN = {"gp", "median"}
"""Those of which one trial of a cell is under way at a time."""


def searched(
    place: Place, keys: list[str], monkeypatch: pytest.MonkeyPatch, *, abreast: int, losing: float = 0.0
) -> MadeUpSideBySide:
    made = list[MadeUpSideBySide]()

    def make(*parts: object) -> MadeUpSideBySide:
        draws = random.Random(f"{keys} {abreast}")
        made.append(partial(MadeUpSideBySide, abreast=abreast, losing=losing, draws=draws)(*parts))  # type: ignore[arg-type]
        return made[-1]

    monkeypatch.setitem(EXECUTORS, "made up", make)
    monkeypatch.chdir(place.folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.uri)
    Study.load("study.yaml", [*STUDY, *keys]).run(executor="made up")
    place.clean()
    return made[0]


def trials(place: Place) -> dict[tuple[str, str], tuple[str, str]]:
    return {
        (run.data.tags["cell"], run.data.tags["trial"]): (run.data.params["learning_rate"], run.data.tags["outcome"])
        for run in place.runs("search")
    }


@pytest.mark.parametrize(
    "search", ["random", *(pytest.param(name, marks=pytest.mark.slow) for name in SEARCHES if name != "random")]
)
def test_what_is_drawn_and_who_wins_does_not_depend_on_how_many_are_under_way(
    search: str, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone, together = places(), places()
    assert searched(alone, SEARCHES[search], monkeypatch, abreast=1).most == 1
    made = searched(together, SEARCHES[search], monkeypatch, abreast=4, losing=0.2)
    assert made.most == (2 if search in IN_TURN else 4)
    assert made.lost
    assert trials(together) == trials(alone)
    assert together.results() == alone.results()
    assert len(together.runs("interrupted")) == len(made.lost)
    assert alone.runs("interrupted") == []
