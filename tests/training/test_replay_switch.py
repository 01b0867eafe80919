"""Replay where it is wired in: a trainer gives the same numbers with it and without."""

from __future__ import annotations

import pytest
from torch import nn

from harness.study.axes import Tuning
from harness.study.check import check
from harness.study.grid import Cell
from harness.study.load_study import read_study
from harness.training.trainer import Trainer
from tests.support.search_spaces import rate
from tests.support.study_fixture import Places


def test_shortcuts_that_are_none_on_these_rows_are_not_taken(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """What held for a few made-up tokens is compared once more on the study's longest rows."""
    place = places()
    monkeypatch.chdir(place.folder)
    checked = check(read_study(place.study))
    cell = Cell(checked.cells[-1].prompt, Tuning(kind="last_blocks", blocks=1))
    found, said = {}, list[str]()

    def keys(model: nn.Module) -> tuple[nn.Module, ...]:
        """Return what is needed at all positions."""
        return tuple(part for name, part in model.named_modules() if name.endswith(("k_proj", "c_attn")))[-1:]

    for wrong in (False, True):
        if wrong:
            monkeypatch.setattr("harness.training.setup.modules_at_labels", keys)
        trainer = Trainer(checked, say=said.append)
        with trainer.run(cell) as run:
            found[wrong] = [epoch.losses for epoch in run.epochs(rate(1e-2), seed=0)]
    assert found[True] == [pytest.approx(losses, rel=1e-6) for losses in found[False]]
    assert said == [
        "the last block is computed at all positions: its losses on these rows were others without",
        "predictions are made one at a time: on these rows, padding or the prompts beside one move its own",
    ]


TUNINGS = [Tuning(kind="head"), *(Tuning(kind="last_blocks", blocks=count) for count in (1, 2))]


def test_a_trainer_replays_where_it_can_and_says_where_not(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = places()
    monkeypatch.chdir(place.folder)
    checked = check(read_study(place.study))
    prompt = checked.cells[-1].prompt
    cells = {tuning.name: Cell(prompt, tuning) for tuning in (*TUNINGS, Tuning(kind="full"))}
    found = {}
    for allowed in (True, False):
        trainer = Trainer(checked)
        if not allowed:
            monkeypatch.setattr(
                "harness.training.activation_cache.replay_of_run.refusal", lambda model, trainable: "not now"
            )
        for name, cell in cells.items():
            with trainer.run(cell) as run:
                epochs = run.epochs(rate(1e-2), seed=0)
                found[allowed, name] = [
                    (epoch.losses, run.score("validation", generate=True).scores) for epoch in epochs
                ]
            reason = "not now" if not allowed else "the embeddings train" if name == "full" else None
            assert run.trunk == (f"live: {reason}" if reason else "replayed")
    for name in cells:
        for (left, one), (right, other) in zip(found[True, name], found[False, name], strict=True):
            assert left == pytest.approx(right, rel=1e-6)
            assert one == pytest.approx(other, rel=1e-6)
