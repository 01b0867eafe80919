"""Proofs of a tuning: what it trains has gradients, and what is stored of it loads back as it was stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.data.tokenization import Row
from harness.models.apply_tuning import apply, reset, set_modes
from harness.models.content_digests import weights_digest
from harness.models.gradient_checkpointing import blocks_to_recompute
from harness.models.hooks import MISFIT, misfits_told, unmoved
from harness.models.load import Loaded
from harness.models.skeleton import skeleton
from harness.models.transformers_compat import initialize_again
from harness.study.axes import Tuning
from harness.training.batching import Batch, loss_batches
from harness.training.draws import seeded
from harness.training.loss import ForwardPass
from harness.training.torch_compat import TorchDispatchMode, storage, writes

__all__ = ["recomputing_fault", "refuse_untrainable", "refuse_written_over"]


def refuse_untrainable(
    loaded: Loaded, forward: ForwardPass, rows: Sequence[Row], tuning: Tuning, *, recomputes: bool = False
) -> None:
    """See that the loss of a row, or a choice, has gradients, the same with blocks computed again if they are to be.

    Nothing is changed by it, by an adapter of whatever kind neither.

    Raises:
        ModelError: It has none, or others, the model cannot follow the tuning, or its own weights are others after it.
    """
    model, (batch,) = loaded.model, loss_batches(rows, loaded, batch_size=1)
    trainable = apply(model, tuning)
    what = f"tuning {tuning.name}: {type(model).__name__} gives what trains no gradients"
    try:
        with unmoved(model), seeded(0, 0, model.device), misfits_told(what, "use another tuning, or another model"):
            set_modes(model, trainable)
            torch.autograd.backward(_loss(forward, batch.to(model.device)))
        lighter = replace(forward, recomputed=blocks_to_recompute(model))
        if recomputes and (fault := recomputing_fault(loaded, lighter, rows)):
            name = f"tuning {tuning.name}: {type(model).__name__}"
            raise ModelError(f"{name} takes no training.gradient_checkpointing: {fault}; set it to false")
    finally:
        reset(model, trainable)
    if tuning.kind == "peft" and weights_digest(model) != loaded.digest:  # the table's own kinds leave them as they are
        raise ModelError(
            f"tuning {tuning.name}: this adapter changes the model's own weights, which other cells start from; leave "
            "out the keys by which it does, such as init_lora_weights"
        )


def recomputing_fault(loaded: Loaded, forward: ForwardPass, rows: Sequence[Row]) -> str:
    """Say why blocks of a tuned model cannot be computed again, nothing where they can: the gradients are the same.

    Of gradients the norms are compared, which take no memory. A model that reads a text otherwise when it is read a
    second time gives others, or fails.
    """
    model, (batch,) = loaded.model, loss_batches(rows, loaded, batch_size=1)
    moving = [weight for weight in model.parameters() if weight.requires_grad]

    def norms(way: ForwardPass) -> Tensor:
        with unmoved(model), seeded(0, 0, model.device):
            gradients = torch.autograd.grad(_loss(way, batch.to(model.device)), moving, allow_unused=True)
        return torch.stack([torch.zeros(()) if each is None else each.norm().cpu() for each in gradients])

    with torch.enable_grad():
        expected = norms(replace(forward, trunk=None, recomputed=()))
        try:
            found = norms(replace(forward, trunk=None))
        except MISFIT as error:
            return f"blocks cannot be computed again: {type(error).__name__}: {str(error).strip()[:200]}"
    is_same = torch.allclose(found, expected, rtol=2e-2 if forward.precision == "bf16" else 1e-5, equal_nan=True)
    return "" if is_same else "blocks that are computed again give other gradients"


def _loss(forward: ForwardPass, batch: Batch) -> Tensor:
    """Return the negative log-likelihood of a batch's labels, a scalar, whatever training minimizes."""
    return replace(forward, criterion=None).training_loss(batch)[0]


def refuse_written_over(loaded: Loaded, tunings: Iterable[Tuning]) -> None:
    """See that loading writes over nothing that tunings train, where that is to be stored whole.

    Raises:
        ModelError: It does: the stored model would be another one than was trained and scored.
    """
    model = loaded.model
    for tuning in tunings if _written_over(model) else ():
        trainable = apply(model, tuning)  # which may untie the head
        lost = _written_over(model) & set(trainable.names)
        reset(model, trainable)
        if lost:
            raise ModelError(
                f"tuning {tuning.name}: from_pretrained writes over a part of {min(lost)} whenever it loads a "
                f"{type(model).__name__}, so what is stored whole would not be what was trained; set final.store: delta"
            )


def _written_over(model: PreTrainedModel) -> set[str]:
    """Return the weights of which ``from_pretrained`` writes over a part, whatever the checkpoint holds of it.

    It initializes what a checkpoint lacks, and a family's own way to do so may forget to look: Youtu's zeroes the
    embedding of the padding token. Where no head shares that embedding it is left out: the row has no gradient.
    """
    bones, written, named = skeleton(model), _Writes(), dict[int, list[str]]()
    with written:
        initialize_again(bones)
    for name, weight in bones.named_parameters(remove_duplicate=False):
        named.setdefault(storage(weight), []).append(name)
    idle = {
        (storage(part.weight), part.padding_idx * part.embedding_dim, part.embedding_dim)
        for part in bones.modules()
        if isinstance(part, nn.Embedding) and part.padding_idx is not None and len(named[storage(part.weight)]) == 1
    }
    return {name for place, *_ in written.places - idle for name in named.get(place, ())}


class _Writes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes which tensors are written to: their storage, where in it they begin, and how many numbers they have."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.places: set[tuple[int, int, int]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if writes(func) and isinstance(args[0], Tensor):
            self.places.add((storage(args[0]), int(args[0].storage_offset()), args[0].numel()))
        return func(*args, **(kwargs or {}))
