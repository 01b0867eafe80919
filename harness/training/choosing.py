"""Choosing: the answers of a prompt that is answered by a label, with the probability of every label, or calibrated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from harness.core import interrupts
from harness.core.example import Prediction
from harness.core.progress import untold
from harness.data.choice_rows import UNKNOWN
from harness.data.label_words import Label
from harness.training.batching import Batch
from harness.training.forward_batch import ForwardBatch
from harness.training.loss import ForwardPass

__all__ = ["chosen", "label_prior"]


def chosen(
    forward: ForwardPass,
    batches: Sequence[Batch],
    labels: Sequence[Label],
    *,
    prior: Sequence[float] = (),
    size: ForwardBatch | None = None,
    tell: Callable[[int, int], None] = untold,
) -> list[Prediction]:
    """Return each choice's prediction, in the order of the choices; leaves eval mode on.

    Its text is the likeliest label, of several the first, and none where the scores are no numbers; its likelihood is
    that of the right label among all, which counts as one token; unknown, it is nan.

    Args:
        forward: The model's way to its logits.
        batches: Every choice once.
        labels: Those that are chosen from.
        prior: From `label_prior`, by which their probabilities are divided before they add up to 1 again.
        size: How many choices go through it at a time; left out: a batch, or fewer where memory runs out.
        tell: Told how many batches are done, and how many there are.
    """
    by_index: dict[int, Prediction] = {}
    for batch, logs in _each_log_shares(forward, batches, size, tell):
        calibrated = (logs - logs.new_tensor(prior)).log_softmax(dim=-1) if prior else logs
        first = 0
        for choice, shares in zip(batch.choices, calibrated.tolist(), strict=True):
            by_index[batch.indices[first]] = _prediction(choice.id, choice.right, shares, labels)
            first += len(choice.rows)
    return [by_index[index] for index in sorted(by_index)]


def label_prior(
    forward: ForwardPass, batches: Sequence[Batch], *, size: ForwardBatch | None = None
) -> tuple[float, ...]:
    """Return the logarithm of each label's mean probability behind inputs that say nothing; leaves eval mode on.

    Args:
        forward: The model's way to its logits, with nothing replayed.
        batches: Of `harness.data.content_free.content_free_rows`.
        size: As of `chosen`.
    """
    logs = torch.cat([logs for _, logs in _each_log_shares(forward, batches, size, untold)])  # (inputs, labels)
    return tuple((logs.logsumexp(dim=0) - math.log(len(logs))).tolist())


def _each_log_shares(
    forward: ForwardPass, batches: Sequence[Batch], size: ForwardBatch | None, tell: Callable[[int, int], None]
) -> Iterator[tuple[Batch, Tensor]]:
    """Yield each batch with `_log_shares` of its choices."""
    forward.model.eval()
    size = size or ForwardBatch()
    for number, batch in enumerate(batches):
        interrupts.check()
        tell(number, len(batches))
        with torch.no_grad():
            logs = size.fitted(batch.examples, partial(_log_shares, forward, batch))
        yield batch, logs


def _log_shares(forward: ForwardPass, batch: Batch, most: int) -> Tensor:
    """Return the logarithm of each label's probability among all, shape (choices, labels), float64."""
    parts = [forward.label_scores(part.to(forward.model.device)) for part in batch.parts(most)]
    return torch.cat(parts).double().log_softmax(dim=-1)


def _prediction(id: str, right: int, shares: Sequence[float], labels: Sequence[Label]) -> Prediction:
    best = max(range(len(labels)), key=lambda place: (shares[place], -place))
    text = "" if math.isnan(shares[best]) else labels[best].name
    nll = math.nan if right == UNKNOWN else -shares[right]
    probabilities = {label.name: math.exp(share) for label, share in zip(labels, shares, strict=True)}
    return Prediction(id, text, nll, 1, probabilities=probabilities)
