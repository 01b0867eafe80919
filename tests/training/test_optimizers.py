"""Optimizers against plain loops of torch and transformers over the same batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import get_scheduler
from transformers.optimization import Adafactor

from harness.models.apply_tuning import apply, reset
from harness.models.block_rates import rate_factors
from harness.models.load import Loaded
from harness.study.axes import Tuning
from harness.study.spec import Training
from harness.training.batching import Batch
from harness.training.loop import fit
from harness.training.loss import ForwardPass
from harness.training.optimizers import decay_groups, optimizer_of
from tests.support.training_runs import LAST, STEPS, encoded, opened, twenty

FULL = Tuning(kind="full")

PLAIN: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "adafactor": lambda groups, lr: Adafactor(
        groups,
        lr=lr,
        eps=(1e-30, 1e-3),
        clip_threshold=1.0,
        decay_rate=-0.8,
        scale_parameter=False,
        relative_step=False,
    ),
    "sgd": lambda groups, lr: torch.optim.SGD(groups, lr=lr, momentum=0.9),
}
RATES = {"adamw": 1e-3, "adafactor": 1e-3, "sgd": 0.1}


def ours(loaded: Loaded, spec: Training, rate: float, *, tuning: Tuning = FULL, trunk: Any = None) -> list[float]:
    trainable, batches = apply(loaded.model, tuning), twenty(loaded, encoded(loaded))
    (epoch,) = fit(
        ForwardPass(loaded.model, trunk), trainable, batches=lambda _: batches, spec=spec, learning_rate=rate, seed=0
    )
    assert len(epoch.losses) == STEPS
    return list(epoch.losses)


def plain_nll(loaded: Loaded, batch: Batch) -> Tensor:
    """Return the mean over the labels, as the model itself computes it."""
    loss: Tensor = loaded.model(**batch.inputs).loss
    return loss


def plain_losses(loaded: Loaded, optimizer: torch.optim.Optimizer) -> Iterator[float]:
    """Train as any script does: backward, clip, step, schedule."""
    schedule = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=STEPS)
    moving = [p for p in loaded.model.parameters() if p.requires_grad]
    for batch in twenty(loaded, encoded(loaded)):
        loss = plain_nll(loaded, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(moving, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        yield loss.item()


def assert_same(one: Loaded, other: Loaded) -> None:
    pairs = zip(one.model.named_parameters(), other.model.parameters(), strict=True)
    for (name, mine), theirs in pairs:
        if name.endswith("c_attn.bias"):
            continue  # a part of it is the keys' bias, whose gradient is rounding noise, by which Adafactor scales all
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=5e-5, msg=name)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_twenty_steps_equal_a_plain_loop(tiny: Callable[..., Loaded], family: str, name: str) -> None:
    mine, theirs = tiny(family), tiny(family)
    steps = ours(mine, Training(epochs=1, optimizer=name, weight_decay=0.1), RATES[name])
    optimizer = PLAIN[name](decay_groups(theirs.model, 0.1), lr=RATES[name])
    assert steps == pytest.approx(list(plain_losses(theirs, optimizer)), rel=1e-5)
    assert steps[-1] != steps[0]
    assert_same(mine, theirs)


@pytest.mark.parametrize("name", PLAIN)
def test_block_decay_equals_a_plain_loop_with_a_rate_for_each_parameter(tiny: Callable[..., Loaded], name: str) -> None:
    """A GPT-2 of three blocks: its embeddings at the fourth power, the head, tied to them, with them."""
    mine, theirs, decay = tiny("gpt2"), tiny("gpt2"), 0.5
    steps = ours(mine, Training(epochs=1, optimizer=name, block_decay=decay), RATES[name])
    powers = {"transformer.wte": 3, "transformer.wpe": 3, "transformer.h.0": 2, "transformer.h.1": 1}
    groups = [
        {"params": [p], "lr": RATES[name] * decay ** next((n for part, n in powers.items() if k.startswith(part)), 0)}
        for k, p in theirs.model.named_parameters()
    ]
    optimizer = PLAIN[name](groups, lr=RATES[name])
    assert steps == pytest.approx(list(plain_losses(theirs, optimizer)), rel=1e-5)
    assert_same(mine, theirs)


@pytest.mark.parametrize("name", ["adafactor", "sgd"])
def test_replayed_equals_live(tiny: Callable[..., Loaded], name: str) -> None:
    spec, live, replayed = Training(epochs=1, optimizer=name, block_decay=0.7), tiny("llama"), tiny("llama")
    steps = ours(live, spec, RATES[name], tuning=LAST)
    assert ours(replayed, spec, RATES[name], tuning=LAST, trunk=opened(replayed, LAST)) == pytest.approx(
        steps, rel=1e-6
    )
    for one, other in zip(live.model.parameters(), replayed.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


T5 = {
    "shared.weight": 5,
    "encoder.block.0.layer.0.SelfAttention.q.weight": 4,
    "encoder.block.2.layer.1.DenseReluDense.wo.weight": 2,
    "encoder.final_layer_norm.weight": 2,
    "decoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight": 1,
    "decoder.block.1.layer.2.layer_norm.weight": 0,
    "decoder.final_layer_norm.weight": 0,
}
LLAMA = {
    "model.embed_tokens.weight": 3,
    "model.layers.0.mlp.up_proj.weight": 2,
    "model.layers.2.input_layernorm.weight": 0,
    "model.norm.weight": 0,
    "lm_head.weight": 0,
}


@pytest.mark.parametrize(("family", "depths"), [("t5", T5), ("llama", LLAMA)], ids=["t5", "llama"])
def test_how_far_below_the_last_block_weights_lie(
    tiny: Callable[..., Loaded], family: str, depths: dict[str, int]
) -> None:
    model = tiny(family).model
    factors = {name: rate_factors(model, 0.5)[parameter] for name, parameter in model.named_parameters()}
    assert {name: factors[name] for name in depths} == {name: 0.5**depth for name, depth in depths.items()}


def test_an_untied_head_learns_at_the_whole_rate(tiny: Callable[..., Loaded]) -> None:
    model = tiny("gpt2").model
    trainable = apply(model, Tuning(kind="head"))
    (group,) = [g for g in optimizer_of(model, Training(block_decay=0.5), 0.1).param_groups if g["params"]]
    assert group["lr"] == 0.1
    reset(model, trainable)


def test_without_block_decay_the_groups_are_the_two_that_they_were(tiny: Callable[..., Loaded]) -> None:
    model = tiny("gpt2").model
    groups = optimizer_of(model, Training(weight_decay=0.1), 0.1).param_groups
    assert [group["weight_decay"] for group in groups] == [0.1, 0.0]
    assert [group["lr"] for group in groups] == [0.1, 0.1]
