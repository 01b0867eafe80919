"""The loss: negative log-likelihoods of targets, with logits computed only where there are labels.

What is left out: ``docs/decisions/what-a-step-leaves-out.md``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from harness.models.classification_head import classifies, last_read
from harness.models.find_blocks import projection
from harness.models.frozen.kept_rows import Rows
from harness.models.frozen.replay import Trunk
from harness.models.gradient_checkpointing import recomputing
from harness.models.held_weights import HeldLinear
from harness.models.hooks import answering, look, unmoved
from harness.models.languages import beginning
from harness.models.last_block import ask_at_labels, only_at_labels
from harness.study.spec import Precision
from harness.training.batching import IGNORED, Batch, Prompts
from harness.training.criteria import Criterion
from harness.training.label_scores import label_scores, right_labels
from harness.training.loss_at_labels import HeadLoss
from harness.training.precision import arithmetic, products

__all__ = ["ForwardPass", "label_logits", "model_rows", "prompt_rows"]


@dataclass(frozen=True)
class ForwardPass:
    """A model's way from a batch to its loss, with all that may be left out left out."""

    model: PreTrainedModel
    """On the batches' device; it is called whole."""

    trunk: Trunk | None = None
    """Replays the frozen part on the batches' rows."""

    at_labels: tuple[nn.Module, ...] = ()
    """Modules that see label positions alone; see `harness.models.last_block`."""

    precision: Precision = "fp32"
    """Of everything but logarithms and sums, which are float32."""

    asked_at_labels: nn.Module | None = None
    """The block whose attention is asked from the first label position on."""

    loss: HeadLoss | None | Literal["look"] = "look"
    """The loss behind the head; ``None`` where the model does more to its logits, or has a classification head; left
    out: found out, by one call."""

    alone: bool = False
    """Whether every row is computed by itself, without padding and as if it were the model's first; see
    `harness.training.proofs`."""

    criterion: Criterion | None = None
    """What training minimizes in place of the negative log-likelihood."""

    recomputed: tuple[nn.Module, ...] = ()
    """Blocks that are computed again in the backward pass; see `harness.models.gradient_checkpointing`."""

    def __post_init__(self) -> None:
        if self.loss == "look":
            object.__setattr__(self, "loss", _head_loss(self.model, self.precision))

    def row_nlls(self, batch: Batch) -> Tensor:
        """Return each row's summed negative log-likelihood (nats, float32) of its labels, shape (rows,)."""
        losses = self.token_nlls(batch)
        rows = _chosen(batch).nonzero()[:, 0]
        return torch.zeros(len(batch.indices), device=losses.device).index_add_(0, rows, losses)

    def token_nlls(self, batch: Batch) -> Tensor:
        """Return the negative log-likelihood (nats, float32) of every label, shape (labels,), row after row."""
        return torch.cat([self._nlls(part, "none") for part in self._parts(batch)])

    def total_nll(self, batch: Batch) -> Tensor:
        """Return the sum of `token_nlls`, a scalar to be differentiated."""
        return torch.stack([self._nlls(part, "sum") for part in self._parts(batch)]).sum()

    def log_probabilities(self, batch: Batch) -> Tensor:
        """Return all tokens' log-probabilities (nats, float32) where labels stand, shape (rows, labels, vocabulary).

        Only these positions go through the head; differentiable where gradients are wanted. Where a masked model hides
        a word, they are those of the tokens that may stand there.

        Raises:
            ValueError: Rows have different numbers of labels.
        """
        counts = _chosen(batch).sum(dim=1)
        if bool((counts != counts[0]).any()):
            raise ValueError(f"rows of one call must have as many labels each, not {sorted(set(counts.tolist()))}")
        logits = torch.cat([self._logits(part) for part in self._parts(batch)])  # (rows * labels, vocabulary)
        return torch.log_softmax(logits, dim=-1).view(len(batch.indices), -1, logits.size(-1))

    def _logits(self, batch: Batch) -> Tensor:
        output, _ = self._output(batch)
        if not isinstance(self.loss, HeadLoss):
            return output
        with arithmetic(self.model.device, self.precision):
            logits: Tensor = self.loss.head(output)
        return logits.float()

    def training_loss(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the sum of what training minimizes, to be differentiated, and that of `token_nlls`, to be told.

        Of choices these are of their labels: cross entropy, or another criterion, of the softmax over their scores.
        """
        if batch.choices:
            scores, right = self.label_scores(batch), right_labels(batch.choices, self.model.device)
            nll = cross_entropy(scores, right, reduction="sum")
            return (self.criterion.losses(scores, right).sum() if self.criterion else nll), nll.detach()
        if self.criterion is None:
            nll = self.total_nll(batch)
            return nll, nll.detach()
        losses, nlls = zip(*(self._losses(part, self.criterion) for part in self._parts(batch)), strict=True)
        return torch.stack(losses).sum(), torch.stack(nlls).sum()

    def label_scores(self, batch: Batch) -> Tensor:
        """Return the scores of the labels of a batch of choices, shape (choices, labels), float32; differentiable.

        Those of a classification head are its logits.
        """
        if classifies(self.model):
            return torch.cat([self._output(part)[0] for part in self._parts(batch)])
        return label_scores(torch.cat([self._logits(part) for part in self._parts(batch)]), batch.choices)

    def _parts(self, batch: Batch) -> list[Batch]:
        return batch.alone() if self.alone else [batch]

    def _losses(self, batch: Batch, criterion: Criterion) -> tuple[Tensor, Tensor]:
        output, labels = self._output(batch)
        if isinstance(self.loss, HeadLoss):
            return self.loss.totals(output, labels, criterion)
        return criterion.losses(output, labels).sum(), cross_entropy(output.detach(), labels, reduction="sum")

    def _nlls(self, batch: Batch, reduction: Literal["none", "sum"]) -> Tensor:
        output, labels = self._output(batch)
        if not isinstance(self.loss, HeadLoss):
            return cross_entropy(output, labels, reduction=reduction)
        return self.loss.nlls(output, labels) if reduction == "none" else self.loss.total(output, labels)

    def _output(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return what the loss begins with, and the labels, shape (labels,)."""
        with unmoved(self.model) if self.alone else nullcontext():
            return self._reach_head(batch), _labels(batch)

    def _reach_head(self, batch: Batch) -> Tensor:
        """Return what the loss begins with: hidden states, shape (labels, width), or float32 logits."""
        rows, loss = model_rows(self.model, batch), self.loss
        with ExitStack() as undo:
            undo.enter_context(arithmetic(self.model.device, self.precision))
            undo.enter_context(recomputing(self.recomputed))
            undo.enter_context(self.trunk.replaying(rows) if self.trunk else nullcontext())
            undo.enter_context(only_at_labels(self.at_labels, rows.wanted))
            undo.enter_context(ask_at_labels(self.asked_at_labels, rows.wanted))
            if not isinstance(loss, HeadLoss):
                return label_logits(self.model, rows).float()
            undo.enter_context(answering(loss.head, lambda hidden: hidden[rows.wanted]))
            hidden: Tensor = self.model(**rows.inputs, use_cache=False).logits  # (labels, width)
            return hidden


def _head_loss(model: PreTrainedModel, precision: Precision) -> HeadLoss | None:
    """Return the loss behind a head whose output is the model's logits, seen on one token."""
    head = projection(model)
    if classifies(model) or not isinstance(head, nn.Linear):
        return None
    returned: list[tuple[Tensor, Tensor]] = []
    with head.register_forward_hook(lambda module, args, output: returned.append((output, output.clone()))):
        logits = look(model, rows=1, positions=1)
    ((output, before),) = returned
    if logits is not output or not torch.equal(output, before):  # it may have been scaled in place
        return None
    weights = torch.float32 if isinstance(head, HeldLinear) else head.weight.dtype  # held in less, it is widened
    return HeadLoss(head, products(weights, precision))


def model_rows(model: PreTrainedModel, batch: Batch) -> Rows:
    """Return what a model is called with for a batch."""
    inputs = dict(batch.inputs)
    labels = inputs.pop("labels")
    if classifies(model):
        return Rows(batch.indices, inputs, last_read(model, inputs))
    if batch.halves:
        inputs["decoder_input_ids"] = _shifted(model, labels)
    return Rows(batch.indices, inputs, _chosen(batch))


def _shifted(model: PreTrainedModel, labels: Tensor) -> Tensor:
    """Return what a decoder reads to predict labels, shape (rows, tokens): they follow what ``generate`` starts with.

    A family's own rule (``prepare_decoder_input_ids_from_labels``, where it has one) may begin with another token.
    """
    start, pad = cast(int, beginning(model).start), getattr(model.config, "pad_token_id", None)
    head: Any = projection(model)
    ids = labels.roll(1, dims=1)
    ids[:, 0] = start
    # Nothing reads what stands behind a row's labels, but it is looked up, and some configurations say -1.
    behind = pad if isinstance(pad, int) and 0 <= pad < len(head.weight) else start
    return ids.masked_fill(ids == IGNORED, behind)


def prompt_rows(batch: Prompts, device: torch.device) -> Rows:
    """Return what generation begins with for a batch of prompts."""
    inputs = {name: tensor.to(device) for name, tensor in batch.inputs.items()}
    return Rows(batch.indices, inputs, torch.ones(len(batch.indices), 1, dtype=torch.bool, device=device))


def label_logits(model: PreTrainedModel, rows: Rows) -> Tensor:
    """Return the logits that predict a label, shape (labels, vocabulary), row after row.

    Of a classification head they are those of labels, shape (rows, labels).
    """
    if classifies(model):
        scores: Tensor = model(**rows.inputs, use_cache=False).logits
        return scores
    head: Any = projection(model)
    forward: Callable[[Tensor], Tensor] = head.forward

    def answer(hidden: Tensor) -> Tensor:
        # ProphetNet's head sees several streams, of which one becomes the logits.
        return forward(hidden[rows.wanted].unsqueeze(0) if hidden.ndim == 3 else hidden)

    with answering(head, answer):
        logits: Tensor = model(**rows.inputs, use_cache=False).logits
    return logits[rows.wanted] if logits.shape[:2] == rows.wanted.shape else logits[0]


def _labels(batch: Batch) -> Tensor:
    labels = batch.inputs["labels"]
    return labels[labels != IGNORED]


def _chosen(batch: Batch) -> Tensor:
    """Return where the logits that predict a label stand, shape (rows, ceiling)."""
    counts = batch.inputs["labels"] != IGNORED
    return counts.roll(-1, dims=1) if batch.shift else counts  # a causal model's first position never holds a label
