"""Tuning applied: which weights move, from a kind to flags, modes and a table, and the way back.

What each kind of tuning trains is said in `harness.study.tuning_kinds`. A trial is ``apply``, train, ``reset``; after
it the model is the pretrained one, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakSet

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.models.find_blocks import Anatomy, anatomy, is_inside, is_owned, projection
from harness.study.axes import Tuning
from harness.study.tuning_kinds import TUNING_KINDS

__all__ = ["Pristine", "Row", "Trainable", "apply", "first_block", "reset", "restore", "set_modes", "snapshot"]

_TUNED: WeakSet[PreTrainedModel] = WeakSet()
"""The models that are under a tuning: flags do not tell, since an architecture may hold parameters constant."""


class Row(NamedTuple):
    """One line of the table that ``harness show`` prints."""

    part: str
    """``embeddings``, ``head``, ``other``, or the dotted path of a block or a final norm."""

    parameters: int
    """How many numbers it holds; a tensor that two parts share counts in the first."""

    trainable: int
    """How many of them train."""


class Pristine(NamedTuple):
    """What it takes to undo a tuning."""

    values: Mapping[str, Tensor]
    """The pretrained value of every tensor that trains, on the CPU."""

    requires_grad: Mapping[str, bool]
    """Every parameter's flag as loaded: an architecture may hold some constant, as Marian does its positions."""

    twin: str | None
    """The parameter to which an untied head goes back."""

    tie_word_embeddings: bool | None
    """The configuration's entry as loaded, ``None`` where it has none."""


@dataclass(frozen=True)
class Trainable:
    """What a tuning trains in a model."""

    names: tuple[str, ...]
    """The parameters that train, in the model's order; of tied names the first."""

    modules: tuple[str, ...]
    """The modules that train, by dotted path; the path of the model itself is empty."""

    rows: tuple[Row, ...]
    """The table for people, in the order of the computation."""

    notes: tuple[str, ...]
    """What the table does not show, such as an untied head; print them with it."""

    pristine: Pristine = field(repr=False)
    """The way back."""

    @property
    def total(self) -> int:
        """All parameters; a tensor with two names counts once."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """The parameters that train; a tensor with two names counts once."""
        return sum(row.trainable for row in self.rows)


def apply(model: PreTrainedModel, tuning: Tuning) -> Trainable:
    """Prepare a pretrained model for one tuning: gradients, modes and, for a tied head, an untied copy.

    ``config.tie_word_embeddings`` becomes False where no other tie remains, so that ``save_pretrained`` and
    ``from_pretrained`` return the same model. Where other tensors stay tied (the embeddings of encoder and decoder,
    Zamba's shared blocks, the two names of a BERT head's bias), the entry stays: transformers 5 leaves a head untied
    that differs on disk, and without the entry it would load the others as random numbers.

    Raises:
        ModelError: More blocks are asked for than there are, or a block shares a tensor with a frozen part.
        ValueError: The model is still under another tuning.
    """
    if model in _TUNED:
        raise ValueError("the model is still tuned; call reset first")
    parts = anatomy(model)
    modules = _modules(model, parts, tuning)
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    constant = {id(parameter) for parameter in model.parameters() if not parameter.requires_grad}
    tied, twin = getattr(model.config, "tie_word_embeddings", None), _twin(model, parts)
    notes = _notes(model, parts, modules, twin)
    if twin is not None and _needs_own_head(parts, modules, twin):
        _untie(model, parts.head.module, twin)
    else:
        twin = None
    _TUNED.add(model)
    model.requires_grad_(False)
    for parameter in (own for name in modules for own in model.get_submodule(name).parameters()):
        parameter.requires_grad_(id(parameter) not in constant)
    values = snapshot(model)
    pristine = Pristine(values, flags, twin, tied)
    trainable = Trainable(tuple(values), modules, _rows(model, parts), notes, pristine)
    _refuse_shared(model, trainable, parts.head.name)
    set_modes(model, trainable)
    return trainable


def reset(model: PreTrainedModel, trainable: Trainable) -> None:
    """Undo `apply` and whatever was trained since: values, ties, flags, gradients and modes are as loaded."""
    pristine = trainable.pristine
    restore(model, pristine.values)
    if pristine.twin is not None:
        head: Any = projection(model)
        head.weight = model.get_parameter(pristine.twin)
        model.config.tie_word_embeddings = pristine.tie_word_embeddings
    for name, flag in pristine.requires_grad.items():
        model.get_parameter(name).requires_grad_(flag)
    model.zero_grad(set_to_none=True)
    model.eval()
    _TUNED.discard(model)


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """Copy the values of the parameters that train, to the CPU."""
    return {
        name: parameter.detach().to("cpu", copy=True)
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }


def restore(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Put the values of a `snapshot` back."""
    with torch.no_grad():
        for name, value in values.items():
            model.get_parameter(name).copy_(value)


def set_modes(model: nn.Module, trainable: Trainable) -> None:
    """Put what trains in train mode and the frozen rest in eval mode, where dropout is off.

    Call it whenever training begins or goes on after an evaluation.
    """
    model.eval()
    for name in trainable.modules:
        model.get_submodule(name).train()


def first_block(model: PreTrainedModel, tuning: Tuning) -> int | None:
    """Return the index of the first block that a tuning trains, the number of blocks where only what follows them does.

    ``None`` where it leaves no frozen block before what trains: there is nothing to replay.
    """
    parts = anatomy(model)
    modules = _modules(model, parts, tuning)
    if not modules or any(is_inside(part.name, modules) for part in parts.embeddings):
        return None
    for index, block in enumerate(parts.blocks):
        if is_inside(block.name, modules) or any(is_inside(module, [block.name]) for module in modules):
            return index or None
    return len(parts.blocks)


def _modules(model: PreTrainedModel, parts: Anatomy, tuning: Tuning) -> tuple[str, ...]:
    """Return the dotted paths of the modules that a tuning trains."""
    count, blocks = len(parts.blocks), tuning.blocks or 0
    if blocks > count:
        raise ModelError(
            f"tuning {tuning.name}: {type(model).__name__} has {count} blocks, not {blocks}; "
            f"{tuning.kind} must be between 1 and {count}"
        )
    return TUNING_KINDS[tuning.kind].modules(parts, blocks)


def _twin(model: PreTrainedModel, parts: Anatomy) -> str | None:
    """Return the first other name of the head's matrix."""
    own = f"{parts.head.name}.weight"
    named = model.named_parameters(remove_duplicate=False)
    return next((name for name, tensor in named if tensor is parts.head.module.weight and name != own), None)


def _needs_own_head(parts: Anatomy, modules: Sequence[str], twin: str) -> bool:
    """Whether a tied head trains while the embeddings that it is tied to stay frozen."""
    return is_inside(parts.head.name, modules) and not is_inside(twin, modules)


def _untie(model: PreTrainedModel, head: nn.Module, twin: str) -> None:
    head.weight = nn.Parameter(model.get_parameter(twin).detach().clone())
    names = list(model.named_parameters(remove_duplicate=False))
    if len(names) == len({id(tensor) for _, tensor in names}):
        model.config.tie_word_embeddings = False


def _notes(model: PreTrainedModel, parts: Anatomy, modules: Sequence[str], twin: str | None) -> tuple[str, ...]:
    """Say what becomes of a tied head."""
    if twin is None or not modules:
        return ()
    pair = f"{parts.head.name} is tied to {twin}"
    if _needs_own_head(parts, modules, twin):
        return (f"{pair}: an untied copy of it trains ({model.get_parameter(twin).numel():,} more parameters)",)
    return (f"{pair}: {'they train as one tensor' if is_inside(twin, modules) else 'both stay frozen'}",)


def _rows(model: PreTrainedModel, parts: Anatomy) -> tuple[Row, ...]:
    modules: list[tuple[str, list[nn.Module]]] = [("embeddings", [part.module for part in parts.embeddings])]
    for stack in dict.fromkeys(block.stack for block in parts.blocks):
        modules += [(block.name, [block.module]) for block in parts.blocks if block.stack == stack]
        modules += [(norm.name, [norm.module]) for norm in parts.final_norms if norm.stack == stack]
    modules += [("head", [parts.head.module]), ("other", [model])]
    rows, seen = [], set[int]()
    for name, roots in modules:
        own = {id(tensor): tensor for root in roots for tensor in root.parameters() if id(tensor) not in seen}
        seen |= own.keys()
        trains = sum(tensor.numel() for tensor in own.values() if tensor.requires_grad)
        rows.append(Row(name, sum(tensor.numel() for tensor in own.values()), trains))
    return tuple(row for row in rows if row.parameters or row.part == "head")


def _refuse_shared(model: PreTrainedModel, trainable: Trainable, head: str) -> None:
    inside = {
        f"{path}.{name}".lstrip(".")
        for path in trainable.modules
        for name, _ in model.get_submodule(path).named_parameters(remove_duplicate=False)
    }
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.requires_grad and name not in inside and not is_owned(name, head):
            reset(model, trainable)
            others = "full or none" if trainable.modules == (head,) else "full, head or none"
            raise ModelError(
                f"{type(model).__name__}: {name} is frozen, but shares its tensor with a part that trains; "
                f"tune {others}"
            )
