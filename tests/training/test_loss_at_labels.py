"""The loss straight from hidden states, against torch's cross entropy on plain logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from harness.models.load import Loaded
from harness.testing import FAMILIES
from harness.training import loss_at_labels as head_loss
from harness.training.loss import ForwardPass
from harness.training.loss_at_labels import HeadLoss


class Found(NamedTuple):
    """A loss with its gradients; ``None`` where nothing asked for one."""

    total: Tensor
    nlls: Tensor
    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


def make(
    labels: int, width: int, vocabulary: int, *, bias: bool = True, trains: bool = True, scale: float = 1.0
) -> tuple[nn.Linear, Tensor, Tensor]:
    """Return a head, hidden states and labels."""
    generator = torch.Generator().manual_seed(labels * 1000 + width * 100 + vocabulary)
    head = nn.Linear(width, vocabulary, bias=bias).requires_grad_(trains)
    for parameter in head.parameters():
        parameter.data.normal_(0, scale, generator=generator)
    hidden = torch.randn(labels, width, generator=generator).requires_grad_()
    return head, hidden, torch.randint(0, vocabulary, (labels,), generator=generator)


def gradients(total: Tensor, head: nn.Linear, hidden: Tensor) -> list[Tensor | None]:
    for leaf in (hidden, *head.parameters()):
        leaf.grad = None
    (3 * total).backward()  # a factor that must come through
    return [hidden.grad, head.weight.grad, None if head.bias is None else head.bias.grad]


def ours(loss: HeadLoss, hidden: Tensor, labels: Tensor) -> Found:
    total = loss.total(hidden, labels)
    return Found(total.detach(), loss.nlls(hidden, labels), *gradients(total, loss.head, hidden))


def plain(head: nn.Linear, hidden: Tensor, labels: Tensor) -> Found:
    nlls = cross_entropy(head(hidden), labels, reduction="none")
    return Found(nlls.sum().detach(), nlls.detach(), *gradients(nlls.sum(), head, hidden))


def compare(found: Found, expected: Found, **bounds: float) -> None:
    for name in Found._fields:
        one, other = getattr(found, name), getattr(expected, name)
        assert (one is None) == (other is None), name
        if one is not None:
            torch.testing.assert_close(one, other, msg=lambda text, name=name: f"{name}: {text}", **bounds)


CLOSE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("trains", [True, False])
@pytest.mark.parametrize("at_once", [1, 3, 7, 100])
def test_values_and_gradients(monkeypatch: pytest.MonkeyPatch, at_once: int, trains: bool, bias: bool) -> None:
    monkeypatch.setattr(head_loss, "ROOM", 50 * at_once)
    head, hidden, labels = make(7, 6, 50, bias=bias, trains=trains)
    loss = HeadLoss(head, torch.float32)
    expected = plain(head, hidden, labels)
    assert (expected.weight is not None) == trains
    compare(ours(loss, hidden, labels), expected, **CLOSE)
    with torch.no_grad():
        assert sum(1 for _ in loss.slices(hidden, labels)) == -(-7 // at_once)


@settings(max_examples=60, deadline=None)
@given(
    labels=st.integers(1, 12),
    width=st.integers(1, 9),
    vocabulary=st.integers(2, 40),
    room=st.integers(1, 500),
    trains=st.booleans(),
)
def test_any_shape(labels: int, width: int, vocabulary: int, room: int, trains: bool) -> None:
    head, hidden, wanted = make(labels, width, vocabulary, trains=trains)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head_loss, "ROOM", room)
        compare(ours(HeadLoss(head, torch.float32), hidden, wanted), plain(head, hidden, wanted), **CLOSE)


@pytest.mark.parametrize("scale", [1e4, 30.0, 1e-4])
def test_logits_of_any_size(scale: float) -> None:
    head, hidden, labels = make(9, 1, 12, bias=False, scale=scale)
    expected = plain(head.double(), hidden.double().detach().requires_grad_(), labels)
    found = ours(HeadLoss(head.float(), torch.float32), hidden, labels)
    expected = Found(*(each.float() for each in expected[:4]), None)
    compare(found, expected, rtol=1e-5, atol=1e-6 * max(1.0, scale))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_one_token_that_is_certain_or_out_of_the_question(sign: float) -> None:
    head = nn.Linear(1, 3, bias=False)
    head.weight.data = torch.tensor([[sign * 1e4], [0.0], [0.0]])
    hidden, labels = torch.ones(2, 1, requires_grad=True), torch.tensor([0, 1])
    found = ours(HeadLoss(head, torch.float32), hidden, labels)
    assert all(each is None or bool(each.isfinite().all()) for each in found)
    compare(found, plain(head, hidden, labels), **CLOSE)


def test_large_equal_logits_do_not_hide_the_loss() -> None:
    """What all logits share cancels: near 1e4 float32 steps by 1e-3, but the differences are exact."""
    head = nn.Linear(1, 4, bias=False).requires_grad_(False)
    head.weight.data = torch.tensor([[8192.0], [8192.0], [8192.0], [8191.0]])
    nlls = HeadLoss(head, torch.float32).nlls(torch.ones(2, 1), torch.tensor([0, 3]))
    expected = cross_entropy(head.weight.double().T.expand(2, 4), torch.tensor([0, 3]), reduction="none")
    torch.testing.assert_close(nlls, expected.float(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("trains", [True, False])
def test_bfloat16_products_equal_autocasts(trains: bool) -> None:
    head, hidden, labels = make(40, 16, 60, trains=trains)
    with torch.autocast("cpu", torch.bfloat16):
        nlls = cross_entropy(head(hidden).float(), labels, reduction="none")
    expected = Found(nlls.sum().detach(), nlls.detach(), *gradients(nlls.sum(), head, hidden))
    found = ours(HeadLoss(head, torch.bfloat16), hidden, labels)
    torch.testing.assert_close(found.nlls, expected.nlls, rtol=1e-2, atol=4e-2)  # two steps of a logit near 4
    for one, other in zip(found[2:], expected[2:], strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert one.dtype == torch.float32
            assert (one - other).norm() <= 1e-2 * other.norm()
    exact = plain(head, hidden, labels)
    assert not torch.equal(found.nlls, exact.nlls), "nothing was rounded: the products were not bfloat16"
    assert found.nlls.dtype == torch.float32


def test_a_frozen_matrix_is_converted_once_and_a_trained_one_whenever_it_is_used() -> None:
    head, hidden, labels = make(3, 4, 10, trains=False)
    loss = HeadLoss(head, torch.bfloat16)
    assert loss.weight() is loss.weight()
    head.requires_grad_(True)
    before = loss.nlls(hidden, labels)
    with torch.no_grad():
        head.weight += 1.0
        head.weight[0] += 3.0
    assert torch.equal(loss.weight(), head.weight.detach().to(torch.bfloat16))
    assert not torch.equal(loss.nlls(hidden, labels), before)


def test_what_was_returned_outlives_the_next_use_of_the_memory() -> None:
    head, hidden, labels = make(5, 4, 20)
    loss = HeadLoss(head, torch.float32)
    total, nlls = loss.total(hidden, labels), loss.nlls(hidden, labels)
    kept = total.detach().clone(), nlls.clone()
    _, others, more = make(9, 4, 20)
    loss.nlls(others, more)
    loss.total(others, more)
    assert torch.equal(total.detach(), kept[0])
    assert torch.equal(nlls, kept[1])
    found = gradients(total, head, hidden)  # the backward pass comes after both
    for one, other in zip(found, plain(head, hidden, labels)[2:], strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


def test_only_a_head_with_nothing_behind_it_is_cut_short(tiny: Callable[..., Loaded]) -> None:
    """BART and Marian add a bias, Gemma may squash its logits, and any model may scale them where they are."""
    found = {family: ForwardPass(tiny(family).model).loss for family in FAMILIES}
    assert {family for family, loss in found.items() if loss is None} == {"bart", "marian"}
    assert ForwardPass(tiny("gemma3", final_logit_softcapping=5.0).model).loss is None
    scaled = tiny("llama").model

    def halve(module: object, args: object, output: Any) -> None:
        output.logits.mul_(0.5)

    scaled.register_forward_hook(halve)
    assert ForwardPass(scaled).loss is None


def test_nothing_is_kept_for_a_second_backward_pass() -> None:
    head, hidden, labels = make(3, 4, 10)
    total = HeadLoss(head, torch.float32).total(hidden, labels)
    total.backward(retain_graph=True)
    first = hidden.grad.clone()
    with pytest.raises(AttributeError):
        total.backward()
    assert torch.equal(hidden.grad, first)
