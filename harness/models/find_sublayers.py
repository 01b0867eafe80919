"""Sublayers: which modules of a model are norms, and which of a block's are its attention and its feed-forward part.

Found like the blocks, by structure and by watching one forward pass, never by names of families or of modules:

* a norm is a module with weights and no parts that answers the same, whatever its input is multiplied by;
* attention is the innermost module with weights inside which a softmax over positions is taken, with the one matrix
  behind it that its own parent holds where it has none itself, as in BERT;
* a feed-forward part is all that is left of a block's matrices, if that is one or two into an inner width (twice that,
  where two are written as one) and one back (Vaswani et al. 2017, section 3.3; Shazeer 2020 for those with a gate).

What looks otherwise, such as a mixture of experts, a state space or a convolution, is neither.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from harness.models.find_blocks import Part, is_inside
from harness.models.hooks import MISFIT, look

__all__ = ["Sublayers", "sublayers"]

POSITIONS = 11
"""Of the row that is watched: no number of heads or of experts, by which a softmax over positions is known."""

CLOSE = 1e-2
"""How much a norm's answers to an input at two scales may differ, as a share of the largest; bfloat16 rounds."""


class Sublayers(NamedTuple):
    """What was found; by dotted paths."""

    norms: tuple[str, ...]
    """All of a model's, in its order; one that several parts share has several paths."""
    attention: Mapping[str, tuple[str, ...]]
    """By block; empty where there is none."""
    feed_forward: Mapping[str, tuple[str, ...]]
    """Likewise."""


class _Event(NamedTuple):
    """A call of a module with a matrix, or a softmax over positions."""

    module: nn.Module
    """Of a softmax, the innermost one with weights that it is taken in."""
    around: tuple[nn.Module, ...]
    """What was being called, the outermost first."""
    widths: tuple[int, int] | None
    """Of a matrix, from which width to which."""


def sublayers(model: PreTrainedModel, listed: Sequence[Part]) -> Sublayers:
    """Find the sublayers of a model, of which these are the blocks; runs it once on eleven tokens."""
    watch = _Watch([block.module for block in listed])
    with ExitStack() as undo:
        for module in model.modules():
            undo.enter_context(module.register_forward_pre_hook(watch.enter))
            undo.enter_context(module.register_forward_hook(watch.leave, with_kwargs=True))
        undo.enter_context(watch)
        look(model, rows=1, positions=POSITIONS)
    norms = tuple(name for name, module in model.named_modules(remove_duplicate=False) if module in watch.norms)
    attention: dict[str, tuple[str, ...]] = {}
    feed_forward: dict[str, tuple[str, ...]] = {}
    for block in listed:
        events = watch.events[block.module]
        own = _attention(block.module, events)
        attention[block.name] = tuple(f"{block.name}.{path}" for path in own)
        parts = _feed_forward(block.module, events, own, watch.norms)
        feed_forward[block.name] = tuple(f"{block.name}.{path}" for path in parts)
    return Sublayers(norms, attention, feed_forward)


class _Watch(TorchFunctionMode):
    """Notes norms, and by block what happens in it, while a model runs."""

    def __init__(self, listed: Sequence[nn.Module]) -> None:
        super().__init__()
        self.norms: set[nn.Module] = set()
        self.events: dict[nn.Module, list[_Event]] = {block: [] for block in listed}
        self._around: list[nn.Module] = []
        self._tries = False
        """Whether a module is called only to see what it does."""

    def enter(self, module: nn.Module, args: Any) -> None:
        if not self._tries:
            self._around.append(module)

    def leave(self, module: nn.Module, args: Any, kwargs: Mapping[str, Any], output: Any) -> None:
        if self._tries:
            return
        self._around.pop()
        values = next(iter((*args, *kwargs.values())), None)
        if any(True for _ in module.children()) or not isinstance(values, Tensor) or not values.is_floating_point():
            return
        weights = list(module.parameters())
        self._tries = True
        is_norm = bool(weights) and _ignores_scale(module, args, kwargs, output)
        self._tries = False
        if is_norm:
            self.norms.add(module)
        elif any(weight.ndim > 1 for weight in weights):
            width = output.size(-1) if isinstance(output, Tensor) else 0
            self._note(_Event(module, tuple(self._around), (values.size(-1), width)))

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        if not self._tries and _mixes_positions(func, args):
            inner = [module for module in self._around if any(True for _ in module.parameters())]
            self._note(_Event(inner[-1], tuple(self._around), None))
        return func(*args, **(kwargs or {}))

    def _note(self, event: _Event) -> None:
        block = next((module for module in reversed(event.around) if module in self.events), None)
        if block is not None:
            self.events[block].append(event)


def _mixes_positions(func: Callable[..., Any], args: Sequence[Any]) -> bool:
    """Return whether a function of torch is a softmax over positions: a row for each, and maybe a sink beside them."""
    name = getattr(func, "__name__", "")
    if name != "softmax":
        return name == "scaled_dot_product_attention"
    scores = args[0] if args else None
    if not isinstance(scores, Tensor) or scores.ndim < 3:
        return False
    return scores.shape[-2] == POSITIONS and scores.shape[-1] in (POSITIONS, POSITIONS + 1)


def _ignores_scale(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any], output: Any) -> bool:
    """Return whether a module answers noise ten times as large the same; weights of zeros would hide what it does."""
    first, *others = args or [None]
    if not isinstance(first, Tensor) or not isinstance(output, Tensor) or output.shape != first.shape:
        return False
    drawn = torch.Generator().manual_seed(0)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=drawn).to(like)

    stirred = {name: weight.detach() + noise(weight) for name, weight in module.named_parameters()}
    values = 10 * noise(first)
    try:
        one, other = (functional_call(module, stirred, (each, *others), dict(kwargs)) for each in (values, 10 * values))
    except MISFIT:
        return False
    return bool((one - other).abs().max() <= CLOSE * one.abs().max())


def _attention(block: nn.Module, events: Sequence[_Event]) -> tuple[str, ...]:
    """Return the paths of a block's attention below it; none where it is not in modules of its own."""
    names = {module: name for name, module in block.named_modules()}
    paths: dict[str, None] = {}
    for place, event in enumerate(events):
        if event.widths is not None:
            continue
        if not names.get(event.module):
            return ()
        paths[names[event.module]] = None
        behind = [later for later in events[place + 1 :] if later.widths is not None]
        parent = names[event.module].rpartition(".")[0]
        if parent and behind and not any(event.module in later.around for later in behind):
            following = names.get(behind[0].module, "")
            if is_inside(following, [parent]):
                paths[following] = None
    return tuple(paths)


def _feed_forward(
    block: nn.Module, events: Sequence[_Event], attention: Sequence[str], norms: set[nn.Module]
) -> tuple[str, ...]:
    """Return the paths of a block's feed-forward part below it; none where what is left is no such part."""
    names = {module: name for name, module in block.named_modules()}
    left = {
        names[event.module]: event.widths
        for event in events
        if event.widths is not None and event.module in names and not is_inside(names[event.module], attention)
    }
    of_norms = {id(weight) for norm in norms for weight in norm.parameters()}
    matrices = {
        id(weight)
        for name, weight in block.named_parameters()
        if weight.ndim > 1 and id(weight) not in of_norms and not is_inside(name, attention)
    }
    weights = [weight for name in left for weight in block.get_submodule(name).parameters() if weight.ndim > 1]
    if {id(weight) for weight in weights} != matrices or any(weight.ndim > 2 for weight in weights):
        return ()
    *into, back = left.values() or [(0, 0)]
    fits = len(into) in (1, 2) and all(one[0] == back[1] and one[1] in (back[0], 2 * back[0]) for one in into)
    if not fits:
        return ()
    parent = ".".join(os.path.commonprefix([name.split(".")[:-1] for name in left]))
    is_whole = parent and not any(is_inside(path, [parent]) for path in attention)
    return (parent,) if is_whole else tuple(left)
