"""Replay where it is wired in: the loop, likelihoods and a bench give the same numbers with it and without."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from harness.batching import Batch, loss_batches
from harness.bench import Bench
from harness.cells import Cell
from harness.check import check
from harness.encoding import Limits, Row, encode
from harness.evaluation import likelihoods
from harness.example import Example
from harness.likelihood import ForwardPass, model_rows
from harness.models.blocks import blocks
from harness.models.load import Loaded
from harness.models.trunk import Trunk, first_trained, record, taps
from harness.models.tuning import apply, reset
from harness.study import Training, Tuning
from harness.study_file import read_study
from harness.template import Template
from harness.testing import FAMILIES
from harness.training import fit
from tests.study_fixture import Places

WORDS = ["a", "short", "note", "about", "the", "meeting", "it", "moved", "to", "Tuesday", "and", "room", "is", "booked"]
EXAMPLES = [
    Example(str(i), {"source": " ".join(WORDS[i % 5 : 5 + i * 2 % 11])}, " ".join(WORDS[i % 7 : i % 7 + 1 + i % 6]))
    for i in range(14)
]
SPEC = Training(epochs=4)
TUNINGS = [Tuning(kind="head"), *(Tuning(kind="last_blocks", blocks=count) for count in (1, 2))]


def encoded(loaded: Loaded) -> list[Row]:
    return list(encode(EXAMPLES, Template("t", "{{ source }}\nSummary:"), loaded, limits=Limits(60, 40)).rows)


def recorded(loaded: Loaded, rows: Sequence[Row]) -> Trunk:
    model, store = loaded.model, dict[str, torch.Tensor]()
    places = taps(model, first_trained(model))
    batches = [model_rows(model, batch) for batch in loss_batches(rows, loaded, batch_size=5)]
    record(model, batches, places=places, store=store)
    return Trunk(model, places, store)


def trained(loaded: Loaded, tuning: Tuning, *, replay: bool) -> tuple[list[float], list[float], int]:
    """Return the losses of every step and row, and how often something inside a frozen block ran."""
    rows, calls = encoded(loaded), list[torch.nn.Module]()

    def batches(epoch: int) -> list[Batch]:
        return loss_batches(rows, loaded, batch_size=3, order=np.random.default_rng([0, epoch]))

    trainable = apply(loaded.model, tuning)
    trunk = recorded(loaded, rows) if replay else None
    forward = ForwardPass(loaded.model, trunk)
    frozen = blocks(loaded.model)[: first_trained(loaded.model)]
    inside = [each for block in frozen for each in block.module.modules() if each is not block.module]
    hooks = [each.register_forward_hook(lambda module, *_: calls.append(module)) for each in inside]
    options = {"spec": SPEC, "learning_rate": 1e-3, "seed": 0}
    steps = [loss for epoch in fit(forward, trainable, batches=batches, **options) for loss in epoch.losses]
    nlls = [found.nll for found in likelihoods(forward, loss_batches(rows, loaded, batch_size=4))]
    for hook in hooks:
        hook.remove()
    reset(loaded.model, trainable)
    return steps, nlls, len(calls)


@pytest.mark.parametrize("tuning", TUNINGS, ids=lambda tuning: tuning.name)
@pytest.mark.parametrize("family", FAMILIES)
def test_training_and_likelihoods_are_the_same_with_replay(
    tiny: Callable[..., Loaded], family: str, tuning: Tuning
) -> None:
    loaded = tiny(family)
    steps, nlls, ran = trained(loaded, tuning, replay=False)
    replayed_steps, replayed_nlls, replayed_ran = trained(loaded, tuning, replay=True)
    assert ran > 0
    assert replayed_ran == 0
    assert len(steps) >= 20
    assert replayed_steps == pytest.approx(steps, rel=1e-6, abs=0)
    assert replayed_nlls == pytest.approx(nlls, rel=1e-5, abs=0)


def test_a_bench_replays_where_it_can_and_says_where_it_cannot(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    place = places()
    monkeypatch.chdir(place.folder)
    checked = check(read_study(place.study))
    prompt = checked.cells[-1].prompt
    cells = {tuning.name: Cell(prompt, tuning) for tuning in (*TUNINGS[:2], Tuning(kind="full"))}
    found = {}
    for allowed in (True, False):
        bench = Bench(checked)
        if not allowed:
            monkeypatch.setattr("harness.bench.refusal", lambda model, trainable: "not now")
        for name, cell in cells.items():
            epochs = bench.train(cell, learning_rate=1e-2, seed=0)
            found[allowed, name] = [
                (epoch.losses, bench.score(prompt, "validation", generate=True).scores) for epoch in epochs
            ]
            assert bench.live == ("not now" if not allowed else "the embeddings train" if name == "full" else None)
    for name in cells:
        for (left, one), (right, other) in zip(found[True, name], found[False, name], strict=True):
            assert left == pytest.approx(right, rel=1e-6)
            assert one == pytest.approx(other, rel=1e-6)
