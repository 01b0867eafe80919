"""Anatomy of a model: its blocks in order, what comes before and after them, and its head.

Found by structure and by watching one forward pass, never by the family's name or by parts of parameters' names, so
that an architecture that nobody listed is either understood or refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import takewhile
from typing import Literal, NamedTuple

from torch import nn
from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.models.classification_head import classifies, label_projection
from harness.models.fills_masks import fills_masks
from harness.models.hooks import look

__all__ = ["Anatomy", "Part", "anatomy", "blocks", "head", "is_inside", "is_owned", "projection"]

Stack = Literal["encoder", "decoder"]


class Part(NamedTuple):
    """A module of a model: a block, which is one transformer layer, or one outside the blocks."""

    name: str
    """The module's dotted path."""

    stack: Stack
    """Which half calls it; a causal model is all decoder, and so, by this name, is a masked one."""

    module: nn.Module


class Anatomy(NamedTuple):
    """All that tuning needs to know of a model's structure."""

    blocks: tuple[Part, ...]
    """Encoder first, then decoder."""

    embeddings: tuple[Part, ...]
    """What a stack calls before its first block: token and position embeddings, and their norms; of a masked model the
    tables as well that its blocks read without a call, as DeBERTa's of distances."""

    final_norms: tuple[Part, ...]
    """The norm after a stack's last block, for each stack that has one."""

    head: Part
    """The output projection."""

    transform: tuple[Part, ...] = ()
    """What the head of a masked model, or one of labels, does before that: a dense layer, and a norm (Devlin et al.
    2019, appendix A.2)."""


def anatomy(model: PreTrainedModel) -> Anatomy:
    """Take a model apart; runs it once on two tokens.

    Raises:
        ModelError: No list of blocks, more than one, or no head can be found.
    """
    listed = blocks(model)
    embeddings: list[Part] = []
    norms: list[Part] = []
    top = head(model)
    names = {id(module): name for name, module in model.named_modules()}
    calls = _calls(model, [block.module for block in listed])
    order = [id(module) for module in calls]
    start = 0
    for stack, root in _stacks(model):
        own = [block for block in listed if block.stack == stack]
        first, last = order.index(id(own[0].module)), order.index(id(own[-1].module))
        inside = {id(module) for module in root.modules()}
        embeddings += [Part(names[id(module)], stack, module) for module in calls[start:first]]
        embeddings += [Part(names[id(module)], stack, module) for module in _uncalled(model, root, calls, own)]
        # A projection may come before the norm, as where Gemma 3n joins its streams.
        after = enumerate(takewhile(inside.__contains__, order[last + 1 :]), last + 1)
        places = [place for place, _ in after if _is_norm(calls[place])]
        norms += [Part(names[order[place]], stack, calls[place]) for place in places]
        start = max(places, default=last) + 1
    between = calls[start : order.index(id(top.module))] if fills_masks(model) or classifies(model) else []
    around = {id(module) for name, module in model.named_modules() if is_inside(top.name, [name])}
    transform = (Part(names[id(module)], top.stack, module) for module in between if id(module) not in around)
    return Anatomy(tuple(listed), tuple(embeddings), tuple(norms), top, tuple(transform))


def blocks(model: PreTrainedModel) -> list[Part]:
    """List a model's blocks, encoder first, then decoder.

    The blocks of a stack are its longest list of modules that text goes through; lists inside blocks (a T5 block's
    sub-layers, the experts of a mixture) do not count. Their classes may differ: hybrids alternate attention with
    other layers.

    Raises:
        ModelError: A stack has no list of modules, or two of the greatest length.
    """
    names = {id(module): name for name, module in model.named_modules()}
    return [
        Part(names[id(module)], stack, module)
        for stack, root in _stacks(model)
        for module in _longest(model, names[id(root)], root)
    ]


def head(model: PreTrainedModel) -> Part:
    """Find the output projection.

    BART's and Marian's ``final_logits_bias`` is a buffer beside it, a constant that no tuning trains.

    Raises:
        ModelError: The model has none.
    """
    module = projection(model)
    name = next((name for name, other in model.named_modules() if other is module), None)
    if module is None or name is None:
        raise ModelError(f"{type(model).__name__} has no output projection; use a model that generates text")
    return Part(name, "decoder", module)


def projection(model: PreTrainedModel) -> nn.Module | None:
    """Return the module that makes logits of hidden states, of a classification head those of labels.

    FSMT says the embeddings that it is tied to.
    """
    if classifies(model):
        return label_projection(model)
    module: nn.Module | None = model.get_output_embeddings()
    if not isinstance(module, nn.Embedding):
        return module
    shape = module.weight.shape
    linear = [other for other in model.modules() if isinstance(other, nn.Linear) and other.weight.shape == shape]
    return linear[-1] if linear else None


def is_inside(name: str, modules: Iterable[str]) -> bool:
    """Return whether a module or parameter, by its dotted path, is one of some modules or a part of one.

    >>> is_inside("layers.1.norm", ["layers.1"]), is_inside("layers.10", ["layers.1"]), is_inside("head", [""])
    (True, False, True)
    """
    return any(f"{name}.".startswith(f"{module}.") or not module for module in modules)


def is_owned(name: str, module: str) -> bool:
    """Return whether a parameter belongs directly to a module around another: so BERT's head has its bias twice.

    >>> is_owned("cls.bias", "cls.decoder"), is_owned("cls.decoder.bias", "cls.decoder"), is_owned("bert.bias", "head")
    (True, False, False)
    """
    owner = name.rpartition(".")[0]
    return module != owner and is_inside(module, [owner])


def _stacks(model: PreTrainedModel) -> list[tuple[Stack, nn.Module]]:
    if model.config.is_encoder_decoder:
        return [("encoder", model.get_encoder()), ("decoder", model.get_decoder())]
    decoder = model.get_decoder()
    # ModernBERT's decoder calls its head "decoder".
    return [("decoder", decoder if any(_outermost_lists("", decoder)) else model.base_model)]


def _longest(model: PreTrainedModel, name: str, root: nn.Module) -> nn.ModuleList:
    lists = dict(_outermost_lists(name, root))
    if len(lists) > 1:
        lists = _entered(model, lists) or lists
    length = max((len(modules) for modules in lists.values()), default=0)
    longest = [path for path, modules in lists.items() if len(modules) == length]
    if len(longest) != 1:
        listing = ", ".join(f"{path} ({len(modules)})" for path, modules in lists.items()) or "none"
        raise ModelError(
            f"{type(model).__name__}: cannot tell which modules are the blocks of {name or 'the model'}; "
            f"lists of modules found: {listing}; one must be longer than all others; "
            "use a model of another architecture"
        )
    return lists[longest[0]]


def _entered(model: PreTrainedModel, lists: dict[str, nn.ModuleList]) -> dict[str, nn.ModuleList]:
    """Return the lists that text goes through: a model may have blocks for images as well."""
    entered: set[str] = set()
    with ExitStack() as undo:
        for path, modules in lists.items():
            for module in modules:
                undo.enter_context(module.register_forward_pre_hook(lambda *_, path=path: entered.add(path)))
        look(model, rows=1, positions=2)
    return {path: modules for path, modules in lists.items() if path in entered}


def _outermost_lists(name: str, module: nn.Module) -> Iterator[tuple[str, nn.ModuleList]]:
    for child_name, child in module.named_children():
        path = f"{name}.{child_name}".lstrip(".")
        if not isinstance(child, nn.ModuleList):
            yield from _outermost_lists(path, child)
        elif any(True for _ in child.parameters()):
            yield path, child


def _calls(model: PreTrainedModel, opaque: list[nn.Module]) -> list[nn.Module]:
    """Return the blocks and the other modules with parameters of their own, in the order in which they are called."""
    calls: list[nn.Module] = []
    hidden = {id(module) for block in opaque for module in block.modules()} - {id(block) for block in opaque}
    watched = [
        module
        for module in model.modules()
        if id(module) not in hidden and (module in opaque or any(True for _ in module.parameters(recurse=False)))
    ]
    with ExitStack() as undo:
        for module in watched:
            undo.enter_context(module.register_forward_pre_hook(lambda module, _: calls.append(module)))
        look(model, rows=1, positions=2)
    return calls


def _uncalled(model: PreTrainedModel, root: nn.Module, calls: list[nn.Module], own: list[Part]) -> Iterator[nn.Module]:
    """Yield the tables of a masked model's stack that its blocks read, as they are no modules of their own."""
    known = {id(module) for module in (*calls, *(inner for block in own for inner in block.module.modules()))}
    tables = (module for module in root.modules() if isinstance(module, nn.Embedding) and id(module) not in known)
    return tables if fills_masks(model) or classifies(model) else iter(())


def _is_norm(module: nn.Module) -> bool:
    """A norm has vectors alone and no parts; a projection, such as OPT's out of a wide block, has a matrix."""
    return not any(True for _ in module.children()) and all(each.dim() == 1 for each in module.parameters())
