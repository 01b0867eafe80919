"""Runs counted in optimizer steps: as many as epochs have are those epochs, and scores in between change nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from harness.models.apply_tuning import apply, reset
from harness.models.frozen.replay import Trunk
from harness.models.last_block import block_asked_at_labels, modules_at_labels
from harness.models.load import Loaded
from harness.study.axes import Tuning
from harness.study.spec import Training
from harness.training.batching import Batch, loss_batches
from harness.training.course import Course
from harness.training.loop import Epoch, fit
from harness.training.loss import ForwardPass
from tests.support.training_runs import LAST, encoded, opened

FULL = Tuning(kind="full")
PER_EPOCH = 4
"""Steps, of seven batches in twos."""


class Ran(NamedTuple):
    """What a run did."""

    epochs: list[Epoch]
    weights: list[Tensor]

    @property
    def losses(self) -> list[float]:
        return [loss for epoch in self.epochs for loss in epoch.losses]


def batches_of(loaded: Loaded) -> Callable[[int], list[Batch]]:
    """Return what shuffles seven batches anew in every epoch, as a run does."""
    rows = encoded(loaded)

    def batches(epoch: int) -> list[Batch]:
        return loss_batches(rows, loaded, batch_size=2, order=np.random.default_rng([5, epoch]))[:7]

    return batches


def run(loaded: Loaded, tuning: Tuning = FULL, trunk: Trunk | None = None, **length: Any) -> Ran:
    """Train, and disturb the model and the process's generators at every score."""
    model = loaded.model
    trainable = apply(model, tuning)
    forward = ForwardPass(
        model, trunk, at_labels=modules_at_labels(model), asked_at_labels=block_asked_at_labels(model)
    )
    spec, epochs = Training(accumulation=2, schedule="cosine", warmup=0.2, **length), []
    for epoch in fit(forward, trainable, batches=batches_of(loaded), spec=spec, learning_rate=1e-2, seed=5):
        epochs.append(epoch)
        model.eval()
        torch.rand(3)
    weights = [model.get_parameter(name).detach().clone() for name in trainable.names]
    reset(model, trainable)
    return Ran(epochs, weights)


def same(one: Ran, other: Ran) -> bool:
    equal = all(torch.equal(mine, theirs) for mine, theirs in zip(one.weights, other.weights, strict=True))
    return one.losses == other.losses and equal


@pytest.fixture(scope="module")
def dropping(tiny: Callable[..., Loaded]) -> Loaded:
    return tiny("gpt2", resid_pdrop=0.2)


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_as_many_steps_as_epochs_have_are_those_epochs(dropping: Loaded, epochs: int) -> None:
    by_epochs, by_steps = run(dropping, epochs=epochs), run(dropping, steps=epochs * PER_EPOCH)
    assert same(by_epochs, by_steps)
    for mine, theirs in zip(by_epochs.epochs, by_steps.epochs, strict=True):
        assert mine._replace(seconds=0.0, at=0) == theirs._replace(seconds=0.0, at=0)
    assert [epoch.at for epoch in by_epochs.epochs] == list(range(1, epochs + 1))
    assert [epoch.at for epoch in by_steps.epochs] == [PER_EPOCH * (epoch + 1) for epoch in range(epochs)]
    assert [epoch.is_last for epoch in by_steps.epochs] == [False] * (epochs - 1) + [True]


@pytest.mark.parametrize("length", [{"epochs": 2}, {"steps": 6}], ids=str)
@pytest.mark.parametrize("every", [1, 2, 3, 5, 6, 100])
def test_scores_in_between_change_nothing(dropping: Loaded, length: dict[str, int], every: int) -> None:
    total = length.get("steps", 2 * PER_EPOCH)
    scored = run(dropping, **length, evaluate_every=min(every, total))
    assert same(run(dropping, **length), scored)
    assert [epoch.step for epoch in scored.epochs] == sorted({*range(every, total, every), total})
    assert [epoch.at for epoch in scored.epochs] == [epoch.step for epoch in scored.epochs]


def test_replayed_steps_are_live_ones(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("llama")
    live = run(loaded, LAST, steps=6, evaluate_every=4)
    replayed = run(loaded, LAST, opened(loaded, LAST), steps=6, evaluate_every=4)
    assert same(live, replayed)


def test_each_epoch_has_its_own_order_and_a_step_beyond_it_the_next_ones(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("llama")
    batches, seen = batches_of(loaded), list[tuple[int, ...]]()
    asked = list[int]()

    def noted(epoch: int) -> list[Batch]:
        asked.append(epoch)
        return batches(epoch)

    class Seeing(ForwardPass):
        def training_loss(self, batch: Batch) -> Any:
            seen.append(batch.indices)
            return super().training_loss(batch)

    trainable, spec = apply(loaded.model, LAST), Training(steps=6, accumulation=2)
    epochs = list(fit(Seeing(loaded.model), trainable, batches=noted, spec=spec, learning_rate=1e-3, seed=0))
    reset(loaded.model, trainable)
    expected = [batch.indices for batch in (*batches(1), *batches(2)[:4])]
    assert seen == expected
    assert asked == [1, 2]
    assert [(epoch.epoch, epoch.step, epoch.examples) for epoch in epochs] == [
        (1, 4, sum(map(len, expected[:7]))),
        (2, 6, sum(map(len, expected[7:]))),
    ]


def test_what_lies_between_two_scores_is_counted_by_itself(dropping: Loaded) -> None:
    whole, parts = run(dropping, epochs=2), run(dropping, epochs=2, evaluate_every=3)
    assert [len(part.losses) for part in parts.epochs] == [3, 3, 2]
    assert sum(part.tokens for part in parts.epochs) == sum(epoch.tokens for epoch in whole.epochs)
    assert sum(part.examples for part in parts.epochs) == sum(epoch.examples for epoch in whole.epochs)
    weighted = sum(part.train_loss * part.tokens for part in parts.epochs)
    assert weighted == pytest.approx(sum(epoch.train_loss * epoch.tokens for epoch in whole.epochs), rel=1e-12)


LENGTHS = st.one_of(
    st.builds(lambda n: {"epochs": n}, st.integers(1, 5)), st.builds(lambda n: {"steps": n}, st.integers(1, 40))
)


@given(length=LENGTHS, every=st.none() | st.integers(1, 50), per_epoch=st.integers(1, 12))
def test_a_course_by_counting(length: dict[str, int], every: int | None, per_epoch: int) -> None:
    total = length.get("steps", length.get("epochs", 0) * per_epoch)
    every = min(every, total) if every and "steps" in length else every
    course = Course(Training(**length, evaluate_every=every), per_epoch)
    marks, told, done = [], [], 0
    while done < course.total:
        mark = course.mark(done)
        told += [course.told(step, mark) for step in range(done, mark + 1)]
        marks.append(mark)
        done = mark
    assert course.total == total
    assert marks == [step for step in range(1, total + 1) if step % (every or per_epoch) == 0 or step == total]
    assert course.training.scores(per_epoch) == len(marks)
    assert [course.place(step) for step in range(total)] == list(_places(total, per_epoch))
    by_steps = every is not None or "steps" in length
    assert [course.at(mark) for mark in marks] == (marks if by_steps else list(range(1, len(marks) + 1)))
    assert all(0 <= step <= steps for _, step, steps in told)
    assert [part for part, *_ in told] == sorted(part for part, *_ in told)
    assert told[-1] == ((len(marks), total, total) if by_steps else (len(marks), per_epoch, per_epoch))


def _places(total: int, per_epoch: int) -> Iterator[tuple[int, int]]:
    epoch, index = 1, 0
    for _ in range(total):
        yield epoch, index
        epoch, index = (epoch, index + 1) if index + 1 < per_epoch else (epoch + 1, 0)


REFUSED = [
    ({"epochs": 3, "steps": 600}, "training.epochs 3 and training.steps 600 both say how long a run trains; leave one"),
    ({"epochs": None}, "training.epochs is null; set it, or training.steps in its place"),
    ({"steps": 5, "evaluate_every": 6}, "training.evaluate_every 6 is more than the 5 steps of a run; lower it"),
    ({"steps": 9, "evaluate_every": 3, "patience": 3}, "training.patience 3 could stop no run of 3 scores; lower it"),
    ({"epochs": 2, "patience": 2}, "training.patience 2 could stop no run of 2 epochs; lower it or leave it out"),
]


@pytest.mark.parametrize(("said", "words"), REFUSED, ids=str)
def test_what_makes_no_length_is_refused(said: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Training(**said)
    (error,) = caught.value.errors()
    assert str(error["ctx"]["error"]).startswith(words)


@pytest.mark.parametrize(
    "said", [{"steps": 600}, {"epochs": None, "steps": 600}, {"epochs": 1, "evaluate_every": 100}], ids=str
)
def test_what_was_read_is_read_again(said: dict[str, Any]) -> None:
    """What stores hold has every key; what a saved study file has, those that were written."""
    training = Training(**said)
    assert training.epochs == said.get("epochs")
    assert Training(**training.model_dump()) == training
    assert Training(**training.model_dump(exclude_unset=True)) == training
    assert training.model_fields_set == said.keys()
