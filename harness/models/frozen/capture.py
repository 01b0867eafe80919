"""Capture points: where values can be kept and given back, behind a block, behind the encoder, before the head.

A block answers for itself while its values are replayed: its forward is hidden behind another, while the block, its
attributes and its place in the model's list stay, since loops read attributes and pick masks by index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import Cache, PreTrainedModel
from transformers.utils import ModelOutput

from harness.core.errors import ModelError
from harness.models.classification_head import classifies
from harness.models.fills_masks import fills_masks
from harness.models.find_blocks import Part, anatomy, blocks, head
from harness.models.frozen.block_outputs import Layout, layouts, passing
from harness.models.frozen.kept_rows import Fetch, Keep, Rows, get, put, shape
from harness.models.hooks import answering, look
from harness.models.transformers_compat import has_generation_steps

__all__ = ["CapturePoint", "Reached", "capture_points", "entrance", "kv_capture_points"]


class CapturePoint(Protocol):
    """A place in the network whose values are kept and given back."""

    @property
    def name(self) -> str:
        """Where it is; no other capture point of the model has this name."""

    @property
    def along(self) -> str | None:
        """The input along whose positions a row's kept value lies, by its first axis.

        Empty: padding adds nothing to the value. ``None``: it cannot be cut to less padding.
        """

    def watch(self, rows: Rows, keep: Keep, *, stop: bool) -> AbstractContextManager[object]:
        """Return a context in which a call's value is kept; then, if asked to, the call ends."""

    def replaying(self, rows: Rows, fetch: Fetch) -> AbstractContextManager[object]:
        """Return a context in which the model finds the kept values here."""


class Reached(Exception):
    """Ends a call of the model whose last value is recorded."""


@dataclass(frozen=True)
class _BlockCapture:
    """What the last frozen block of a stack returns, in a stack of which other blocks train."""

    name: str
    frozen: tuple[nn.Module, ...]
    layout: Layout
    reads: str
    """The input whose positions its states have."""

    @property
    def along(self) -> str | None:
        """The input along whose positions its states lie; none where it returns more than states."""
        is_plain = self.layout.axis == 0 and all(kind == "unused" for kind in self.layout.items[1:])
        return self.reads if is_plain else None

    def watch(self, rows: Rows, keep: Keep, *, stop: bool) -> AbstractContextManager[object]:
        def hook(module: nn.Module, args: object, output: Any) -> None:
            items = output if self.layout.is_tuple else (output,)
            for index, (kind, item) in enumerate(zip(self.layout.items, items, strict=True)):
                if kind == "row":
                    put(keep, f"{self.name}/{index}", rows, item.unbind(self._axis(index)))
                elif kind == "shared":
                    keep(f"{self.name}/{index}/{shape(rows)}", item)
            if stop:
                raise Reached

        return self.frozen[-1].register_forward_hook(hook)

    @contextmanager
    def replaying(self, rows: Rows, fetch: Fetch) -> Iterator[None]:
        answer = self.layout.joined([self._item(index, rows, fetch) for index in range(len(self.layout.items))])
        with ExitStack() as undo:
            # All of them give the last one's answer: then none needs to know its place, or what the next one reads.
            for block in self.frozen:
                undo.enter_context(answering(block, lambda *args, **kwargs: answer))
            yield

    def _item(self, index: int, rows: Rows, fetch: Fetch) -> Tensor | None:
        name, kind = f"{self.name}/{index}", self.layout.items[index]
        if kind == "row":
            return get(fetch, name, rows, joined=partial(torch.stack, dim=self._axis(index)))
        return fetch(f"{name}/{shape(rows)}").to(rows.wanted.device) if kind == "shared" else None

    def _axis(self, index: int) -> int:
        return 0 if index else self.layout.axis


@dataclass(frozen=True)
class _EncoderCapture:
    """The last hidden states of an encoder that is frozen from end to end."""

    encoder: nn.Module
    answer: Callable[..., ModelOutput]
    """Makes what the encoder returns: a mixture's has a place for its router's logits."""
    name: str = "encoder"
    along: str | None = "input_ids"

    def watch(self, rows: Rows, keep: Keep, *, stop: bool) -> AbstractContextManager[object]:
        def hook(module: nn.Module, args: object, output: Any) -> None:
            put(keep, self.name, rows, output[0].unbind())
            if stop:
                raise Reached

        return self.encoder.register_forward_hook(hook)

    def replaying(self, rows: Rows, fetch: Fetch) -> AbstractContextManager[object]:
        output = self.answer(last_hidden_state=get(fetch, self.name, rows))
        return answering(self.encoder, lambda *args, **kwargs: output)


@dataclass(frozen=True)
class _HeadCapture:
    """What the head is handed where logits are wanted, in a model of which nothing else trains."""

    name: str
    head: nn.Module
    frozen: tuple[tuple[nn.Module, Layout], ...]
    at_end: bool
    """Whether they are wanted at the last position alone, of however many the head is handed."""
    along: str | None = ""

    def watch(self, rows: Rows, keep: Keep, *, stop: bool) -> AbstractContextManager[object]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            counts, states = rows.wanted.sum(dim=1).tolist(), args[0]
            if states.ndim == 2:  # (rows, width): of a classification head that is handed one position of each
                put(keep, self.name, rows, states[:, None].unbind())
            else:
                put(keep, self.name, rows, states[:, -1].unbind() if self.at_end else states[rows.wanted].split(counts))
            raise Reached  # nothing comes behind the head

        return self.head.register_forward_pre_hook(hook)

    @contextmanager
    def replaying(self, rows: Rows, fetch: Fetch) -> Iterator[None]:
        # (rows, width) or (labels, width)
        states = get(fetch, self.name, rows, joined=torch.stack if self.at_end else torch.cat)

        def hand_in(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            if args[0].ndim == 2:
                return (states, *args[1:])
            hidden = states.new_zeros(args[0].shape)  # (rows, positions, width)
            hidden[(slice(None), -1) if self.at_end else rows.wanted] = states
            return (hidden, *args[1:])

        with ExitStack() as undo:
            for block, layout in self.frozen:
                undo.enter_context(answering(block, passing(layout)))
            undo.enter_context(self.head.register_forward_pre_hook(hand_in))
            yield


@dataclass(frozen=True)
class _KeyValueCapture:
    """The keys and values that a block adds to the cache in generation's first call."""

    name: str
    block: nn.Module
    layer: int
    """Its place in the cache."""
    along: str | None = None

    def watch(self, rows: Rows, keep: Keep, *, stop: bool) -> AbstractContextManager[object]:
        own = self.block.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            cache = _cache(args, kwargs)
            update = cache.update

            def listen(keys: Tensor, values: Tensor, layer: int, *more: Any, **others: Any) -> Any:
                if layer != self.layer:
                    raise ModelError(f"{self.name}: block {self.layer} writes to place {layer} of the cache")
                put(keep, f"{self.name}/keys", rows, keys.unbind())
                put(keep, f"{self.name}/values", rows, values.unbind())
                return update(keys, values, layer, *more, **others)

            with answering(cache, listen, method="update"):
                return own(*args, **kwargs)

        return answering(self.block, forward)

    def replaying(self, rows: Rows, fetch: Fetch) -> AbstractContextManager[object]:
        keys, values = (get(fetch, f"{self.name}/{part}", rows) for part in ("keys", "values"))
        answer = self.block.forward  # of the capture point behind the frozen blocks

        def forward(*args: Any, **kwargs: Any) -> Any:
            _cache(args, kwargs).update(keys, values, self.layer)
            return answer(*args, **kwargs)

        return answering(self.block, forward)


def capture_points(model: PreTrainedModel, cut: int) -> list[CapturePoint]:
    """Return what a replay at a cut needs for a loss, in the order of the computation; runs the model on a few tokens.

    Args:
        model: Any of its parts may be tuned.
        cut: The first block that trains; the number of blocks where only the head does.

    Raises:
        ModelError: A block returns something that cannot be replayed.
        ValueError: There is no such cut.
    """
    return _points(model, blocks(model), cut, at_end=False)


def kv_capture_points(model: PreTrainedModel, cut: int) -> list[CapturePoint]:
    """Return what a replay of generation's start at a cut needs; see `capture_points`.

    A decoder behind an encoder reads one token in its first call, so there the encoder's pass is all that is worth
    replaying, and only as a whole: the list is empty where a part of the encoder trains, and where this transformers
    does not tell generation's first call apart.
    """
    listed = blocks(model)
    if not has_generation_steps():
        return []
    if model.config.is_encoder_decoder:
        is_whole = cut == len(listed) or listed[cut].stack == "decoder"
        return [_encoder_capture(model)] if is_whole else []
    frozen = enumerate(listed[:cut])
    caches = [_KeyValueCapture(f"{block.name}.cache", block.module, index) for index, block in frozen]
    return [*caches, *_points(model, listed, cut, at_end=True)]


def _points(model: PreTrainedModel, listed: Sequence[Part], cut: int, *, at_end: bool) -> list[CapturePoint]:
    if not 1 <= cut <= len(listed):
        raise ValueError(f"a cut must be between 1 and {len(listed)}, the number of blocks, not {cut}")
    returned = layouts(model, listed)
    if cut == len(listed):
        top, frozen = entrance(model), tuple((block.module, returned[block.name]) for block in listed)
        return [_HeadCapture(f"{top.name}.last" if at_end else top.name, top.module, frozen, at_end)]
    points: list[CapturePoint] = []
    if listed[cut].stack != listed[0].stack:
        points.append(_encoder_capture(model))
    own = [block for block in listed[:cut] if block.stack == listed[cut].stack]
    if own:
        name, decodes = own[-1].name, model.config.is_encoder_decoder and own[-1].stack == "decoder"
        reads = "decoder_input_ids" if decodes else "input_ids"
        points.append(_BlockCapture(name, tuple(block.module for block in own), returned[name], reads))
    return points


def entrance(model: PreTrainedModel) -> Part:
    """Return what is called first of a head: of a masked model, or of labels, its transform, which trains with it."""
    is_wider = fills_masks(model) or classifies(model)
    return (*anatomy(model).transform, head(model))[0] if is_wider else head(model)


def _encoder_capture(model: PreTrainedModel) -> _EncoderCapture:
    encoder, answers = model.get_encoder(), list[Any]()
    with encoder.register_forward_hook(lambda module, args, output: answers.append(type(output))):
        look(model, rows=1, positions=3)
    return _EncoderCapture(encoder, answers[0])


def _cache(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    caches = [value for value in (*args, *kwargs.values()) if isinstance(value, Cache)]
    if len(caches) != 1:
        raise ModelError("a block was called without a cache of transformers' own kind")
    return caches[0]
