"""Tunings of parts of the last blocks: twenty steps on a replayed frozen part are those on a live one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.models.apply_tuning import apply, reset
from harness.models.content_digests import weights_digest
from harness.models.frozen.replay import refusal
from harness.models.load import load
from harness.study.axes import Tuning
from tests.support.training_runs import opened, trained, without_key_bias

Tiny = Callable[..., Path]

CLOSE = 1e-6

LAST: list[tuple[str, Any]] = [
    ("norms", "last-2"),
    ("biases", "last-2"),
    ("attention", "last-2"),
    ("feed_forward", "last-2"),
    ("blocks", "last-2"),
    ("blocks", "1-1"),
    ("attention", (2,)),
]
WHOLE = [("norms", None), ("attention", None), ("first_blocks", 1), ("embeddings", None), ("blocks", "all")]


@pytest.mark.parametrize("family", ["gpt2", pytest.param("t5", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("kind", "blocks"), LAST, ids=str)
def test_a_replayed_run_equals_a_live_one(tiny_folder: Tiny, family: str, kind: str, blocks: Any) -> None:
    if (kind, family) == ("biases", "t5"):
        pytest.skip("it has none")
    loaded = load(str(tiny_folder(family)))
    digest, tuning = weights_digest(loaded.model), Tuning(kind=kind, blocks=blocks)
    live = trained(loaded, tuning, None)
    replayed = trained(loaded, tuning, opened(loaded, tuning))
    assert max(abs(one / other - 1) for one, other in zip(live.steps, replayed.steps, strict=True)) < CLOSE
    assert max(abs(one / other - 1) for one, other in zip(live.nlls, replayed.nlls, strict=True)) < CLOSE
    assert live.tensors.keys() == replayed.tensors.keys()
    for name, tensor in live.tensors.items():
        one, other = (without_key_bias(loaded, name, each) for each in (tensor, replayed.tensors[name]))
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5), name
    assert weights_digest(loaded.model) == digest


@pytest.mark.parametrize("family", ["gpt2", "t5"])
@pytest.mark.parametrize(("kind", "blocks"), WHOLE, ids=str)
def test_what_reaches_the_first_block_is_not_replayed(tiny_folder: Tiny, family: str, kind: str, blocks: Any) -> None:
    model = load(str(tiny_folder(family))).model
    trainable = apply(model, Tuning(kind=kind, blocks=blocks))
    reason = "the embeddings train" if kind == "embeddings" else "the first block trains: nothing before it is worth"
    assert str(refusal(model, trainable)).startswith(reason)
    reset(model, trainable)
