"""Which weights move: from a tuning to flags, modes and a table, and back to the pretrained model.

===============  =================================================================================
``none``         nothing
``head``         the output projection with its bias; where it is tied, an untied copy of it
``last_blocks``  the last k blocks of the list (encoder first, then decoder), and the final norm of
                 every stack whose last block trains; head and embeddings stay frozen, tied or not
``full``         everything that the architecture does not hold constant; ties stay
===============  =================================================================================

A trial is ``apply``, train, ``reset``; after it the model is the pretrained one, bit for bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.models.find_blocks import Anatomy, anatomy
from harness.study.factors import Tuning

__all__ = ["Pristine", "Row", "Trainable", "apply", "reset", "restore", "set_modes", "snapshot"]


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

    The copy lets a tied head train while the embeddings stay; ``config.tie_word_embeddings`` becomes False where no
    other tie remains, so that ``save_pretrained`` and ``from_pretrained`` return the same model. Where the embeddings
    of encoder and decoder stay tied, the entry stays: transformers 5 leaves a head untied that differs on disk, and
    without the entry it would load one of the embeddings as random numbers.

    Args:
        model: As loaded, or as `reset` left it.
        tuning: What trains.

    Returns:
        The parameters that train, and what `reset` needs.

    Raises:
        ModelError: More blocks are asked for than there are, or a block shares a tensor with a frozen part.
        ValueError: The model is still under another tuning.
    """
    found = anatomy(model)
    if not all(parameter.requires_grad for block in found.blocks for parameter in block.module.parameters()):
        raise ValueError("the model is still tuned; call reset first")
    modules = _modules(model, found, tuning)
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    constant = {id(parameter) for parameter in model.parameters() if not parameter.requires_grad}
    tied, twin = getattr(model.config, "tie_word_embeddings", None), _twin(model, found)
    notes = _notes(model, found, tuning, twin)
    if tuning.kind == "head" and twin is not None:
        _untie(model, found.head.module, twin)
    else:
        twin = None
    model.requires_grad_(False)
    for parameter in (each for name in modules for each in model.get_submodule(name).parameters()):
        parameter.requires_grad_(id(parameter) not in constant)
    pristine = Pristine(snapshot(model), flags, twin, tied)
    trainable = Trainable(_names(model), modules, _rows(model, found), notes, pristine)
    _refuse_shared(model, trainable)
    set_modes(model, trainable)
    return trainable


def reset(model: PreTrainedModel, trainable: Trainable) -> None:
    """Undo `apply` and whatever was trained since: values, ties, flags, gradients and modes are as loaded."""
    pristine = trainable.pristine
    restore(model, pristine.values)
    if pristine.twin is not None:
        model.get_output_embeddings().weight = model.get_parameter(pristine.twin)
        model.config.tie_word_embeddings = pristine.tie_word_embeddings
    for name, flag in pristine.requires_grad.items():
        model.get_parameter(name).requires_grad_(flag)
    model.zero_grad(set_to_none=True)
    model.eval()


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


def _modules(model: PreTrainedModel, found: Anatomy, tuning: Tuning) -> tuple[str, ...]:
    if tuning.kind == "full":
        return ("",)
    if tuning.kind == "head":
        return (found.head.name,)
    if tuning.kind == "none":
        return ()
    count, wanted = len(found.blocks), tuning.blocks or 0
    if not 1 <= wanted <= count:
        raise ModelError(
            f"tuning {tuning.name}: {type(model).__name__} has {count} blocks, not {wanted}; "
            f"last_blocks must be between 1 and {count}"
        )
    chosen = found.blocks[count - wanted :]
    # Blocks are taken from the end: a stack that has one of its blocks among them has its last.
    stacks = {block.stack for block in chosen}
    return tuple(b.name for b in chosen) + tuple(norm.name for norm in found.final_norms if norm.stack in stacks)


def _twin(model: PreTrainedModel, found: Anatomy) -> str | None:
    """Return the first other name of the head's matrix."""
    own = f"{found.head.name}.weight"
    named = model.named_parameters(remove_duplicate=False)
    return next((name for name, each in named if each is found.head.module.weight and name != own), None)


def _untie(model: PreTrainedModel, head: nn.Module, twin: str) -> None:
    shared = model.get_parameter(twin)
    head.weight = nn.Parameter(shared.detach().clone())
    aliases = [name for name, each in model.named_parameters(remove_duplicate=False) if each is shared]
    if len(aliases) == 1:
        model.config.tie_word_embeddings = False


def _notes(model: PreTrainedModel, found: Anatomy, tuning: Tuning, twin: str | None) -> tuple[str, ...]:
    if twin is None or tuning.kind == "none":
        return ()
    pair = f"{found.head.name} is tied to {twin}"
    return {
        "head": (f"{pair}: an untied copy of it trains ({model.get_parameter(twin).numel():,} more parameters)",),
        "last_blocks": (f"{pair}: both stay frozen",),
        "full": (f"{pair}: they train as one tensor",),
    }[tuning.kind]


def _names(model: nn.Module) -> tuple[str, ...]:
    return tuple(name for name, parameter in model.named_parameters() if parameter.requires_grad)


def _rows(model: PreTrainedModel, found: Anatomy) -> tuple[Row, ...]:
    parts: list[tuple[str, list[nn.Module]]] = [("embeddings", [part.module for part in found.embeddings])]
    for stack in dict.fromkeys(block.stack for block in found.blocks):
        parts += [(block.name, [block.module]) for block in found.blocks if block.stack == stack]
        parts += [(norm.name, [norm.module]) for norm in found.final_norms if norm.stack == stack]
    parts += [("head", [found.head.module]), ("other", [model])]
    rows, seen = [], set[int]()
    for name, modules in parts:
        own = {id(each): each for module in modules for each in module.parameters() if id(each) not in seen}
        seen |= own.keys()
        trains = sum(each.numel() for each in own.values() if each.requires_grad)
        rows.append(Row(name, sum(each.numel() for each in own.values()), trains))
    return tuple(row for row in rows if row.parameters or row.part == "head")


def _refuse_shared(model: PreTrainedModel, trainable: Trainable) -> None:
    inside = {
        f"{path}.{name}".lstrip(".")
        for path in trainable.modules
        for name, _ in model.get_submodule(path).named_parameters(remove_duplicate=False)
    }
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if parameter.requires_grad and name not in inside:
            reset(model, trainable)
            raise ModelError(
                f"{type(model).__name__}: {name} is frozen, but shares its tensor with a part that trains; "
                "tune full, head or none"
            )
