"""Real pretrained models beside the repository: what their model cards say is what the harness finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.models.apply_tuning import apply, reset
from harness.models.find_blocks import blocks
from harness.models.load import load
from harness.study.axes import Tuning
from harness.study.model_config import describe

Shared = Callable[[str], Path]

CARDS = {
    "stories260K": ("LlamaForCausalLM", False, 5, 512),
    "mix-llama-5m": ("LlamaForCausalLM", False, 6, 512),
    "mix-t5-6m": ("T5ForConditionalGeneration", True, 8, None),
}


@pytest.mark.parametrize("name", CARDS)
def test_a_real_model_is_what_its_card_says(shared_model: Shared, name: str) -> None:
    folder = shared_model(name)
    said, loaded = describe(str(folder)), load(str(folder))
    assert said[:6] == (*CARDS[name], folder / "tokenizer.json", loaded.embedding_rows)
    assert len(blocks(loaded.model)) == said.blocks
    assert loaded.context == said.context
    assert {each.dtype for each in loaded.model.parameters()} == {torch.float32}


def test_sizes_by_tuning(shared_model: Shared) -> None:
    model = load(str(shared_model("stories260K"))).model
    attention = 2 * 64 * 64 + 2 * 64 * 32
    block = attention + 3 * 64 * 172 + 2 * 64
    sizes = {"none": 0, "head": 512 * 64, "last_blocks-2": 2 * block + 64, "full": 260_032}
    for tuning in (
        Tuning(kind="none"),
        Tuning(kind="head"),
        Tuning(kind="last_blocks", blocks=2),
        Tuning(kind="full"),
    ):
        trainable = apply(model, tuning)
        assert trainable.trainable == sizes[tuning.name]
        assert trainable.total == 260_032 + (512 * 64 if tuning.kind == "head" else 0)
        reset(model, trainable)
