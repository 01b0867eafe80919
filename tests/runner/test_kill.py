"""A run killed by SIGKILL: the same command finishes the study, and the results are those of an undisturbed one."""

from __future__ import annotations

import random

import pytest

from tests.support.kill_moments import kill_at, look, running, storing_the_model, trials_told
from tests.support.study_fixture import PARENT, Place, Places

STUDY = ("--set", "prompts=[bare]", "--set", "tuning=[none, head]", "--set", "search.metric=perplexity")
"""One cell that trains, one that does not."""

SAMPLERS = {
    "gp": (*STUDY, "--set", "search.sampler=gp", "--set", "search.trials=5"),
    "grid": (*STUDY, "--set", "search.sampler=grid", "--set", "search.trials=4"),
}
TRIALS = {"gp": 5, "grid": 4}


def check_tree(place: Place, trials: int) -> None:
    place.clean()
    assert len(place.runs("search")) == trials
    assert (len(place.runs("cell")), len(place.runs("final")), len(place.runs("summary"))) == (2, 3, 1)
    others = place.runs("interrupted")
    assert len(place.runs()) == trials + 2 + 3 + 1 + len(others)
    assert {run.info.status for run in others} <= {"KILLED"}
    parents = {run.info.run_id for run in place.runs("cell")}
    assert all(run.data.tags[PARENT] in parents for run in [*place.runs("search"), *place.runs("final")])
    (model,) = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    assert str(model.status) == "READY"


def undisturbed(places: Places, sampler: str) -> bytes:
    whole = places()
    whole.run(*SAMPLERS[sampler])
    check_tree(whole, TRIALS[sampler])
    return whole.results()


def test_a_kill_in_a_trial_changes_no_result(places: Places) -> None:
    place = places()
    assert kill_at(place, running("search", 2), 0.05, SAMPLERS["gp"])
    assert any(run.info.status == "RUNNING" for run in place.runs())
    place.run(*SAMPLERS["gp"])
    check_tree(place, TRIALS["gp"])
    assert place.results() == undisturbed(places, "gp")


MOMENTS = {
    "before the first trial": running("cell", 1),
    "in a trial": running("search", 3),
    "between trials": trials_told(2),
    "in a final run": running("final", 2),
    "storing the model": storing_the_model,
}


@pytest.mark.slow
@pytest.mark.parametrize("sampler", list(SAMPLERS))
def test_kills_at_several_moments_change_no_result(sampler: str, places: Places) -> None:
    expected = undisturbed(places, sampler)
    delays = random.Random(sampler)
    for name, moment in MOMENTS.items():
        place = places()
        assert kill_at(place, moment, 0.0, SAMPLERS[sampler]), name
        place.run(*SAMPLERS[sampler])
        check_tree(place, TRIALS[sampler])
        assert place.results() == expected, name
    place = places()
    for moment in MOMENTS.values():  # one study that is killed again and again
        kill_at(place, moment, delays.uniform(0, 0.3), SAMPLERS[sampler])
    place.run(*SAMPLERS[sampler])
    check_tree(place, TRIALS[sampler])
    assert place.results() == expected


@pytest.mark.slow
def test_a_kill_while_the_stores_are_made_leaves_none_or_whole_ones(places: Places) -> None:
    place = places(store=False)
    for name in ("mlflow.db.new", "mlflow.db", "optuna.db.new", "optuna.db"):
        kill_at(place, lambda place, name=name: (place.folder / name).exists(), 0.0, SAMPLERS["grid"])
        for store, table in (("mlflow.db", "alembic_version"), ("optuna.db", "version_info")):
            if (place.folder / store).exists():
                assert look(place.folder / store, f"select * from {table}"), (name, store)
    place.run(*SAMPLERS["grid"])
    check_tree(place, TRIALS["grid"])
    assert place.results() == undisturbed(places, "grid")
    assert not list(place.folder.glob("*.new*"))
