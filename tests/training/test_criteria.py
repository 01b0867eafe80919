"""Criteria against closed forms in numpy, behind heads of any kind, and in training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from harness.models.apply_tuning import apply, reset
from harness.models.frozen.replay import Trunk
from harness.models.load import Loaded
from harness.study.axes import Tuning
from harness.study.spec import Training
from harness.training import loss_at_labels
from harness.training.criteria import CRITERIA, Criterion, criterion_of
from harness.training.loop import Epoch, fit
from harness.training.loss import ForwardPass
from harness.training.loss_at_labels import HeadLoss
from tests.support.training_runs import HEAD, LAST, SPEC, encoded, opened, twenty

Numbers = NDArray[np.float64]

FULL = Tuning(kind="full")
SHARE = 0.15
TRAININGS = {
    "focal": Training(loss="focal"),
    "mse": Training(loss="mse"),
    "label smoothing": Training(label_smoothing=SHARE),
}


def softmax(logits: Numbers) -> Numbers:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def closed_form(name: str, logits: Numbers, labels: NDArray[np.int64]) -> tuple[Numbers, Numbers]:
    """Return losses and their gradients by the logits, written out by hand."""
    shares, rows = softmax(logits), np.arange(len(labels))
    hot = np.eye(logits.shape[1])[labels]
    own = shares[rows, labels]
    if name == "label smoothing":
        target = (1 - SHARE) * hot + SHARE / logits.shape[1]
        return -(target * np.log(shares)).sum(1), shares - target
    if name == "mse":
        distance = shares - hot
        inner = (distance * shares).sum(1, keepdims=True)
        return (distance**2).sum(1), 2 * shares * (distance - inner)
    losses = -((1 - own) ** 2) * np.log(own)
    by_own = 2 * (1 - own) * np.log(own) - (1 - own) ** 2 / own
    return losses, (by_own * own)[:, None] * (hot - shares)


def criterion(name: str) -> Criterion:
    found = criterion_of(TRAININGS[name], None)
    assert found is not None
    return found


def ten() -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(3)
    return 2 * torch.randn(10, 7, generator=draw), torch.randint(7, (10,), generator=draw)


@pytest.mark.parametrize("name", TRAININGS)
def test_ten_rows_by_hand(name: str) -> None:
    logits, labels = ten()
    losses, slope = criterion(name).slopes(logits, labels)
    expected, gradient = closed_form(name, logits.double().numpy(), labels.numpy())
    np.testing.assert_allclose(losses.numpy(), expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(slope.numpy(), gradient, rtol=1e-4, atol=1e-6)


def test_cross_entropy_has_no_criterion() -> None:
    assert criterion_of(Training(), None) is None
    assert criterion_of(Training(loss="mine.py:f"), CRITERIA["mse"]) is CRITERIA["mse"]


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from([*TRAININGS]),
    labels=st.integers(1, 9),
    vocabulary=st.integers(2, 30),
    room=st.integers(1, 200),
    trains=st.booleans(),
)
def test_behind_any_head(name: str, labels: int, vocabulary: int, room: int, trains: bool) -> None:
    head, hidden = nn.Linear(5, vocabulary), torch.randn(labels, 5, requires_grad=True)
    head.requires_grad_(trains)
    wanted, found = torch.randint(vocabulary, (labels,)), criterion(name)
    leaves = [hidden, *(head.parameters() if trains else ())]
    logits = head(hidden)
    plain = found.losses(logits, wanted).sum()
    expected = torch.autograd.grad(3 * plain, leaves)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loss_at_labels, "ROOM", room)
        total, nll = HeadLoss(head, torch.float32).totals(hidden, wanted, found)
    torch.testing.assert_close(total, plain, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(nll, functional.cross_entropy(logits, wanted, reduction="sum"), rtol=1e-5, atol=1e-5)
    assert not nll.requires_grad
    for one, other in zip(torch.autograd.grad(3 * total, leaves), expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def epochs(loaded: Loaded, criterion: Criterion | None, *, tuning: Tuning = FULL) -> tuple[list[Epoch], list[Tensor]]:
    trainable, batches = apply(loaded.model, tuning), twenty(loaded, encoded(loaded))[:6]
    forward = ForwardPass(loaded.model, criterion=criterion)
    found = list(
        fit(forward, trainable, batches=lambda _: batches, spec=Training(epochs=2), learning_rate=1e-3, seed=0)
    )
    weights = [parameter.detach().clone() for parameter in loaded.model.parameters()]
    reset(loaded.model, trainable)
    return found, weights


def by_torch(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels, reduction="none") * weights


def by_layer(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return nn.CrossEntropyLoss(reduction="none")(logits.view(-1, logits.size(-1)), labels.view(-1))


def own_focal(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    ce = functional.cross_entropy(logits, labels, reduction="none")
    return (1 - torch.exp(-ce)) ** 2 * ce


PAIRS: dict[str, tuple[Criterion | None, Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "cross entropy": (None, by_torch),
    "cross entropy, a layer": (None, by_layer),
    "focal": (CRITERIA["focal"], own_focal),
}


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("family", ["gpt2", "t5", "bart"])
def test_a_function_that_is_the_built_in_trains_the_same_bits(
    tiny: Callable[..., Loaded], family: str, pair: str
) -> None:
    """BART adds to its logits behind the head, so that its loss begins with these."""
    loaded, (built_in, function) = tiny(family), PAIRS[pair]
    assert (ForwardPass(loaded.model).loss is None) == (family == "bart")
    one, weights = epochs(loaded, built_in)
    other, same = epochs(loaded, Criterion(function))
    assert [epoch.losses for epoch in one] == [epoch.losses for epoch in other]
    assert all(torch.equal(a, b) for a, b in zip(weights, same, strict=True))
    assert not torch.equal(weights[0], [*loaded.model.parameters()][0])


@pytest.mark.parametrize("name", TRAININGS)
def test_training_lowers_what_it_minimizes_and_tells_cross_entropy_beside_it(
    tiny: Callable[..., Loaded], name: str
) -> None:
    loaded = tiny("llama")
    (first, second), _ = epochs(loaded, criterion(name))
    assert first.minimized is not None
    assert second.minimized is not None
    assert second.minimized < first.minimized
    plain, _ = epochs(loaded, None)
    assert plain[0].losses[0] == first.losses[0]  # before any step
    assert plain[0].losses[1:] != first.losses[1:]
    assert plain[0].minimized is None


def test_one_that_is_not_by_token_is_given_all_labels_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loss_at_labels, "ROOM", 1)
    seen: list[int] = []

    def counting(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
        seen.append(len(labels))
        return functional.cross_entropy(logits, labels, reduction="none")

    for by_token, expected in ((True, [1, 1, 1, 1]), (False, [4])):
        seen.clear()
        HeadLoss(nn.Linear(3, 5), torch.float32).totals(
            torch.ones(4, 3, requires_grad=True), torch.arange(4), Criterion(counting, by_token)
        )
        assert seen == expected


@pytest.mark.parametrize("tuning", [HEAD, LAST], ids=lambda tuning: tuning.name)
@pytest.mark.parametrize("name", TRAININGS)
@pytest.mark.parametrize("family", ["llama", "t5"])
def test_replayed_equals_live(tiny: Callable[..., Loaded], family: str, name: str, tuning: Tuning) -> None:
    loaded = tiny(family)

    def losses(trunk: Trunk | None) -> list[float | None]:
        trainable, batches = apply(loaded.model, tuning), twenty(loaded, encoded(loaded))
        forward = ForwardPass(loaded.model, trunk, criterion=criterion(name))
        (epoch,) = fit(forward, trainable, batches=lambda _: batches, spec=SPEC, learning_rate=1e-3, seed=0)
        reset(loaded.model, trainable)
        return [*epoch.losses, epoch.minimized]

    assert losses(opened(loaded, tuning)) == pytest.approx(losses(None), rel=1e-6, abs=0)
