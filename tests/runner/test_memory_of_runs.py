"""How runs are made to fit the memory: told by their tags, and no part of what a cell is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

from harness.models.load import Loaded
from harness.study.spec import Model
from harness.training import setup, trainer
from tests.support.study_fixture import QUICK, Places

ONE = ("--set", "prompts=[bare]", "--set", "tuning=[none, full]", *QUICK)
SWITCH = "training.gradient_checkpointing"


@pytest.mark.slow
def test_computing_blocks_again_makes_no_other_cell_and_is_said(places: Places) -> None:
    light, plain = places(), places()
    light.run(*ONE, "--set", f"{SWITCH}=true")
    plain.run(*ONE)
    for place, said in ((light, "on"), (plain, "off: a step holds about ")):
        for phase in ("search", "final"):
            tags = [run.data.tags.get("gradient_checkpointing", "") for run in place.runs(phase, cell="bare/full")]
            assert len(tags) == 1
            assert tags[0].startswith(said)
    one, other = (place.runs("cell", cell="bare/full")[0] for place in (light, plain))
    assert one.data.tags["mlflow.harness.cell_digest"] == other.data.tags["mlflow.harness.cell_digest"]
    assert SWITCH not in one.data.params
    names = [name for name in one.data.metrics if name.startswith(("validation/", "test/"))]
    assert names
    assert {name: one.data.metrics[name] for name in names} == {name: other.data.metrics[name] for name in names}
    (trial,), (lighter,) = plain.runs("search"), light.runs("search")
    assert lighter.data.metrics["cost/flops"] > trial.data.metrics["cost/flops"], "what is computed again is counted"
    results = light.results()
    assert "2 cells, 0 runs to do" in light.run(*ONE, "--set", f"{SWITCH}=false").out
    assert light.results() == results


def with_room(monkeypatch: pytest.MonkeyPatch, fits: Callable[[int, bool], bool]) -> None:
    """Let every study's model run out of memory where the rows of a call, in training or not, do not fit."""
    load = setup.load_study_model

    def look(module: object, args: object, inputs: dict[str, Any]) -> None:
        if not fits(len(inputs["input_ids"]), torch.is_grad_enabled()):
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def limited(model: Model, labels: Sequence[str] = ()) -> Loaded:
        loaded = load(model, labels)
        loaded.model.register_forward_pre_hook(look, with_kwargs=True)
        return loaded

    monkeypatch.setattr(setup, "load_study_model", limited)


@pytest.mark.slow
def test_batches_that_do_not_fit_are_halved_and_said(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, halved = places(), places()
    whole.run(*ONE)
    with_room(monkeypatch, lambda rows, trains: rows <= 3)
    halved.run(*ONE)
    halved.clean()
    for phase in ("search", "final"):
        (run,), (expected,) = (place.runs(phase, cell="bare/full") for place in (halved, whole))
        said = {name: value for name, value in run.data.tags.items() if name.endswith("_batch")}
        assert said == {"forward_batch": "2", "scoring_batch": "2", "generation_batch": "2"}
        assert not any(name.endswith("_batch") for name in expected.data.tags)
        for name in ("train/loss", "validation/loss"):
            assert run.data.metrics[name] == pytest.approx(expected.data.metrics[name], rel=1e-4)


@pytest.mark.slow
def test_a_trial_that_does_not_fit_at_all_fails_alone(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place, calls = places(), list[int]()

    def fits(rows: int, trains: bool) -> bool:
        if rows < 8 and not calls:
            return True  # the proofs, which come before
        calls.extend([rows] if trains else [])
        return not trains or len(calls) > 4

    with_room(monkeypatch, fits)
    done = place.run(*ONE, "--set", "search.trials=2")
    place.count(cell=2, search=2, final=2, summary=1)
    assert calls[:4] == [8, 4, 2, 1]
    (failed,) = [run for run in place.runs("search") if run.info.status == "FAILED"]
    assert failed.data.tags["error"].startswith("memory ran out: not even one row at a time fits (CUDA out of memory.")
    assert failed.data.tags["forward_batch"] == "1"
    assert "1 trial failed for want of memory, in bare/full" in done.out


@pytest.mark.slow
def test_what_frozen_weights_are_held_in_makes_other_cells(places: Places) -> None:
    place = places()
    place.run(*ONE, "--set", "final.store=delta")
    digests = {run.data.tags["mlflow.harness.cell_digest"] for run in place.runs("cell")}
    assert all("model.frozen" not in run.data.params for run in place.runs("cell"))
    place.run(
        *ONE, "--set", "model.frozen=bfloat16", "--set", "tuning=[none, head, full]", "--set", "final.store=delta"
    )
    now = place.runs("cell")
    assert {run.data.params["model.frozen"] for run in now} == {"bfloat16"}
    assert {run.data.tags["mlflow.harness.cell_digest"] for run in now} & digests == set()
    place.clean()
    (final,) = place.runs("final", cell="bare/head")
    assert final.data.tags["trunk"].startswith("replayed")
    done = place.command("reproduce", final.info.run_id)
    assert done.status == 0, done.err


@pytest.mark.slow
def test_where_nothing_is_free_blocks_are_computed_again(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = places()
    monkeypatch.setattr(trainer, "free_memory", lambda device: 0)
    place.run(*ONE, "--set", "tuning=[none, head, full]")
    for cell in ("bare/head", "bare/full"):
        (trial,) = place.runs("search", cell=cell)
        assert trial.data.tags["gradient_checkpointing"].startswith("on: a step holds about ")
        assert trial.data.tags["gradient_checkpointing"].endswith(" MiB, and 0 are free")
