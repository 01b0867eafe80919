"""Norms, attention and feed-forward parts of families with something odd, against lists written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.core.errors import ModelError
from harness.models.apply_tuning import apply
from harness.models.find_blocks import anatomy
from harness.models.find_sublayers import Sublayers, sublayers
from harness.models.load import load
from harness.study.axes import Tuning
from tests.support.first_of_kind import first_of_kind
from tests.support.odd_models import odd_model

BERT = ("attention.self", "attention.output.dense"), ("intermediate.dense", "output.dense")

ODD: list[tuple[str, list[tuple[tuple[str, ...], tuple[str, ...]]]]] = [
    ("bert_decoder", [BERT] * 3),
    ("xlnet", [(("rel_attn",), ("ff",))] * 3),
    ("apertus", [(("self_attn",), ("mlp",))] * 3),
    ("gemma3n", [(("self_attn",), ())] * 4),
    ("rwkv", [((), ())] * 3),
    ("jamba", [((), ()), (("self_attn",), ()), ((), ())]),
    ("zamba2", [((), ()), (("shared_transformer.self_attn",), ())] * 2 + [((), ())]),
    ("ernie4_5_moe", [(("self_attn",), ("mlp",)), (("self_attn",), ()), (("self_attn",), ())]),
    (
        "switch",
        [
            (("layer.0.SelfAttention",), ("layer.1.mlp",)),
            (("layer.0.SelfAttention",), ()),
            (("layer.0.SelfAttention",), ("layer.1.mlp",)),
            (("layer.0.SelfAttention", "layer.1.EncDecAttention"), ("layer.2.mlp",)),
            (("layer.0.SelfAttention", "layer.1.EncDecAttention"), ()),
            (("layer.0.SelfAttention", "layer.1.EncDecAttention"), ("layer.2.mlp",)),
        ],
    ),
]
"""Of each block, encoder first: its attention, and its feed-forward part; none where it is a mixture of experts, a
state space, or one of several."""


def found(model: Any) -> tuple[Sublayers, list[tuple[tuple[str, ...], tuple[str, ...]]]]:
    parts = anatomy(model).blocks
    seen = sublayers(model, parts)
    below = [
        tuple(tuple(path.removeprefix(f"{block.name}.") for path in paths[block.name]) for paths in seen[1:])
        for block in parts
    ]
    return seen, below  # type: ignore[return-value]


@pytest.mark.parametrize(("name", "expected"), first_of_kind(ODD))
def test_parts_of_odd_families(name: str, expected: Any, tmp_path: Path) -> None:
    model = load(str(odd_model(name, tmp_path))).model
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    generator = torch.random.get_rng_state()
    seen, below = found(model)
    assert below == expected
    norms = {module for module in model.modules() if "Norm" in type(module).__name__ and [*module.parameters()]}
    assert {model.get_submodule(path) for path in seen.norms} == norms
    assert torch.equal(torch.random.get_rng_state(), generator)
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs")
    assert not any(getattr(module, kind) for module in model.modules() for kind in hooks)


class Tanh(nn.Module):
    """An activation with a weight, as vectors alone as a norm has them."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.full((1,), 0.1))

    def forward(self, values: Tensor) -> Tensor:
        return values * torch.sigmoid(self.slope * values)


class Scale(nn.Module):
    """A scale for each feature, of zeros as LayerScale may begin."""

    def __init__(self, module: nn.Module, width: int) -> None:
        super().__init__()
        self.module, self.gamma = module, Gamma(width)

    def forward(self, values: Tensor) -> Tensor:
        scaled: Tensor = self.gamma(self.module(values))
        return scaled


class Gamma(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(width))

    def forward(self, values: Tensor) -> Tensor:
        return self.weight * values


def test_what_has_vectors_alone_and_is_no_norm(tiny_folder: Any) -> None:
    model: Any = load(str(tiny_folder("llama"))).model
    before, _ = found(model)
    for layer in model.model.layers:
        layer.mlp.act_fn = Tanh()
        layer.mlp = Scale(layer.mlp, 32)
    after, below = found(model)
    assert after.norms == before.norms
    assert below == [(("self_attn",), ("mlp.module",))] * 3


@pytest.mark.parametrize(
    ("name", "tuning", "message"),
    [
        ("jamba", Tuning(kind="attention"), r"layers\.0 has no attention .*; name blocks that have one, \[1\], or"),
        ("jamba", Tuning(kind="attention", blocks="last-1"), r"tuning attention-last-1: .*layers\.2 has no attention"),
        (
            "ernie4_5_moe",
            Tuning(kind="feed_forward", blocks="last-1"),
            r"layers\.2 has beside its attention no one feed",
        ),
        ("rwkv", Tuning(kind="attention"), r"blocks\.0 has no attention in a module of its own; take whole blocks"),
    ],
)
def test_what_has_no_such_part_is_refused(name: str, tuning: Tuning, message: str, tmp_path: Path) -> None:
    model = load(str(odd_model(name, tmp_path))).model
    with pytest.raises(ModelError, match=message):
        apply(model, tuning)


def test_blocks_that_have_a_part_train_it(tmp_path: Path) -> None:
    model = load(str(odd_model("jamba", tmp_path))).model
    assert apply(model, Tuning(kind="attention", blocks="1-1")).modules == ("model.layers.1.self_attn",)
