"""The last block at label positions alone: what a step leaves out since nobody reads it.

Behind the last block only the positions whose logits are used count. Inside it the keys and values of all positions
do, but the attention's output and the feed-forward part of the others are computed for nothing, and a query before the
first wanted position answers nobody. Which modules can do without is found by trying, never by name: one is run on the
wanted positions alone, and where the logits do not change it may stay so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import pad, scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from harness.models.find_blocks import Part, anatomy, blocks
from harness.models.hooks import MISFIT, answering, eval_mode, unmoved
from harness.models.mask_filling import fills_masks

__all__ = ["ask_at_labels", "block_asked_at_labels", "drops_out", "modules_at_labels", "only_at_labels"]

CLOSE = 1e-5
"""The largest difference, as a share of the largest logit, that rows of another number may make to a product."""

NOISE = 0.05
"""Its standard deviation, a little over that of usual initial weights."""


def modules_at_labels(model: PreTrainedModel) -> tuple[nn.Module, ...]:
    """Find the modules of the last block that need to see the wanted positions alone; runs the model on 16 tokens.

    Of a masked model those of its head's transform as well. Wanted positions are a causal model's targets, somewhere
    in a row, or those of a decoder, from its start on.
    What is found holds for any weights, as training needs it: the block is tried with noise on its own.
    """
    logits, wanted = _tried(model)
    with eval_mode(model):
        live = logits()
        modules: list[nn.Module] = []
        transform = anatomy(model).transform if fills_masks(model) else ()
        waiting = [*blocks(model)[-1].module.children(), *(part.module for part in transform)]
        while waiting:
            module = waiting.pop(0)
            if not any(weight.ndim > 1 for weight in module.parameters()):
                continue  # norms and activations cost less than choosing positions does
            tried, seen = [*modules, module], set[int]()
            if _is_same(live, logits, only_at_labels(tried, wanted, seen=seen.add)) and len(seen) == len(tried):
                modules.append(module)
            else:
                waiting += module.children()
    return tuple(modules)


def block_asked_at_labels(model: PreTrainedModel) -> nn.Module | None:
    """Return the last block if its attention need not be asked before the first wanted position, as tried here too."""
    logits, wanted = _tried(model)
    block, calls = blocks(model)[-1].module, list[bool]()
    with eval_mode(model):
        is_same = _is_same(logits(), logits, ask_at_labels(block, wanted, seen=lambda: calls.append(True)))
    return block if calls and is_same else None


def drops_out(model: PreTrainedModel) -> bool:
    """Return whether the model, in the modes it is in, draws dropout; its generators are put back."""
    inputs, _ = _probe(model)
    device = model.device
    devices = [] if device.type == "cpu" else [device]  # the CPU's generator is always put back
    with torch.no_grad(), unmoved(model), torch.random.fork_rng(devices, device_type=device.type):
        drawn = model(**inputs, use_cache=False).logits
        with eval_mode(model):
            return not torch.equal(drawn, model(**inputs, use_cache=False).logits)


def _tried(model: PreTrainedModel) -> tuple[Callable[[], Tensor], Tensor]:
    """Return what computes the wanted logits with noise on the last block, and where they are wanted."""
    inputs, wanted = _probe(model)
    stirred = _stirred(model, blocks(model)[-1])

    def logits() -> Tensor:
        output: Tensor = functional_call(model, stirred, kwargs={**inputs, "use_cache": False}).logits
        return output[wanted]

    return logits, wanted


def _probe(model: PreTrainedModel) -> tuple[dict[str, Tensor], Tensor]:
    """Return two rows of eight distinct tokens, and where their logits are wanted."""
    size = model.get_input_embeddings().weight.shape[0]
    tokens = (torch.arange(16, device=model.device) * 7 + 4).remainder(size).view(2, 8)
    wanted = torch.zeros(2, 8, dtype=torch.bool, device=model.device)
    if model.config.is_encoder_decoder:
        wanted[0, :4] = wanted[1, :6] = True
        return {"input_ids": tokens, "decoder_input_ids": tokens.flip(1)}, wanted
    wanted[0, 4:6] = wanted[1, 6:] = True
    return {"input_ids": tokens}, wanted


def _stirred(model: PreTrainedModel, block: Part) -> dict[str, Tensor]:
    """Return a block's weights with noise: a matrix of zeros, where training may begin, would hide what lies before."""
    drawn = torch.Generator().manual_seed(0)
    return {
        f"{block.name}.{name}": weight.detach() + NOISE * torch.randn(weight.shape, generator=drawn).to(weight)
        for name, weight in block.module.named_parameters()
    }


def _is_same(live: Tensor, logits: Callable[[], Tensor], left_out: AbstractContextManager[None]) -> bool:
    try:
        with left_out:
            tried = logits()
    except MISFIT:
        return False
    return bool((tried - live).abs().max() <= CLOSE * live.abs().max())


@contextmanager
def only_at_labels(
    modules: Sequence[nn.Module], wanted: Tensor, *, seen: Callable[[int], object] = lambda index: None
) -> Iterator[None]:
    """Let modules from `modules_at_labels` see the wanted positions alone; at the others they return zeros.

    Whenever positions were left out of a module's call, its index is seen.
    """
    with ExitStack() as undo:
        for index, module in enumerate(modules):
            undo.enter_context(answering(module, _at(wanted, module.forward, index, seen)))
        yield


def _at(wanted: Tensor, forward: Callable[..., Any], index: int, seen: Callable[[int], object]) -> Callable[..., Any]:
    """Return a forward that runs another on the wanted positions of its one tensor."""

    def chosen(*args: Any, **kwargs: Any) -> Any:
        values, *others = args
        mask = wanted if values.shape[: wanted.ndim] == wanted.shape else wanted.flatten()
        if others or kwargs or values.shape[: mask.ndim] != mask.shape:
            return forward(*args, **kwargs)
        seen(index)
        some: Tensor = forward(values[mask])
        whole = some.new_zeros(*mask.shape, *some.shape[1:])
        whole[mask] = some
        return whole

    return chosen


@contextmanager
def ask_at_labels(
    block: nn.Module | None, wanted: Tensor, *, seen: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Let a block's attention answer from the first wanted position on; before it, it returns zeros.

    Attention that is not torch's ``scaled_dot_product_attention`` is left as it is, and ``None`` changes nothing.
    Whenever queries were left out, that is seen. Logits are wanted in a mask of shape (rows, positions).
    """
    first = int(wanted.any(0).nonzero()[0]) if block is not None and bool(wanted.any()) else 0
    if block is None or first == 0:
        yield
        return
    forward: Callable[..., Any] = block.forward

    def late(*args: Any, **kwargs: Any) -> Any:
        with _Late(first, wanted.size(1), seen):
            return forward(*args, **kwargs)

    with answering(block, late):
        yield


class _Late(TorchFunctionMode):
    """Cuts the first queries off every attention of as many positions as a row has."""

    def __init__(self, first: int, size: int, seen: Callable[[], None]) -> None:
        super().__init__()
        self._first, self._size, self._seen = first, size, seen

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        call = self._attention if func is scaled_dot_product_attention else func
        return call(*args, **(kwargs or {}))

    def _attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **options: Any,
    ) -> Tensor:
        options["dropout_p"] = dropout_p
        if query.size(-2) != self._size:
            return scaled_dot_product_attention(query, key, value, attn_mask, is_causal=is_causal, **options)
        self._seen()
        if is_causal:
            positions = torch.arange(key.size(-2), device=key.device)
            attn_mask = positions <= positions[self._first : self._size, None]
        elif attn_mask is not None and attn_mask.size(-2) == self._size:
            attn_mask = attn_mask[..., self._first :, :]
        late = scaled_dot_product_attention(query[..., self._first :, :], key, value, attn_mask, **options)
        return pad(late, (0, 0, self._first, 0))
