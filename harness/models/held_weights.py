"""Held weights: what does not train held in bfloat16, and computed with in float32.

Half of the memory of a frozen matrix, for the rounding of its values; what is computed, what is recorded and what
trains stays float32. A matrix is widened for each product, some rows of it at a time. Norms, biases, constants and what
is no plain linear layer or embedding stay float32: they are small, or no product of theirs is known here; so do those
of which transformers itself says so, and those whose float32 values could not be read again when they are to train.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from harness.models.checkpoint_values import Entry, entries, value
from harness.models.transformers_compat import kept_in_float32

__all__ = [
    "HeldConv1D",
    "HeldEmbedding",
    "HeldLinear",
    "computed_in",
    "hold",
    "hold_again",
    "hold_as_loaded",
    "let_go",
    "saved_bytes",
    "widen",
    "widened",
    "widened_product",
]

ROOM = 2**21
"""The most numbers that are widened at a time: 8 MiB."""

Multiply = Callable[[Tensor, Tensor], Tensor]
"""``rows @ weight.t()`` of float32 matrices."""

_HELD: WeakKeyDictionary[PreTrainedModel, Mapping[str, Entry]] = WeakKeyDictionary()
"""Of each model: where the float32 values of what is held are, by all names of it."""


def hold(model: PreTrainedModel, files: Iterable[Path]) -> None:
    """Hold a float32 model's matrices in bfloat16 from here on; files are the checkpoint's safetensors."""
    names = _names(model)
    weights = {names[id(module.weight)][0]: module.weight for module in _holding(model)}
    found = entries({name: weight.detach() for name, weight in weights.items()}, _by_first(names), files)
    for name in found:
        weights[name].data = weights[name].data.bfloat16()
    _note(model, found, names)


def hold_as_loaded(model: PreTrainedModel, files: Iterable[Path]) -> bool:
    """Hold the matrices of a model that was loaded in bfloat16, and give all else its float32 values.

    It never was in memory in float32, as it is for `hold`.

    Returns:
        Whether that could be done: all of its values must be in the files. Else it is of no use.
    """
    made = [value for module in model.modules() for value in vars(module).values() if isinstance(value, Tensor)]
    if any(tensor.is_floating_point() and tensor.dtype != torch.float32 for tensor in (*model.buffers(), *made)):
        return False
    names, weights = _names(model), dict(model.named_parameters())
    found = entries({name: weight.detach() for name, weight in weights.items()}, _by_first(names), files)
    if found.keys() != weights.keys():
        return False
    held = {names[id(module.weight)][0] for module in _holding(model)}
    for name in found.keys() - held:
        weights[name].data = value(found[name], weights[name].data)
    _note(model, {name: found[name] for name in held}, names)
    for config in {id(one): one for one in (model.config, *vars(model.config).values())}.values():
        if isinstance(config, PreTrainedConfig):
            config.dtype = torch.float32  # as of a model that was
    return True


def let_go(model: PreTrainedModel) -> None:
    """Hold nothing more that the model itself has widened when it was called, as Switch's routers are."""
    for name, weight in model.named_parameters():
        if name in _HELD[model] and weight.dtype != torch.bfloat16:
            weight.data = value(_HELD[model][name], weight.data.bfloat16())
    low = {name for name, weight in model.named_parameters(remove_duplicate=False) if weight.dtype == torch.bfloat16}
    _HELD[model] = {name: entry for name, entry in _HELD[model].items() if name in low}


def _names(model: PreTrainedModel) -> dict[int, list[str]]:
    """Return all names of each parameter, by its identity."""
    names: dict[int, list[str]] = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(weight), []).append(name)
    return names


def _by_first(names: Mapping[int, Sequence[str]]) -> dict[str, Sequence[str]]:
    return {each[0]: each for each in names.values()}


def _note(model: PreTrainedModel, found: Mapping[str, Entry], names: Mapping[int, Sequence[str]]) -> None:
    """Let modules compute with what is held, and remember where its float32 values are."""
    for module in _holding(model):
        if names[id(module.weight)][0] in found:
            module.__class__ = _class_of(module)
    _HELD[model] = {alias: entry for name, entry in found.items() for alias in _by_first(names)[name]}


def widen(model: PreTrainedModel) -> None:
    """Give what is to train its float32 values, as the checkpoint has them.

    Raises:
        ModelError: Its files have changed.
    """
    held = _HELD.get(model, {})
    for name, weight in model.named_parameters():
        if name in held and weight.requires_grad and weight.dtype == torch.bfloat16:
            weight.data = value(held[name], weight.data)


def hold_again(model: PreTrainedModel) -> None:
    """Undo `widen`; values that are the pretrained ones are rounded to what they were."""
    held = _HELD.get(model, {})
    for name, weight in model.named_parameters():
        if name in held and weight.dtype == torch.float32:
            weight.data = weight.data.bfloat16()


@contextmanager
def widened(model: PreTrainedModel) -> Iterator[None]:
    """Let a model be float32 throughout, of the values that it computes with, as it is to be stored whole."""
    low = [weight for weight in model.parameters() if model in _HELD and weight.dtype == torch.bfloat16]
    for weight in low:
        weight.data = weight.data.float()
    try:
        yield
    finally:
        for weight in low:
            weight.data = weight.data.bfloat16()


def saved_bytes(model: PreTrainedModel, trained: Collection[str]) -> int:
    """Return what a model takes less than in float32, in bytes, while parameters of some names train."""
    held = _HELD.get(model, {})
    return sum(2 * weight.numel() for name, weight in model.named_parameters() if name in held and name not in trained)


def computed_in(model: PreTrainedModel) -> torch.dtype:
    """Return the type that a model computes in, whatever some of its weights are held in."""
    return torch.float32 if model in _HELD else model.dtype


def widened_product(left: Tensor, right: Tensor, multiply: Multiply) -> Tensor:
    """Return ``left @ right.t()`` in float32, of a right side that is widened some of its rows at a time."""
    count, step = len(right), max(1, ROOM // right.size(1))
    if count <= step:
        return multiply(left, right.float())
    product = left.new_empty(len(left), count)
    for start in range(0, count, step):
        product[:, start : start + step] = multiply(left, right[start : start + step].float())
    return product


class HeldLinear(nn.Linear):
    """A linear layer whose weight is held in bfloat16 while it does not train."""

    multiply: Multiply = staticmethod(linear)

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        if _is_low(self.weight, input):
            return _product(input, self.weight, self.bias, self.multiply)
        return super().forward(input)


class HeldConv1D(Conv1D):  # type: ignore[misc]
    """GPT-2's linear layer, whose weight lies the other way round."""

    multiply: Multiply = staticmethod(linear)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        if _is_low(self.weight, x):
            return _product(x, self.weight.t(), self.bias, self.multiply)
        return super().forward(x)  # type: ignore[no-any-return]


class HeldEmbedding(nn.Embedding):
    """An embedding that is held in bfloat16 while it does not train, and looked up as float32."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: D102
        return super().forward(input).float()


def _is_low(weight: Tensor, input: Tensor) -> bool:
    """Return whether a weight is to be widened for its product: autocast multiplies in bfloat16 in any case."""
    return weight.dtype == torch.bfloat16 and not torch.is_autocast_enabled(input.device.type)


class _Held(torch.autograd.Function):
    """``rows @ weight.t()`` that keeps the weight as it is held, and no other copy of it, for the backward pass."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, multiply: Multiply) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.multiply = multiply
        return widened_product(rows, weight, multiply)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        return widened_product(gradients[0], weight.t(), ctx.multiply), None, None


def _product(input: Tensor, weight: Tensor, bias: Tensor | None, multiply: Multiply) -> Tensor:
    rows = input.float().reshape(-1, input.size(-1))
    product: Tensor = _Held.apply(rows, weight, multiply)  # type: ignore[no-untyped-call]
    product = product.view(*input.shape[:-1], len(weight))
    return product if bias is None else product + bias


def _holding(model: PreTrainedModel) -> list[Any]:
    """Return the modules whose weights may be held: plain linear layers and embeddings, by all that share them."""
    modules = [one for one in model.modules() if type(one) in (nn.Linear, Conv1D) or isinstance(one, nn.Embedding)]
    known, float32 = {id(module) for module in modules}, kept_in_float32(model)
    others = {
        id(weight)
        for path, module in model.named_modules()
        for name, weight in module.named_parameters(recurse=False)
        if id(module) not in known or name != "weight" or float32.intersection(path.split("."))
    }
    return [each for each in modules if each.weight.requires_grad and id(each.weight) not in others]


def _class_of(module: nn.Module) -> type[nn.Module]:
    kind = type(module)
    if kind is nn.Linear:
        return HeldLinear
    if kind is Conv1D:
        return HeldConv1D
    # A family's own embedding scales what it looks up, or shifts the place: it finds ours where it calls torch's.
    return HeldEmbedding if kind is nn.Embedding else type(f"Held{kind.__name__}", (kind, HeldEmbedding), {})
