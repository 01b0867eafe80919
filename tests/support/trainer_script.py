"""The script that people copy: a model trained on blocks of a text by ``transformers.Trainer``, scored by perplexity.

Nothing of the harness is in it; the order of blocks is that of the seed, as the harness draws it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments

__all__ = ["script"]


def script(
    model: Path,
    text: str,
    *,
    size: int,
    held_out: Sequence[int],
    epochs: int,
    batch: int,
    rate: float,
    seed: int,
    trains: str,
    out: Path,
) -> dict[str, float]:
    """Return the perplexity of validation and test: the last blocks, so many of each; ``trains``: parts of names."""
    ids = AutoTokenizer.from_pretrained(model)(text, verbose=False)["input_ids"]
    blocks = torch.tensor(ids[: len(ids) // size * size]).view(-1, size)
    train, *rest = blocks.split([len(blocks) - sum(held_out), *held_out])
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    for name, weight in network.named_parameters():
        weight.requires_grad_(any(part in name for part in trains.split()))
    rows = []
    for epoch in range(1, epochs + 1):
        draw = np.random.default_rng([seed, epoch])
        members, chunks = draw.permutation(len(train)), draw.permutation(-(-len(train) // batch))
        rows += [{"input_ids": train[members[c * batch : (c + 1) * batch]]} for c in chunks]
    settings = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=1,
        num_train_epochs=1,
        learning_rate=rate,
        train_sampling_strategy="sequential",
        use_cpu=True,
        save_strategy="no",
        disable_tqdm=True,
        report_to="none",
    )

    def together(items: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
        labels = items[0]["input_ids"].clone()
        labels[:, 0] = -100  # nothing predicts it, yet the Trainer counts it where a class is called LMHeadModel
        return {**items[0], "labels": labels}

    trainer = Trainer(network, settings, train_dataset=rows, data_collator=together)
    trainer.train()
    found = {}
    for name, part in zip(("validation", "test"), rest, strict=True):
        loss = trainer.evaluate([{"input_ids": part}], metric_key_prefix=name)[f"{name}_loss"]
        found[name] = math.exp(loss)
    return found
