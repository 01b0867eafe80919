"""Replay of the frozen part of a network: recorded row by row, given back inside the intact model.

The cut is the index of the first block that trains. A replay leaves the model whole and calls it as usual; its frozen
blocks merely answer with what was recorded instead of computing it, so masks, positions, the blocks behind the cut and
the head run as they always do. What is kept at a cut: `harness.models.frozen.capture`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.models.apply_tuning import Trainable
from harness.models.find_blocks import anatomy, blocks, is_inside, is_owned
from harness.models.frozen.capture import CapturePoint, Fetch, Keep, Reached, Rows
from harness.models.hooks import eval_mode

__all__ = ["Pass", "Trunk", "alone", "first_trained", "rearranged", "record", "refusal", "verify"]


class Pass(NamedTuple):
    """One call of the model that makes or proves a recording."""

    rows: Rows
    first: int
    """The first block that is computed; those before it are replayed."""
    end: int | None
    """The block before which the call ends; ``None``: it goes on through the head."""
    starts: bool
    """Whether it is generation's first call, not one for a loss."""


class Trunk:
    """A model's frozen part before one cut, with what was recorded of it.

    Args:
        model: Any of its parts may be in train mode, the frozen ones in eval mode.
        points: What was recorded for this cut: what `capture_points` or `kv_capture_points` returned.
        fetch: Returns what `record` kept.
        recorded: All rows that were recorded: others with the same indices are refused.
    """

    def __init__(
        self, model: PreTrainedModel, points: Sequence[CapturePoint], fetch: Fetch, recorded: Iterable[Rows] = ()
    ) -> None:
        self.model, self.points, self.fetch = model, points, fetch
        self._inputs = {
            index: {name: tensor[at] for name, tensor in rows.inputs.items()}
            for rows in recorded
            for at, index in enumerate(rows.indices)
        }

    @contextmanager
    def replaying(self, rows: Rows) -> Iterator[None]:
        """Let a call of the model on these rows skip the frozen part; afterwards the model is as it was.

        Rows may have less padding on their right than they were recorded with, where each point says along what.

        Raises:
            KeyError: A row was not recorded.
            ModelError: A row is not what it was when it was recorded: inputs must not change between epochs.
        """
        cut = dict[str, tuple[int, int]]()
        for name, tensor in rows.inputs.items() if self._inputs else ():
            recorded, width = torch.stack([self._inputs[index][name] for index in rows.indices]), tensor.size(1)
            is_padding = name != "attention_mask" or not recorded[:, width:].any()
            if not (is_padding and torch.equal(recorded[:, :width], tensor)):
                raise ModelError("rows have changed since their frozen part was recorded; set engine.replay: false")
            if recorded.size(1) > width:
                cut[name] = recorded.size(1), width
        fetch = self._cut_to(cut) if cut else self.fetch
        with ExitStack() as undo:
            for point in reversed(self.points):  # a block's answer first, then what it adds to the cache
                undo.enter_context(point.replaying(rows, fetch))
            yield

    def _cut_to(self, widths: Mapping[str, tuple[int, int]]) -> Fetch:
        """Return what fetches values of rows with less padding; widths are those recorded and wanted, by input."""
        along = {point.name: point.along for point in self.points}
        if None in along.values():
            raise ModelError("rows have less padding than they were recorded with, which these values cannot be cut to")

        def fetch(name: str) -> Tensor:
            value, (recorded, wanted) = self.fetch(name), widths.get(along[name.partition("/")[0]] or "", (0, 0))
            if not recorded:
                return value
            if value.size(0) != recorded:
                raise ModelError(f"{name} holds {value.size(0)} positions of a row that was recorded with {recorded}")
            return value[:wanted]

        return fetch


def first_trained(model: PreTrainedModel) -> int:
    """Return the index of the first block that trains, the number of blocks if none does."""
    listed = blocks(model)
    trains = (any(weight.requires_grad for weight in block.module.parameters()) for block in listed)
    return next((index for index, does in enumerate(trains) if does), len(listed))


def refusal(model: PreTrainedModel, trainable: Trainable) -> str | None:
    """Say why the frozen part of a tuned model must not be replayed; ``None`` if it may be."""
    parts, cut = anatomy(model), first_trained(model)
    if not trainable.names:
        return "nothing trains"
    if trainable.adapter and trainable.adapter.is_soft_prompt:
        return "every block reads the virtual tokens that train"
    if any(weight.requires_grad for part in parts.embeddings for weight in part.module.parameters()):
        return "the embeddings train"
    if cut == 0:
        return "the first block trains: nothing before it is worth keeping"
    behind = [block.name for block in parts.blocks[cut:]]
    stacks = {block.stack for block in parts.blocks[cut:]}
    behind += [parts.head.name, *(norm.name for norm in parts.final_norms if norm.stack in stacks)]
    named = list(model.named_parameters(remove_duplicate=False))
    moving = {weight.data_ptr() for _, weight in named if weight.requires_grad}
    for name, parameter in named:
        is_behind = is_inside(name, behind) or is_owned(name, parts.head.name)
        if parameter.data_ptr() in moving and not is_behind:
            return f"{name} lies in the frozen part, but trains or shares its tensor with a part that trains"
    for name, module in model.named_modules():
        if module.training and not is_inside(name, trainable.modules):
            return f"{name or type(model).__name__} is frozen, but in train mode: dropout would not be replayed"
    return None


def record(
    model: PreTrainedModel,
    batches: Iterable[Rows],
    *,
    points: Sequence[CapturePoint],
    keep: Keep,
    run: Callable[[Rows], object],
) -> None:
    """Keep what a replay needs, in one pass in eval mode; the model runs to the last place and no further.

    Points are those of one cut or, from the first to the last, of several. Rows that will share a batch must have one
    padded shape.
    """
    by_name = {point.name: point for point in points}
    *_, last = by_name.values()
    with eval_mode(model):
        for rows in batches:
            with ExitStack() as undo, suppress(Reached):
                for point in by_name.values():
                    undo.enter_context(point.watch(rows, keep, stop=point is last))
                run(rows)


def rearranged(rows: Rows) -> Rows:
    """Return a few rows of one padded shape in another order and number: the last, the longest, and the last again.

    A model that mixes rows, or takes their number for something else, does with any other number; of three it is four.
    """
    last = len(rows.indices) - 1
    longest = int(rows.inputs["attention_mask"].sum(dim=1).argmax())
    order = [last, longest, last, *([longest] if last == 2 else [])]
    inputs = {name: tensor[order] for name, tensor in rows.inputs.items()}
    return Rows(tuple(rows.indices[place] for place in order), inputs, rows.wanted[order])


def alone(rows: Rows) -> Rows:
    """Return the shortest of some rows by itself."""
    place = int(rows.inputs["attention_mask"].sum(dim=1).argmin())
    inputs = {name: tensor[place : place + 1] for name, tensor in rows.inputs.items()}
    return Rows(rows.indices[place : place + 1], inputs, rows.wanted[place : place + 1])


def verify(trunk: Trunk, rows: Rows, logits: Callable[[AbstractContextManager[None]], Tensor]) -> str | None:
    """Compare replay with the model itself on some rows; say what is wrong, ``None`` if nothing is.

    Kernels may round otherwise in a batch of another composition than the recorded one: 1e-5 of the largest logit is
    allowed in float32, 2e-2 in half precision.

    Logits come of a call of the model on the rows, which enters a context around what is replayed, or would be.
    """
    with eval_mode(trunk.model):
        live = logits(nullcontext())
        replayed = logits(trunk.replaying(rows))
    if torch.equal(replayed, live):  # false for NaN; and far cheaper than to measure a difference
        return None
    # Autocast may end with a sum in float32.
    bound = 2e-2 if live.dtype.itemsize < 4 or torch.is_autocast_enabled(live.device.type) else 1e-5
    difference = ((replayed - live).abs().max() / live.abs().max()).item()
    if difference <= bound:  # false for NaN
        return None
    return f"replayed logits differ from live ones by {difference:.1e} of the largest, {bound:.0e} is allowed"
