"""Attention asked late: the same answers from the first wanted position on, however it is called."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from harness.models.last_block import ask_at_labels

POSITIONS = 9
PAST = torch.ones(POSITIONS, POSITIONS, dtype=torch.bool).tril()
WINDOW = PAST & ~PAST.tril(-4)
PADDED = torch.ones(2, 1, 1, POSITIONS, dtype=torch.bool)
PADDED[1, ..., -2:] = False

Ask = Callable[[Tensor, Tensor, Tensor], Tensor]

WAYS: dict[str, Ask] = {
    "causal": lambda q, k, v: scaled_dot_product_attention(q, k, v, is_causal=True),
    "causal by place": lambda q, k, v: scaled_dot_product_attention(q, k, v, None, 0.0, True),
    "by name": lambda q, k, v: scaled_dot_product_attention(query=q, key=k, value=v, is_causal=True, scale=0.3),
    "window": lambda q, k, v: scaled_dot_product_attention(q, k, v, WINDOW),
    "a mask for each row": lambda q, k, v: scaled_dot_product_attention(q, k, v, attn_mask=PAST & PADDED),
    "a mask for all queries": lambda q, k, v: scaled_dot_product_attention(q, k, v, PADDED),
    "added": lambda q, k, v: scaled_dot_product_attention(
        q, k, v, torch.zeros(WINDOW.shape).masked_fill(~WINDOW, -9.0)
    ),
    "grouped": lambda q, k, v: scaled_dot_product_attention(q, k[:, :2], v[:, :2], is_causal=True, enable_gqa=True),
    "fewer queries": lambda q, k, v: scaled_dot_product_attention(q[..., 2:, :], k, v),
}


class Block(nn.Module):
    """Attention alone."""

    def __init__(self, ask: Ask) -> None:
        super().__init__()
        self.forward = ask


@pytest.mark.parametrize("way", WAYS)
def test_answers_and_gradients_from_the_first_wanted_position_on(way: str) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(2, 4, POSITIONS, 8, requires_grad=True) for _ in range(3)]
    block, wanted = Block(WAYS[way]), torch.zeros(2, POSITIONS, dtype=torch.bool)
    wanted[0, 7:] = wanted[1, 5:6] = True
    seen: list[bool] = []
    plain = block(*inputs)
    with ask_at_labels(block, wanted, seen=lambda: seen.append(True)):
        late = block(*inputs)
    is_whole = way == "fewer queries"
    first = 0 if is_whole else 5
    assert seen == ([] if is_whole else [True])
    torch.testing.assert_close(late[..., first:, :], plain[..., first:, :], rtol=1e-6, atol=1e-6)
    assert not late[..., :first, :].any()
    weights = torch.randn(plain[..., first:, :].shape)
    one, other = (torch.autograd.grad((out[..., first:, :] * weights).sum(), inputs) for out in (plain, late))
    for expected, found in zip(one, other, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("wanted", [torch.zeros(2, POSITIONS, dtype=torch.bool), torch.eye(2, POSITIONS).bool()])
def test_nothing_is_left_out_where_nothing_may_be(wanted: Tensor) -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(2, 4, POSITIONS, 8) for _ in range(3)]
    block = Block(WAYS["causal"])
    with ask_at_labels(block, wanted):
        assert torch.equal(block(*inputs), WAYS["causal"](*inputs))
    with ask_at_labels(None, wanted):
        assert torch.equal(block(*inputs), WAYS["causal"](*inputs))
