"""The private parts of torch that are used: that they are there, and do what they are used for."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import flop_registry

from harness.training.torch_compat import FLOP_FORMULAS, NAMED_LIKE, has_onednn_linear, onednn_linear, operator


@pytest.mark.parametrize("with_bias", [False, True])
def test_onednn_multiplies(with_bias: bool) -> None:
    if not has_onednn_linear():
        pytest.skip("this torch was built without oneDNN")
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(5, 7, generator=generator), torch.randn(3, 7, generator=generator)
    bias = torch.randn(3, generator=generator) if with_bias else None
    expected = left @ right.t() + (bias if bias is not None else 0)
    torch.testing.assert_close(onednn_linear(left, right, bias), expected)


@pytest.mark.parametrize("name", NAMED_LIKE)
def test_operators_without_a_formula_take_another_one_s(name: str) -> None:
    own, like = getattr(torch.ops.aten, name), getattr(torch.ops.aten, NAMED_LIKE[name])
    assert own not in flop_registry, "torch has a formula by now: take the name off the list"
    assert FLOP_FORMULAS[own] is flop_registry[like]


def test_an_overload_is_known_by_its_operator() -> None:
    assert operator(torch.ops.aten.mm.default) is torch.ops.aten.mm
    assert operator(torch.mm) is torch.mm
