"""Products by oneDNN against float64 and against torch's own, on any processor: here they are wanted everywhere."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers.pytorch_utils import Conv1D

from harness.models.find_blocks import blocks
from harness.models.last_block import block_asked_at_labels, modules_at_labels
from harness.models.load import Loaded
from harness.testing import FAMILIES
from harness.training import fast_matmul as products
from harness.training.activation_cache.keys import recording_keys
from harness.training.batching import loss_batches
from harness.training.cost_meter.flops import counted
from harness.training.evaluation import Decoding, generate, prompts_of
from harness.training.fast_matmul import install, is_faster, is_installed, product
from harness.training.loss import ForwardPass
from harness.training.torch_compat import onednn_linear
from tests.support.first_of_kind import first_of_kind
from tests.support.training_runs import LAST, encoded, opened, trained, without_key_bias

pytestmark = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available() or torch.backends.cpu.get_cpu_capability() == "DEFAULT",
    reason="this torch has no oneDNN for this processor",
)

SIZE = st.integers(1, 70)
Model = Callable[..., Loaded]


@pytest.fixture(autouse=True)
def anywhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take every processor for one on which oneDNN is faster."""
    is_faster.cache_clear()
    monkeypatch.setattr(products, "is_faster", lambda: True)
    yield
    is_faster.cache_clear()


def installed(loaded: Loaded) -> Loaded:
    install(loaded.model)
    assert is_installed(loaded.model)
    return loaded


def layer(width: int, out: int, *, bias: bool, turned: bool) -> nn.Module:
    """Return a linear layer, or GPT-2's kind, as `install` makes it of one in a model."""
    made = Conv1D(out, width) if turned else nn.Linear(width, out, bias=bias)
    made.device = torch.device("cpu")
    install(made)  # type: ignore[arg-type]
    assert is_installed(made)
    return made


# One layer


@settings(max_examples=60, deadline=None)
@example(rows=0, width=3, out=2, bias=True, turned=False, trains=True, passes=True)
@given(
    rows=st.integers(0, 70),
    width=SIZE,
    out=SIZE,
    bias=st.booleans(),
    turned=st.booleans(),
    trains=st.booleans(),
    passes=st.booleans(),
)
def test_forward_and_gradients_are_those_of_float64(
    rows: int, width: int, out: int, bias: bool, turned: bool, trains: bool, passes: bool
) -> None:
    made = layer(width, out, bias=bias, turned=turned).requires_grad_(trains)
    values = torch.randn(2, rows, width).requires_grad_(passes)
    weight = made.weight.t() if turned else made.weight
    inputs = [each.detach().double().requires_grad_(True) for each in (values, weight)]
    added = made.bias.detach().double().requires_grad_(True) if made.bias is not None else None
    slope = torch.randn(2, rows, out)

    found, exact = made(values), linear(*inputs, added)
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=1e-5)
    assert found.requires_grad == (trains or passes)
    if not found.requires_grad:
        return
    found.backward(slope)
    exact.backward(slope.double())
    for one, other, moves in (
        (values.grad, inputs[0].grad, passes),
        (made.weight.grad, inputs[1].grad.t() if turned else inputs[1].grad, trains),
        (None if made.bias is None else made.bias.grad, None if added is None else added.grad, trains),
    ):
        assert (one is None) == (other is None or not moves)
        if one is not None:
            torch.testing.assert_close(one.double(), other, rtol=1e-5, atol=1e-5)


def test_gradients_of_a_sum() -> None:
    """Every row's slope is one number in memory."""
    made, values = layer(5, 3, bias=True, turned=False), torch.randn(7, 5, requires_grad=True)
    made(values).sum().backward()
    torch.testing.assert_close(values.grad, made.weight.detach().sum(0).expand(7, 5))
    torch.testing.assert_close(made.weight.grad, values.detach().sum(0).expand(3, 5))
    assert made.bias.grad.tolist() == [7.0, 7.0, 7.0]


@pytest.mark.parametrize(("trains", "passes"), [(True, False), (False, True), (True, True)])
def test_only_what_the_backward_pass_needs_is_kept(trains: bool, passes: bool) -> None:
    made = layer(64, 96, bias=False, turned=False).requires_grad_(trains)
    values = torch.randn(32, 64, requires_grad=passes)
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        made(values)
    expected = [*([values] if trains else []), *([made.weight] if passes else [])]
    assert [tensor.data_ptr() for tensor in kept] == [tensor.data_ptr() for tensor in expected]


@settings(max_examples=60, deadline=None)
@given(rows=st.integers(1, 300), first=st.integers(0, 299), count=st.integers(1, 300), width=SIZE, out=SIZE)
def test_what_a_row_becomes_does_not_depend_on_others(rows: int, first: int, count: int, width: int, out: int) -> None:
    made = layer(width, out, bias=True, turned=False)
    values = torch.randn(rows, width)
    with torch.no_grad():
        whole, some = made(values), made(values[first : first + count])
    assert torch.equal(some, whole[first : first + count])


def test_a_copied_layer_has_weights_of_its_own() -> None:
    made = layer(3, 2, bias=True, turned=False)
    twin = copy.deepcopy(made)
    with torch.no_grad():
        twin.weight.zero_()
        assert made(torch.ones(1, 3)).tolist() != twin(torch.ones(1, 3)).tolist() == [twin.bias.tolist()]


def test_products_of_matrices_with_any_strides() -> None:
    left, right = torch.randn(40, 30).t(), torch.randn(40, 50).t()
    torch.testing.assert_close(onednn_linear(left, right), left @ right.t(), rtol=1e-5, atol=1e-5)


def test_a_product_is_made_by_its_modules_library(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Tensor] = []
    monkeypatch.setattr(products, "onednn_linear", lambda left, right: calls.append(left) or left @ right.t())
    left, right = torch.randn(2, 3), torch.randn(4, 3)
    assert torch.equal(product(nn.Linear(3, 4), left, right), left @ right.t())
    assert calls == []
    product(layer(3, 4, bias=False, turned=False), left, right)
    assert len(calls) == 1


# Where it is installed


@pytest.mark.parametrize(
    ("capability", "maker", "expected"),
    [
        ("AVX512", "AuthenticAMD family 26 AMD EPYC 9355", True),
        ("AVX512", "AMD64 Family 26 Model 68 Stepping 0, AuthenticAMD", True),
        ("AVX512", "AuthenticAMD family 25 AMD EPYC 9554", False),
        ("AVX512", "AuthenticAMD AMD EPYC", False),
        ("AVX512", "GenuineIntel family 6 Intel(R) Xeon(R)", False),
        ("AVX2", "AuthenticAMD family 26 AMD EPYC 9355", False),
        ("AVX512", "", False),
    ],
)
def test_the_rule(monkeypatch: pytest.MonkeyPatch, capability: str, maker: str, expected: bool) -> None:
    if not torch.backends.mkl.is_available():
        pytest.skip("this torch has no MKL to be slow")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(products, "processor", lambda: maker)
    assert is_faster.__wrapped__() is expected


def test_a_processor_with_another_library_keeps_it(tiny: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "is_faster", lambda: False)
    loaded = tiny("llama")
    install(loaded.model)
    assert not is_installed(loaded.model)


def test_weights_of_another_type_keep_their_library(tiny: Model) -> None:
    loaded = tiny("llama")
    loaded.model.bfloat16()
    install(loaded.model)
    assert not is_installed(loaded.model)


def test_recordings_of_two_libraries_have_two_names(tiny: Model) -> None:
    loaded = tiny("llama")

    def key() -> str:
        return recording_keys(loaded, "fp32", "loss", ["a"], [], [])["a"]

    before = key()
    assert before == key()
    install(loaded.model)
    assert before != key()


# Whole models


@pytest.mark.parametrize("family", first_of_kind(FAMILIES))
def test_twenty_steps(tiny: Model, family: str) -> None:
    """Replay gives the very numbers of the live pass, and they are torch's own but for rounding."""
    expected = trained(tiny(family), LAST, None)
    loaded = installed(tiny(family))
    live, replayed = trained(loaded, LAST, None), trained(loaded, LAST, opened(loaded, LAST))
    assert replayed.steps == pytest.approx(live.steps, rel=1e-6, abs=0)
    assert replayed.nlls == pytest.approx(live.nlls, rel=1e-6, abs=0)
    assert live.steps == pytest.approx(expected.steps, rel=1e-5, abs=0)
    for name, tensor in expected.tensors.items():
        one, other = (without_key_bias(loaded, name, each) for each in (live.tensors[name], tensor))
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("family", FAMILIES)
def test_generated_tokens_are_the_same(tiny: Model, family: str) -> None:
    decoding = Decoding(max_new_tokens=6, num_beams=1, stop=(), batch_size=4)
    loaded = tiny(family)
    rows = encoded(loaded)
    prompts = prompts_of(rows, loaded, decoding)
    expected = generate(loaded, prompts, decoding)
    assert generate(installed(loaded), prompts, decoding) == expected


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
def test_operations_are_counted_as_ever(tiny: Model, family: str) -> None:
    loaded = tiny(family)
    (batch, *_) = loss_batches(encoded(loaded), loaded, batch_size=3)

    def operations() -> list[float]:
        model = loaded.model
        forward = ForwardPass(model, at_labels=modules_at_labels(model), asked_at_labels=block_asked_at_labels(model))
        with counted(blocks(model)) as parts:
            torch.autograd.grad(forward.total_nll(batch), [*model.parameters()], allow_unused=True)
        return parts.tolist()

    before = operations()
    installed(loaded)
    assert sum(before) > 0
    assert operations() == before
