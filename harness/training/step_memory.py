"""Memory of a training step: what it will hold, measured on one row before a run trains, and what is free for it.

Which blocks a run computes again follows from that: see `harness.models.gradient_checkpointing`.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from harness.models.gradient_checkpointing import blocks_to_recompute
from harness.models.hooks import unmoved
from harness.study.spec import Training
from harness.training.batching import Batch
from harness.training.draws import seeded
from harness.training.loss import ForwardPass
from harness.training.optimizers import HELD
from harness.training.torch_compat import storage

__all__ = ["free_memory", "kept_bytes", "recomputed_blocks", "step_bytes"]

ROOM = 0.6
"""The share of the free memory that what is counted of a step may take. What comes and goes in it is not counted, nor
are the gaps between: a process takes half as much again."""

CGROUP = Path("/sys/fs/cgroup")
"""Where a container's limit stands."""


def recomputed_blocks(
    forward: ForwardPass, batches: Sequence[Batch], spec: Training, free: int
) -> tuple[tuple[nn.Module, ...], str]:
    """Return the blocks that a run of a tuned model computes again, and why, for the run's tag.

    Args:
        forward: How its loss is computed.
        batches: Those of an epoch.
        spec: Says whether they are, or that it is to be found out; which optimizer holds how much.
        free: Bytes that a step may take.
    """
    if spec.gradient_checkpointing is not True:
        if spec.gradient_checkpointing is False:
            return (), "off"
        need = step_bytes(forward, max(batches, key=_size), spec)
        told = f"a step holds about {need / 2**20:,.0f} MiB, and {free / 2**20:,.0f} are free"
        return ((), f"off: {told}") if need <= ROOM * free else (blocks_to_recompute(forward.model), f"on: {told}")
    return blocks_to_recompute(forward.model), "on"


def step_bytes(forward: ForwardPass, batch: Batch, spec: Training) -> int:
    """Return the bytes that a step holds on top of the weights: of a batch's values, gradients and the optimizer."""
    moving: int = sum(weight.nbytes for weight in forward.model.parameters() if weight.requires_grad)
    (row, *_) = batch.parts(1)
    return kept_bytes(forward, row) * batch.examples + HELD[spec.optimizer] * moving


def kept_bytes(forward: ForwardPass, batch: Batch) -> int:
    """Return the bytes that the loss of a batch keeps for its backward pass, weights left out; nothing is changed."""
    model, kept = forward.model, dict[int, int]()
    own = {storage(tensor) for tensor in (*model.parameters(), *model.buffers())}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.layout is torch.strided and storage(tensor) not in own:  # a sparse one has none: it is made of others
            kept[storage(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with unmoved(model), seeded(0, 0, model.device), saved_tensors_hooks(keep, lambda tensor: tensor):
        forward.training_loss(batch.to(model.device))
    return sum(kept.values())


def free_memory(device: torch.device) -> int:
    """Return the bytes that are free: the GPU's, else the machine's, or what a limit on this process leaves of them."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    return max(0, min([int(psutil.virtual_memory().available), *_left_by_limits()]))


def _left_by_limits() -> Iterator[int]:
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit != resource.RLIM_INFINITY:
        yield limit - psutil.Process().memory_info().vms
    with suppress(OSError, ValueError, StopIteration):  # no container, or one without a limit: "max" is no number
        most = int((CGROUP / "memory.max").read_text())
        lines = (CGROUP / "memory.stat").read_text().splitlines()
        yield most - next(int(line.split()[1]) for line in lines if line.startswith("anon "))


def _size(batch: Batch) -> int:
    return sum(tensor.numel() for tensor in batch.inputs.values())
