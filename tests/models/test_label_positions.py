"""The last block at the wanted positions alone: the same logits and gradients, whatever the positions are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.models.apply_tuning import apply
from harness.models.find_blocks import blocks
from harness.models.last_block import (
    ask_at_labels,
    block_asked_at_labels,
    drops_out,
    modules_at_labels,
    only_at_labels,
)
from harness.models.load import load
from harness.study.axes import Tuning
from harness.testing import FAMILIES

Tiny = Callable[..., Path]

ENCODER_DECODERS = ("t5", "bart", "marian")
CAUSAL = tuple(family for family in FAMILIES if family not in ENCODER_DECODERS)
LAST = Tuning(kind="last_blocks", blocks=1)

SEPARATE = {"self_attn.k_proj", "self_attn.v_proj"}
CROSSING = {"encoder_attn.k_proj", "encoder_attn.v_proj"}
EVERYWHERE = {
    **dict.fromkeys(("llama", "qwen3", "mistral", "gemma3", "opt", "phi"), SEPARATE),
    "gpt2": {"attn.c_attn"},
    "gpt_neox": {"attention.query_key_value"},
    "bloom": {"self_attention.query_key_value"},
    "t5": {"layer.1.EncDecAttention.k", "layer.1.EncDecAttention.v"},
    "bart": CROSSING,
    "marian": CROSSING,
}
"""What makes the keys and values that other positions see. Behind a decoder's own last target nobody looks back."""

WANTED = {
    "somewhere": [(3, 5), (7, 10), (0, 1)],
    "from the start": [(0, 4), (0, 10), (0, 1)],
    "everything": [(0, 10), (0, 10), (0, 10)],
    "the end": [(9, 10), (5, 10), (1, 10)],
}


def pretrained(folder: Path) -> Any:
    return load(str(folder)).model


def batch(model: Any, wanted: str) -> tuple[dict[str, Tensor], Tensor]:
    """Return three padded rows of ten tokens, and where logits are wanted; a decoder is asked from its start on."""
    drawn = torch.Generator().manual_seed(7)
    ids = torch.randint(4, 300, (3, 10), generator=drawn)
    spans = WANTED[wanted]
    if model.config.is_encoder_decoder:
        spans = [(0, end) for _, end in spans]
    mask, chosen = torch.zeros(3, 10, dtype=torch.long), torch.zeros(3, 10, dtype=torch.bool)
    for row, (start, end) in enumerate(spans):
        chosen[row, start:end] = True
        mask[row, : max(end, 4)] = 1
    inputs = {"input_ids": ids, "attention_mask": mask}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = torch.randint(4, 300, (3, 10), generator=drawn)
    return inputs, chosen


def results(
    model: Any,
    inputs: dict[str, Tensor],
    wanted: Tensor,
    modules: tuple[nn.Module, ...],
    late: nn.Module | None = None,
) -> dict[str, Tensor]:
    """Return the wanted logits, and the gradient of a loss on them by all that trains and by the first embeddings."""
    model.zero_grad(set_to_none=True)
    with only_at_labels(modules, wanted), ask_at_labels(late, wanted):
        logits = model(**inputs, use_cache=False).logits[wanted]
    loss = torch.nn.functional.cross_entropy(logits, torch.arange(len(logits)) * 11 % 290, reduction="sum")
    loss.backward()
    return {"logits": logits.detach()} | {
        name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None
    }


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_gradients_are_the_same(tiny_folder: Tiny, family: str) -> None:
    model = pretrained(tiny_folder(family))
    found = modules_at_labels(model)
    assert found
    for wanted in WANTED:
        inputs, mask = batch(model, wanted)
        live, narrow = results(model, inputs, mask, ()), results(model, inputs, mask, found)
        late = results(model, inputs, mask, found, block_asked_at_labels(model))
        assert narrow.keys() == late.keys() == live.keys()
        for name, expected in live.items():
            # key biases have no true gradient, only rounding noise
            bound = 1e-6 * max(expected.abs().max().item(), 1e-1)
            assert (narrow[name] - expected).abs().max().item() <= bound, (wanted, name)
            assert (late[name] - expected).abs().max().item() <= bound, (wanted, name)


@pytest.mark.parametrize("family", FAMILIES)
def test_attention_is_asked_late_where_torch_computes_it_and_targets_stand_at_the_end(
    tiny_folder: Tiny, family: str
) -> None:
    model = pretrained(tiny_folder(family))
    last = blocks(model)[-1].module
    # Bloom multiplies by itself; a decoder is asked from its start on.
    assert block_asked_at_labels(model) is (None if family in ("bloom", *ENCODER_DECODERS) else last)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma3"])
def test_only_queries_from_the_first_target_on_are_asked(tiny_folder: Tiny, family: str) -> None:
    model = pretrained(tiny_folder(family))
    inputs, wanted = batch(model, "the end")
    wanted[:, :4] = False
    asked: list[int] = []
    attention = nn.functional.scaled_dot_product_attention

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is attention:
                asked.append(args[0].size(-2))
            return func(*args, **(kwargs or {}))

    with torch.no_grad(), Watch(), ask_at_labels(block_asked_at_labels(model), wanted):
        asked.clear()
        model(**inputs, use_cache=False)
    assert asked == [*[10] * (len(blocks(model)) - 1), 6]
    assert not any("forward" in vars(module) for module in model.modules())


@pytest.mark.parametrize("family", FAMILIES)
def test_all_but_what_makes_keys_and_values_is_found(tiny_folder: Tiny, family: str) -> None:
    model = pretrained(tiny_folder(family))
    inside = {id(part) for module in modules_at_labels(model) for part in module.modules()}
    everywhere = {
        name
        for name, part in blocks(model)[-1].module.named_modules()
        if id(part) not in inside and any(each.ndim > 1 for each in part.parameters(recurse=False))
    }
    assert everywhere == EVERYWHERE[family]


@pytest.mark.parametrize("family", CAUSAL)
def test_weights_that_begin_at_zero_hide_nothing(tiny_folder: Tiny, family: str) -> None:
    """With a zero output matrix no key or value reaches a logit, until the first step of training."""
    plain, zeroed = pretrained(tiny_folder(family)), pretrained(tiny_folder(family))
    for parameter in blocks(zeroed)[-1].module.parameters():
        parameter.data.zero_()
    names = [{id(each): name for name, each in model.named_modules()} for model in (plain, zeroed)]
    one, other = (
        [own[id(each)] for each in modules_at_labels(m)] for own, m in zip(names, (plain, zeroed), strict=True)
    )
    assert one == other
    assert all(not parameter.any() for parameter in blocks(zeroed)[-1].module.parameters()), "put back"


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_nothing_is_left_behind(tiny_folder: Tiny, family: str) -> None:
    model = pretrained(tiny_folder(family))
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    apply(model, LAST)
    modes = [module.training for module in model.modules()]
    found = modules_at_labels(model)
    assert [module.training for module in model.modules()] == modes
    inputs, wanted = batch(model, "somewhere")
    with pytest.raises(IndexError), only_at_labels(found, wanted):
        model(**{**inputs, "input_ids": inputs["input_ids"] + 9999})
    assert not any("forward" in vars(module) for module in model.modules())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())


def test_other_positions_are_left_out(tiny_folder: Tiny) -> None:
    model = pretrained(tiny_folder("llama"))
    inputs, wanted = batch(model, "somewhere")
    mlp, seen = blocks(model)[-1].module.mlp, list[int]()
    hook = mlp.gate_proj.register_forward_hook(lambda module, args, output: seen.append(args[0].numel() // 32))
    with torch.no_grad(), only_at_labels(modules_at_labels(model), wanted):
        seen.clear()
        model(**inputs, use_cache=False)
    hook.remove()
    assert seen == [int(wanted.sum())]


DROPOUT = {
    "gpt2": {"resid_pdrop": 0.1},
    "phi": {"resid_pdrop": 0.1},
    "opt": {"dropout": 0.1},
    "bart": {"dropout": 0.1},
    "t5": {"dropout_rate": 0.1},
    "llama": {"attention_dropout": 0.1},
    "bloom": {"hidden_dropout": 0.1},
}


@pytest.mark.parametrize("family", DROPOUT)
def test_dropout_is_seen_where_it_is_drawn(tiny_folder: Tiny, family: str) -> None:
    model = pretrained(tiny_folder(family, **DROPOUT[family]))
    state = torch.get_rng_state()
    assert not drops_out(model), "in eval mode"
    apply(model, LAST)
    assert drops_out(model)
    assert blocks(model)[-1].module.training
    assert not blocks(model)[0].module.training
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("family", FAMILIES)
def test_without_dropout_none_is_seen(tiny_folder: Tiny, family: str) -> None:
    model = pretrained(tiny_folder(family))
    apply(model, Tuning(kind="full"))
    assert not drops_out(model)
