"""A loss that exploded, or is no number, counts as diverged: it never wins, ranks or is stored, however it scores."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.core.errors import Diverged
from harness.models.apply_tuning import snapshot
from harness.runner.executors.job_run import JobRun
from harness.runner.executors.protocol import Ended, Event, Job, Reply, Scored
from harness.study.check import check
from harness.study.checked_study import Checked
from harness.study.load_study import read_study
from harness.training.exploded_loss import FAR
from harness.training.trainer import Trainer
from tests.support.labelled_study import labelled_place
from tests.support.search_spaces import rate
from tests.support.study_fixture import Place, Places

SMALL = ("prompts=[bare]", "tuning=[none, head]", "training.epochs=1", "final.registered_as=null")
SETS = tuple(part for change in SMALL for part in ("--set", change))


def opened(place: Place) -> tuple[Checked, Trainer]:
    with contextlib.chdir(place.folder):
        checked = check(read_study(Path("study.yaml"), SMALL))
        return checked, Trainer(checked)


def test_trials_whose_finite_loss_exploded_never_win(places: Places) -> None:
    place = places()
    place.run(*SETS, "--set", "search.learning_rate={low: 1.0e+5, high: 2.0e+5}")
    for run in place.runs("search"):
        assert 1e3 < run.data.metrics["validation/loss"] < math.inf, "the test needs a finite one"
        assert run.data.tags["outcome"] == "diverged"
        assert "more than 10 nats a token above" in run.data.tags["error"]
        assert run.info.status == "FAILED"
    assert {run.data.tags["cell"] for run in place.runs("final")} == {"bare/none"}
    (summary,) = place.runs("summary")
    assert summary.data.tags["best_cell"] == "bare/none"
    assert place.table()["bare/head"]["learning_rate"] == ""


@pytest.mark.parametrize("is_trial", [True, False], ids=["trial", "final run"])
def test_a_run_that_explodes_ends_before_it_is_scored(is_trial: bool, places: Places) -> None:
    checked, trainer = opened(places(store=False))
    scores = None if is_trial else "validation"
    job = Job("one", "bare/head", rate(1e5), 11, is_trial=is_trial, follows=False, scores=scores)
    run, events = JobRun(job, checked, trainer, None).events(), list[Event]()
    with contextlib.suppress(StopIteration):
        events.append(next(run))
        while True:
            events.append(run.send(Reply()))
    ended = events[-1]
    assert isinstance(ended, Ended)
    assert ended.outcome == "diverged"
    assert not any(isinstance(event, Scored) for event in events)


@pytest.mark.parametrize("scale", [1.0, 200.0], ids=["guesses", "is worse than guessing"])
def test_far_is_beyond_guessing_and_beyond_what_the_run_began_with(scale: float, places: Places) -> None:
    checked, trainer = opened(places(store=False))
    model = trainer.setup.loaded.model
    with torch.no_grad():
        model.transformer.ln_f.weight.mul_(scale)
    cell = next(cell for cell in checked.cells if cell.tuning.trains)
    with trainer.run(cell) as run:
        began, guessing = run.score("validation", generate=False).scores["loss"], math.log(model.config.vocab_size)
        assert (began > guessing + FAR) == (scale > 1), "the test needs it"
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(0.5)
        weights, limit = snapshot(model), max(began, guessing) + FAR
        run.refuse_exploded(limit - 0.01, 1)
        for loss in (limit + 0.01, 1.4e27, math.inf, math.nan):
            with pytest.raises(Diverged):
                run.refuse_exploded(loss, 1)
        assert all(torch.equal(weights[name], tensor) for name, tensor in snapshot(model).items())


def test_a_zero_shot_cell_whose_loss_is_no_number_never_ranks(places: Places) -> None:
    """All weights are finite; what is computed of them is not."""
    place = places()
    file = place.folder / "model" / "model.safetensors"
    weights = load_file(file)
    weights["transformer.ln_f.weight"].fill_(3e38)
    save_file(weights, file, metadata={"format": "pt"})
    shown = place.run(*SETS, "--set", "search.trials=1")
    (run,) = place.runs("final")
    assert (run.info.status, run.data.tags["outcome"]) == ("FAILED", "diverged")
    assert "test/chrf" not in run.data.metrics
    (summary,) = place.runs("summary")
    assert not summary.data.tags.get("best_run")
    assert "ranks first" not in shown.out
    assert place.table()["bare/none"]["validation_chrf"] == ""


def test_labels_of_weights_that_are_no_numbers_fail_their_trials_alone(places: Places) -> None:
    place = labelled_place(places)
    wild = ("search.learning_rate={low: 1.0e+19, high: 1.0e+20}", "training.batch_size=64", "search.trials=1")
    changes = (*wild, "final.seeds=[11]", "training.epochs=1", "tuning=[none, {last_blocks: 1}]", "prompts=[bare]")
    place.run(*(part for change in changes for part in ("--set", change)))
    (trial,) = place.runs("search")
    assert trial.data.tags["outcome"] == "diverged"
    assert "loss is nan" in trial.data.tags["error"]
    assert {run.data.tags["cell"] for run in place.runs("final")} == {"bare/none"}
