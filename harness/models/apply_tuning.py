"""Tuning applied: which weights move, from a kind to flags, modes and a table, and the way back.

What each kind of tuning trains is said in `harness.study.tuning_kinds`. A trial is ``apply``, train, ``reset``; after
it the model is the pretrained one, bit for bit.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.models.find_blocks import Anatomy, anatomy, is_inside, is_owned, projection
from harness.models.held_weights import hold_again, widen
from harness.models.tunable_parts import TunableParts
from harness.models.tuning_adapter import START, Start, adapter_notes, put_on
from harness.models.tuning_table import Row, inner_paths, table_rows
from harness.study.axes import Tuning
from harness.study.tuning_kinds import TUNING_KINDS

if TYPE_CHECKING:
    from harness.models.adapters.attach import Adapter  # PEFT takes seconds to import, where few tunings ask for it

__all__ = [
    "Pristine",
    "Row",
    "Trainable",
    "apply",
    "first_block",
    "reset",
    "restore",
    "set_modes",
    "snapshot",
    "trainable_of",
]

_TUNED: WeakKeyDictionary[PreTrainedModel, Trainable] = WeakKeyDictionary()
"""The models that are under a tuning: flags do not tell, since an architecture may hold parameters constant."""


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
    """The modules that train whole, by dotted path; the path of the model itself is empty."""

    rows: tuple[Row, ...]
    """The table for people, in the order of the computation."""

    notes: tuple[str, ...]
    """What the table does not show, such as an untied head; print them with it."""

    pristine: Pristine = field(repr=False)
    """The way back."""

    adapter: Adapter | None = field(default=None, repr=False)
    """The adapter that trains, if one does."""

    @property
    def total(self) -> int:
        """All parameters; a tensor with two names counts once."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """The parameters that train; a tensor with two names counts once."""
        return sum(row.trainable for row in self.rows)


def apply(model: PreTrainedModel, tuning: Tuning, start: Start = START) -> Trainable:
    """Prepare a pretrained model for one tuning: gradients, modes and, for a tied head, an untied copy.

    Where the embeddings train and the head does not, a tied head stays tied, and moves with them.

    ``config.tie_word_embeddings`` becomes False where no other tie remains, so that ``save_pretrained`` and
    ``from_pretrained`` return the same model. Where other tensors stay tied (the embeddings of encoder and decoder,
    Zamba's shared blocks, the two names of a BERT head's bias), the entry stays: transformers 5 leaves a head untied
    that differs on disk, and without the entry it would load the others as random numbers.

    Args:
        model: As it was loaded.
        tuning: What is to train.
        start: What the first weights of an adapter depend on.

    Raises:
        ModelError: More blocks are asked for than there are, the model has nothing of the kind, or what trains shares a
            tensor with a frozen part.
        ValueError: The model is still under another tuning.
    """
    if model in _TUNED:
        raise ValueError("the model is still tuned; call reset first")
    parts = anatomy(model)
    paths = _paths(model, parts, tuning)
    named = dict(model.named_modules(remove_duplicate=False))
    modules = tuple(path for path in paths if path in named)  # not those of parameters
    flags = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    constant = {id(parameter) for parameter in model.parameters() if not parameter.requires_grad}
    tied, twin = getattr(model.config, "tie_word_embeddings", None), _twin(model, parts)
    moving = _parameters(model, paths)
    notes = (*inner_paths(parts, paths), *_notes(model, parts, modules, twin, moving.keys()))
    adapter, added = put_on(model, tuning, parts, start)
    notes += adapter_notes(parts, tuning, adapter)
    if twin is not None and _needs_own_head(parts, modules, twin):
        _untie(model, parts.head.module, twin)
    else:
        twin = None
    model.requires_grad_(False)
    for parameter in added:
        parameter.requires_grad_(True)
    for parameter in _parameters(model, paths).values():  # an untied head is another one by now
        parameter.requires_grad_(id(parameter) not in constant)
    modules += adapter.modules if adapter else ()
    try:
        widen(model)
    except ModelError:  # its files have changed
        reset(model, Trainable((), modules, (), notes, Pristine({}, flags, twin, tied), adapter))
        raise
    values = snapshot(model)
    pristine = Pristine(values, flags, twin, tied)
    trainable = Trainable(tuple(values), modules, table_rows(model, parts), notes, pristine, adapter)
    _TUNED[model] = trainable
    _refuse_shared(model, trainable, parts, (*paths, *modules))
    set_modes(model, trainable)
    return trainable


def trainable_of(model: PreTrainedModel) -> Trainable:
    """Return what the tuning that a model is under trains."""
    return _TUNED[model]


def reset(model: PreTrainedModel, trainable: Trainable) -> None:
    """Undo `apply` and whatever was trained since: values, ties, flags, gradients and modes are as loaded."""
    pristine = trainable.pristine
    restore(model, pristine.values)
    if pristine.twin is not None:
        head: Any = projection(model)
        head.weight = model.get_parameter(pristine.twin)
        model.config.tie_word_embeddings = pristine.tie_word_embeddings
    model.zero_grad(set_to_none=True)
    if trainable.adapter:
        trainable.adapter.take_off()
    hold_again(model)
    for name, flag in pristine.requires_grad.items():
        model.get_parameter(name).requires_grad_(flag)
    model.eval()
    _TUNED.pop(model, None)


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
    paths = _paths(model, parts, tuning)
    adapter, _ = put_on(model, tuning, parts)
    if adapter:
        adapter.take_off()
        if adapter.is_soft_prompt:
            return None
        paths += adapter.modules
    if not paths or any(_touches(paths, part.name) for part in parts.embeddings):
        return None
    for index, block in enumerate(parts.blocks):
        if _touches(paths, block.name):
            return index or None
    return len(parts.blocks)


def _paths(model: PreTrainedModel, parts: Anatomy, tuning: Tuning) -> tuple[str, ...]:
    """Return the dotted paths of the modules that a tuning trains whole, and of single parameters."""
    if told := tuning.misfit(type(model).__name__, len(parts.blocks)):
        raise ModelError(f"tuning {tuning.name}: {told}")
    tunable = TunableParts(model, parts)
    try:
        paths = TUNING_KINDS[tuning.kind].paths(tunable, tuning.blocks)
        paths += tuple(path for part in tuning.parts for path in TUNING_KINDS[part].paths(tunable, None))
    except ModelError as error:
        raise ModelError(f"tuning {tuning.name}: {error}") from None
    if tuning.trains and not paths and not tuning.adapter:
        raise ModelError(
            f"tuning {tuning.name}: {type(model).__name__} has no {TUNING_KINDS[tuning.kind].words or 'such part'} "
            f"{'there' if tuning.blocks else 'at all'}, so that nothing would train; leave this tuning out"
        )
    return (*paths, *(path for path in tunable.new if not is_inside(path, paths))) if tuning.trains else paths


def _parameters(model: PreTrainedModel, paths: Sequence[str]) -> dict[int, nn.Parameter]:
    """Return the parameters at some paths and below, by identity."""
    named = model.named_parameters(remove_duplicate=False)
    return {id(parameter): parameter for name, parameter in named if is_inside(name, paths)}


def _touches(paths: Sequence[str], part: str) -> bool:
    """Return whether paths hold a part of a model, or something in it."""
    return is_inside(part, paths) or any(is_inside(path, [part]) for path in paths)


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


def _notes(
    model: PreTrainedModel, parts: Anatomy, modules: Sequence[str], twin: str | None, moving: Collection[int]
) -> tuple[str, ...]:
    """Say what becomes of a tied head, where parameters of these identities train."""
    if twin is None or not moving:
        return ()
    pair = f"{parts.head.name} is tied to {twin}"
    if _needs_own_head(parts, modules, twin):
        return (f"{pair}: an untied copy of it trains ({model.get_parameter(twin).numel():,} more parameters)",)
    moves = id(model.get_parameter(twin)) in moving
    return (f"{pair}: {'they train as one tensor' if moves else 'both stay frozen'}",)


def _refuse_shared(model: PreTrainedModel, trainable: Trainable, parts: Anatomy, paths: Sequence[str]) -> None:
    """See that no frozen part moves with what trains, but for what is tied to embeddings outside of blocks."""
    head, blocks = parts.head.name, [block.name for block in parts.blocks]
    embedded = {
        id(weight) for part in parts.embeddings if is_inside(part.name, paths) for weight in part.module.parameters()
    }
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if not parameter.requires_grad or is_inside(name, paths) or is_owned(name, head):
            continue
        if id(parameter) in embedded and not is_inside(name, blocks):
            continue
        reset(model, trainable)
        others = "full or none" if head in trainable.modules else "full, head or none"
        raise ModelError(
            f"{type(model).__name__}: {name} is frozen, but shares its tensor with a part that trains; tune {others}"
        )
