"""Early stopping and the epoch that is kept: the rule by hand, and runs whose values are those of that epoch."""

from __future__ import annotations

import contextlib
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from harness.core.errors import StudyError
from harness.models.apply_tuning import snapshot
from harness.runner.executors.job_run import JobRun
from harness.runner.executors.protocol import Job, Reply, Scored
from harness.study.check import check
from harness.study.checked_study import Checked
from harness.study.load_study import read_study
from harness.study.spec import Training
from harness.training.early_stopping import EarlyStopping
from harness.training.trainer import Trainer
from tests.support.kill_moments import kill_at, running
from tests.support.search_spaces import rate
from tests.support.study_fixture import Place, Places

SMALL = ("--set", "prompts=[bare]", "--set", "tuning=[none, last_blocks: 1]")
OPTIONS = ("training.epochs=5", "training.schedule=constant", "search.learning_rate={low: 2.0, high: 4.0}")
"""Learning rates at which validation is at its best before the last epoch."""

value = st.integers(-3, 3).map(float)
scripts = st.lists(value, min_size=1, max_size=9)


def sets(*changes: str) -> tuple[str, ...]:
    return tuple(part for change in (*OPTIONS, *changes) for part in ("--set", change))


# The rule


def by_hand(values: list[float], patience: int | None, *, maximize: bool) -> tuple[int, int]:
    """Return after which epoch a run stops, and its best epoch: nothing in the window behind the best beats it."""
    best = max if maximize else min
    for last in range(1, len(values) + 1):
        seen = values[:last]
        peak = seen.index(best(seen)) + 1
        if patience is not None and last - peak >= patience:
            return last, peak
    return len(values), values.index(best(values)) + 1


def followed(values: list[float], patience: int | None, *, keep: Any = "last", maximize: bool) -> EarlyStopping:
    """Return what has followed a run whose objective takes these values, until it says that the run ended."""
    spec = Training(epochs=len(values), keep=keep).model_copy(update={"patience": patience})
    stopping = EarlyStopping(spec, maximize=maximize)
    for epoch, objective in enumerate(values, start=1):
        stopping.see(epoch, objective, is_last=epoch == len(values))
        if stopping.ended:
            break
    return stopping


@given(scripts, st.none() | st.integers(1, 8), st.sampled_from(["last", "best"]), st.booleans())
def test_a_scripted_run_stops_where_the_rule_says(
    values: list[float], patience: int | None, keep: Any, maximize: bool
) -> None:
    stopping = followed(values, patience, keep=keep, maximize=maximize)
    last, peak = by_hand(values, patience, maximize=maximize)
    assert (stopping.at, stopping.best_at) == (last, peak)
    assert stopping.value == values[(peak if keep == "best" else last) - 1]
    assert stopping.goes_back == (keep == "best" and peak < last)
    assert stopping.tags() == ({"stopped_after_epoch": str(last)} if last < len(values) else {})
    assert stopping.watches == (patience is not None or keep == "best")


@given(scripts, st.integers(1, 8), st.booleans())
def test_more_patience_never_stops_sooner(values: list[float], patience: int, maximize: bool) -> None:
    ends = [followed(values, more, maximize=maximize).at for more in (patience, patience + 1, None)]
    assert all(sooner <= later for sooner, later in pairwise(ends))
    assert ends[-1] == len(values)


def test_a_run_without_a_better_epoch_ends_by_its_patience_alone() -> None:
    values = [1.0] * 9
    assert [followed(values, patience, maximize=True).at for patience in range(1, 9)] == list(range(2, 10))


def test_patience_that_could_stop_nothing_is_refused(places: Places) -> None:
    place = places(store=False)
    place.edit("epochs: 2", "epochs: 2, patience: 2")
    with pytest.raises(StudyError, match=r"study\.yaml:12: training\.patience 2 could stop no run of 2 epochs"):
        read_study(place.study)


@given(losses=st.lists(value, min_size=1, max_size=9), maximize=st.booleans())
def test_epochs_that_score_alike_are_told_apart_by_their_losses(losses: list[float], maximize: bool) -> None:
    stopping = EarlyStopping(Training(epochs=len(losses), keep="best"), maximize=maximize)
    for epoch, loss in enumerate(losses, start=1):
        stopping.see(epoch, 0.0, loss, is_last=epoch == len(losses))
    assert stopping.best_at == losses.index(min(losses)) + 1
    assert stopping.value == 0.0


# Runs


def history(place: Place, run: str, name: str) -> dict[int, float]:
    return {point.step: point.value for point in place.client().get_metric_history(run, name)}


@pytest.fixture(scope="module")
def kept(places: Places) -> Place:
    place = places()
    place.run(*SMALL, *sets("training.keep=best", "training.patience=2", "search.metric=loss", "search.trials=3"))
    return place


def test_a_runs_values_are_those_of_its_best_epoch(kept: Place) -> None:
    stopped = went_back = 0
    for run in [*kept.runs("search"), *kept.runs("final", cell="bare/last_blocks-1")]:
        losses = history(kept, run.info.run_id, "validation/loss")
        epochs = sorted(history(kept, run.info.run_id, "train/loss"))
        last, peak = by_hand([losses[epoch] for epoch in epochs], 2, maximize=False)
        assert epochs == list(range(1, last + 1))
        assert run.data.metrics["best_epoch"] == peak
        assert run.data.tags.get("stopped_after_epoch") == (str(last) if last < 5 else None)
        assert run.data.metrics["validation/loss"] == losses[peak]
        if run.data.tags["phase"] == "search":
            assert run.data.metrics["objective"] == losses[peak]
        assert math.isfinite(run.data.metrics["validation/chrf"])
        stopped, went_back = stopped + (last < 5), went_back + (peak < last)
    assert stopped, "the test needs a run that is stopped"
    assert went_back, "the test needs a run that goes back"


def test_the_proxys_scores_are_those_of_the_best_epoch(kept: Place) -> None:
    """A trial with the winner's learning rate and a final run differ by their seed alone; zero-shot by nothing."""
    checked, trainer = opened(
        kept, "training.keep=best", "training.patience=2", "search.metric=loss", "search.trials=3"
    )
    cell = next(cell for cell in checked.cells if cell.tuning.trains)
    went_back = [run for run in kept.runs("search") if run.data.metrics["best_epoch"] < len(steps(kept, run))]
    run = went_back[0]
    with trainer.run(cell) as training:
        epochs = training.epochs(rate(float(run.data.params["learning_rate"])), seed=0)
        while next(epochs).epoch < run.data.metrics["best_epoch"]:
            pass
        scores = training.score("validation", generate=True).scores
        epochs.close()
    for name in ("loss", "chrf", "perplexity"):
        assert run.data.metrics[f"validation/{name}"] == pytest.approx(scores[name], rel=1e-6)


def steps(place: Place, run: Any) -> list[int]:
    return sorted(history(place, run.info.run_id, "train/loss"))


def opened(place: Place, *changes: str) -> tuple[Checked, Trainer]:
    overrides = [change for change in (*SMALL, *sets(*changes)) if change != "--set"]
    with contextlib.chdir(place.folder):
        checked = check(read_study(Path("study.yaml"), overrides))
        return checked, Trainer(checked)


def test_the_best_epochs_weights_come_back_bit_for_bit(places: Places) -> None:
    place = places(store=False)
    checked, trainer = opened(place, "training.keep=best", "search.metric=loss")
    cell = next(cell for cell in checked.cells if cell.tuning.trains)
    weights, losses = [], []
    with trainer.run(cell) as training:
        for _ in training.epochs(rate(3.0), seed=11):
            losses.append(training.score("validation", generate=False).scores["loss"])
            weights.append(training.snapshot())
    _, peak = by_hand(losses, None, maximize=False)
    assert peak < len(losses), "the test needs a best epoch before the last"
    job = Job("again", cell.id, rate(3.0), 11, follows=False, scores="validation", predicts=False)
    events = JobRun(job, checked, trainer, None).events()
    ended = next(events)
    while not isinstance(ended, Scored):
        ended = events.send(Reply())
    assert ended.step == len(losses) + 1
    found = snapshot(trainer.setup.loaded.model)
    assert ended.metrics["validation/loss"] == losses[peak - 1]
    events.close()
    assert found.keys() == weights[peak - 1].keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in weights[peak - 1].items())
    assert not all(torch.equal(found[name], tensor) for name, tensor in weights[-1].items())


@pytest.mark.slow
def test_the_gap_is_validation_less_train_by_epoch(kept: Place, places: Places) -> None:
    plain = places()
    plain.run(*SMALL)
    for place in (kept, plain):
        for run in [*place.runs("search"), *place.runs("final")]:
            train, gap = (history(place, run.info.run_id, f"train/{name}") for name in ("loss", "gap"))
            validation = history(place, run.info.run_id, "validation/loss")
            assert gap == {epoch: pytest.approx(validation[epoch] - train[epoch], abs=1e-12) for epoch in train}
            assert bool(gap) == (run.data.tags["cell"] != "bare/none")


def test_without_the_options_nothing_is_said_of_them(places: Places) -> None:
    place = places()
    place.run(*SMALL)
    for run in place.runs():
        assert "best_epoch" not in run.data.metrics
        assert "stopped_after_epoch" not in run.data.tags


@pytest.mark.slow
def test_a_killed_study_with_all_options_ends_as_an_undisturbed_one(places: Places) -> None:
    every = (*SMALL, *sets("training.keep=best", "training.patience=1", "search.pruner=median", "search.trials=4"))
    whole, place = places(), places()
    whole.run(*every)
    for moment in (running("search", 3), running("final", 2)):
        assert kill_at(place, moment, 0.05, every)
    place.run(*every)
    for one in (whole, place):
        one.clean()
    assert place.results() == whole.results()
    assert "generality_perplexity" in place.table()["bare/none"]
