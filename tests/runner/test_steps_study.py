"""Studies whose runs are counted in steps: the same numbers, curves by step, early ends and params that say so."""

from __future__ import annotations

import json

import pytest

from tests.support.study_fixture import Place, Places

SMALL = ("prompts=[bare]", "tuning=[none, last_blocks: 1]", "search.sampler=grid", "search.trials=3")
HIGH = ("search.learning_rate={low: 0.02, high: 3.0}", "final.seeds=[11]")


def sets(*changes: str) -> tuple[str, ...]:
    return tuple(part for change in changes for part in ("--set", change))


def history(place: Place, run: str, name: str) -> dict[int, float]:
    return {point.step: point.value for point in place.client().get_metric_history(run, name)}


@pytest.fixture(scope="module")
def by_epochs(places: Places) -> Place:
    place = places()
    place.run(*sets(*SMALL, *HIGH))
    return place


def per_epoch(place: Place) -> int:
    """Return the steps of an epoch, as the plan counts them."""
    planned = json.loads(place.command("plan", "study.yaml", "--json", *sets(*SMALL, *HIGH)).out)
    return next(cell["steps"] for cell in planned["cells"] if cell["steps"]) // 2


@pytest.mark.slow
def test_a_study_of_as_many_steps_has_the_same_results(by_epochs: Place, places: Places) -> None:
    place, steps = places(), 2 * per_epoch(by_epochs)
    place.run(*sets(*SMALL, *HIGH, "training.epochs=null", f"training.steps={steps}"))
    assert place.results() == by_epochs.results()
    for run in place.runs("search"):
        assert run.data.params["training.steps"] == str(steps)
        assert "training.epochs" not in run.data.params
        assert list(history(place, run.info.run_id, "validation/loss")) == [steps // 2, steps]
    for run in by_epochs.runs("search"):
        assert run.data.params["training.epochs"] == "2"
        assert not {"training.steps", "training.evaluate_every"} & run.data.params.keys()


@pytest.mark.slow
def test_scores_between_epochs_make_a_curve_and_move_no_result(by_epochs: Place, places: Places) -> None:
    place, steps = places(), 2 * per_epoch(by_epochs)
    place.run(*sets(*SMALL, *HIGH, "training.evaluate_every=2"))
    assert place.results() == by_epochs.results()
    for run in [*place.runs("search"), *place.runs("final", cell="bare/last_blocks-1")]:
        places_of_scores = sorted({*range(2, steps, 2), steps})
        assert sorted(history(place, run.info.run_id, "train/loss")) == places_of_scores
        assert sorted(history(place, run.info.run_id, "validation/loss")) == places_of_scores
    page = (place.folder / "reports" / "tiny" / "report.html").read_text(encoding="utf-8")
    assert "Loss by step, nats a token" in page
    assert "every 2 steps" in page
    again = place.run(*sets(*SMALL, *HIGH, "training.evaluate_every=2"))
    assert "0 runs to do" in again.out


@pytest.mark.slow
def test_the_pruner_patience_and_the_best_weights_go_by_scores(places: Places) -> None:
    place = places()
    early = ("training.evaluate_every=1", "training.patience=2", "training.keep=best", "search.pruner=median")
    rates = ("search.learning_rate={low: 0.02, high: 5.0}", "search.trials=6", "search.metric=loss")
    place.run(*sets(*SMALL, "final.seeds=[11]", *early, *rates, "training.schedule=constant"))
    trials = place.runs("search")
    pruned = [run for run in trials if "pruned_after_step" in run.data.tags]
    stopped = [run for run in trials if "stopped_after_step" in run.data.tags]
    assert pruned
    assert stopped
    for run in trials:
        losses = history(place, run.info.run_id, "validation/loss")
        seen = sorted(history(place, run.info.run_id, "train/loss"))
        assert seen == list(range(1, len(seen) + 1))
        assert not {"pruned_after_epoch", "stopped_after_epoch"} & run.data.tags.keys()
        if run in pruned:
            assert int(run.data.tags["pruned_after_step"]) == len(seen)
            continue
        best = min(seen, key=lambda step: (losses[step], step))
        assert run.data.metrics["best_step"] == best
        assert run.data.metrics["objective"] == losses[best]
        if run in stopped:
            assert int(run.data.tags["stopped_after_step"]) == len(seen) == best + 2


@pytest.mark.slow
def test_steps_are_searched_over(places: Places) -> None:
    place = places()
    space = "search.space={training.steps: [2, 5]}"
    place.run(*sets("prompts=[bare]", "tuning=[none, head]", "training.epochs=null", "training.steps=5", space))
    for run in place.runs("search"):
        assert max(history(place, run.info.run_id, "validation/loss")) == int(run.data.params["training.steps"])
    assert {run.data.params["training.steps"] for run in place.runs("search")} <= {"2", "5"}
    planned = place.command("plan", "study.yaml", *sets("training.epochs=null", "training.steps=5", space))
    assert "those of 3.5 steps a run, the mean of what is searched over" in planned.out


def test_both_lengths_are_refused_with_their_line(places: Places) -> None:
    place = places(store=False)
    refused = place.command("check", "study.yaml", "--set", "training.steps=5")
    assert refused.status == 2
    assert "training.epochs 2 and training.steps 5 both say how long a run trains; leave one of them out" in refused.err
