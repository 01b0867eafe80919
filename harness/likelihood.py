"""How far targets surprise a model, with logits computed only where there are labels.

A prompt is several times longer than its target, and a vocabulary hundreds of times wider than a hidden state: most
of what a model's own loss computes is thrown away. Here the head is handed the hidden states at label positions alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from harness.batching import IGNORED, Batch
from harness.models.trunk import Rows, Trunk

__all__ = ["label_logits", "model_rows", "row_nlls", "token_nlls"]


def token_nlls(model: PreTrainedModel, batch: Batch, trunk: Trunk | None = None) -> Tensor:
    """Return the negative log-likelihood (nats, float32) of every label, shape (labels,), row after row.

    Args:
        model: On the batch's device; it is called whole, only its head sees less.
        batch: From `harness.batching.loss_batches`.
        trunk: Replays the frozen part on these rows.
    """
    rows, labels = model_rows(model, batch), batch.inputs["labels"]
    with trunk.replaying(rows) if trunk else nullcontext():
        logits = label_logits(model, rows)
    return cross_entropy(logits.float(), labels[labels != IGNORED], reduction="none")


def model_rows(model: PreTrainedModel, batch: Batch) -> Rows:
    """Return what a model is called with for a batch."""
    inputs = dict(batch.inputs)
    labels = inputs.pop("labels")
    if batch.shift == 0:
        inputs["decoder_input_ids"] = model.prepare_decoder_input_ids_from_labels(labels)
    return Rows(batch.indices, inputs, _chosen(batch))


def label_logits(model: PreTrainedModel, rows: Rows) -> Tensor:
    """Return the logits that predict a label, shape (labels, vocabulary), row after row."""
    with _only(model.get_output_embeddings(), rows.wanted):
        logits: Tensor = model(**rows.inputs, use_cache=False).logits
    return logits[0]


def row_nlls(model: PreTrainedModel, batch: Batch, trunk: Trunk | None = None) -> Tensor:
    """Return each row's summed negative log-likelihood (nats) of its labels, shape (rows,)."""
    losses = token_nlls(model, batch, trunk)
    rows = _chosen(batch).nonzero()[:, 0]
    return torch.zeros(len(batch.indices), device=losses.device).index_add_(0, rows, losses)


def _chosen(batch: Batch) -> Tensor:
    """Return where the logits that predict a label stand, shape (rows, ceiling)."""
    counts = batch.inputs["labels"] != IGNORED
    return counts.roll(-1, dims=1) if batch.shift else counts  # a causal model's first position never holds a label


@contextmanager
def _only(head: nn.Module, chosen: Tensor) -> Iterator[None]:
    """Let a head see hidden states of shape (1, labels, width) in place of (rows, positions, width)."""

    def select(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        return (args[0][chosen].unsqueeze(0), *args[1:])

    hook = head.register_forward_pre_hook(select)
    try:
        yield
    finally:
        hook.remove()
