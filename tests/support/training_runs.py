"""Twenty steps on rows of many lengths, live or replayed, for the tests that compare two ways to train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from harness.core.example import Example
from harness.data.template import Template
from harness.data.tokenization import Limits, Row, encode
from harness.models.apply_tuning import apply, reset
from harness.models.find_blocks import blocks
from harness.models.frozen.replay import Trunk, first_trained
from harness.models.last_block import block_asked_at_labels, modules_at_labels
from harness.models.load import Loaded
from harness.study.axes import Tuning
from harness.study.spec import Training
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.memory import ActivationMemory
from harness.training.batching import Batch, loss_batches
from harness.training.evaluation import likelihoods
from harness.training.loop import fit
from harness.training.loss import ForwardPass

WORDS = ["a", "short", "note", "about", "the", "meeting", "it", "moved", "to", "Tuesday", "and", "room", "is", "booked"]
EXAMPLES = [
    Example(str(i), {"source": " ".join(WORDS[i % 5 : 5 + i * 2 % 11])}, " ".join(WORDS[i % 7 : i % 7 + 1 + i % 6]))
    for i in range(14)
]
STEPS = 20
SPEC = Training(epochs=1)
RATE = 1e-3
HEAD, LAST, LAST_TWO = Tuning(kind="head"), *(Tuning(kind="last_blocks", blocks=count) for count in (1, 2))


class Trained(NamedTuple):
    """What training left."""

    steps: list[float]
    """Losses."""
    nlls: list[float]
    """Of every row, afterwards."""
    tensors: dict[str, Tensor]
    """What trained."""


def encoded(loaded: Loaded) -> list[Row]:
    return list(encode(EXAMPLES, Template("t", "{{ source }}\nSummary:"), loaded, limits=Limits(60, 40)).rows)


def twenty(loaded: Loaded, rows: Sequence[Row]) -> list[Batch]:
    """Return batches of several epochs: rows have other companions in each."""
    found: list[Batch] = []
    for epoch in range(STEPS):
        found += loss_batches(rows, loaded, batch_size=3, order=np.random.default_rng([0, epoch]))
    return found[:STEPS]


@contextmanager
def counting(model: Any) -> Iterator[list[nn.Module]]:
    """Note each call of a module inside the frozen blocks."""
    calls: list[nn.Module] = []
    frozen = [block.module for block in blocks(model)[: first_trained(model)]]
    inside = [each for block in frozen for each in block.modules() if each is not block]
    hooks = [each.register_forward_hook(lambda module, *_: calls.append(module)) for each in inside]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def trained(loaded: Loaded, tuning: Tuning, trunk: Trunk | None) -> Trained:
    """Train, score, and put the model back; the tuning must have been applied."""
    model, rows = loaded.model, encoded(loaded)
    trainable = apply(model, tuning)
    batches = twenty(loaded, rows)
    forward = ForwardPass(
        model, trunk, at_labels=modules_at_labels(model), asked_at_labels=block_asked_at_labels(model)
    )
    with counting(model) as calls:
        (epoch,) = fit(forward, trainable, batches=lambda _: batches, spec=SPEC, learning_rate=RATE, seed=0)
        nlls = [found.nll for found in likelihoods(forward, loss_batches(rows, loaded, batch_size=4))]
    assert (calls == []) == (trunk is not None), "replay is active, or it is not"
    tensors = {name: model.get_parameter(name).detach().clone() for name in trainable.names}
    reset(model, trainable)
    return Trained(list(epoch.losses), nlls, tensors)


def opened(loaded: Loaded, tuning: Tuning) -> Trunk:
    """Return the replay that a trainer would train with."""
    said: list[str] = []
    trunks = ActivationCache(loaded, ActivationMemory(2**28, None), batch_size=5, precision="fp32", say=said.append)
    trainable = apply(loaded.model, tuning)
    cut, count = first_trained(loaded.model), len(blocks(loaded.model))
    found = trunks.open(("prompt", "train"), encoded(loaded), cut, cuts=range(count - 2, count + 1))
    reset(loaded.model, trainable)
    assert isinstance(found, Trunk), found
    assert said == []
    return found


def without_key_bias(loaded: Loaded, name: str, tensor: Tensor) -> Tensor:
    """Leave out key biases: softmax cancels them, so their gradient is rounding noise, which Adam scales up."""
    if name.endswith("c_attn.bias"):
        query, _, value = tensor.chunk(3)
        return torch.cat([query, value])
    if name.endswith("query_key_value.bias"):
        return tensor.view(loaded.model.config.num_attention_heads, 3, -1)[:, [0, 2]]
    return tensor[:0] if name.endswith("k_proj.bias") else tensor
