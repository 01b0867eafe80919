"""Capture points of generation's first call: what it leaves in the cache, and hands to what trains.

Generation reads a whole prompt in its first call, the prefill, and one token in each of the others. The keys and
values that frozen blocks make of a prompt are the same in every trial, and so are the hidden states at the cut: they
are put into the new cache and given back, while masks and positions are made as usual. Then the blocks are whole again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from transformers import Cache, PreTrainedModel

from harness.core.errors import ModelError
from harness.models.find_blocks import blocks, head
from harness.models.frozen.block_outputs import Layout, layouts, passing
from harness.models.frozen.capture import (
    ActivationSink,
    ActivationStore,
    BlockCapture,
    CapturePoint,
    EncoderCapture,
    Reached,
    Rows,
    get,
    put,
)
from harness.models.hooks import answering, hooked
from harness.models.transformers_compat import has_generation_steps

__all__ = ["kv_capture_points"]


def kv_capture_points(model: PreTrainedModel, cut: int) -> list[CapturePoint]:
    """Return what a replay of generation's start at a cut needs, in the order of the computation.

    A decoder behind an encoder reads one token in its first call, so there the encoder's pass is all that is worth
    replaying, and only as a whole: the list is empty where a part of the encoder trains, and where this transformers
    does not tell generation's first call apart.

    Args:
        model: See `harness.models.frozen.capture.capture_points`.
        cut: The first block that trains; the number of blocks where only the head does.
    """
    if not has_generation_steps():
        return []
    listed = blocks(model)
    if model.config.is_encoder_decoder:
        whole = cut == len(listed) or listed[cut].stack == "decoder"
        return [_EncoderOutputs(EncoderCapture(model))] if whole else []
    returned = layouts(model, listed)
    caches: list[CapturePoint] = [
        _KeyValueCapture(f"{block.name}.cache", block.module, returned[block.name], index)
        for index, block in enumerate(listed[:cut])
    ]
    if cut == len(listed):
        return [*caches, _LastCapture(f"{head(model).name}.last", head(model).module)]
    last = listed[cut - 1]
    return [*caches, _OutputCapture(BlockCapture(last.name, (last.module,), returned[last.name]))]


@dataclass(frozen=True)
class _KeyValueCapture:
    """The keys and values that a block adds to the cache."""

    name: str
    block: nn.Module
    layout: Layout
    layer: int
    """Its place in the cache."""

    @contextmanager
    def watch(self, rows: Rows, store: ActivationSink, *, stop: bool) -> Iterator[None]:
        own = self.block.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            cache = _cache(args, kwargs)
            update = cache.update

            def listen(keys: Tensor, values: Tensor, layer: int, *more: Any, **others: Any) -> Any:
                if layer != self.layer:
                    raise ModelError(f"{self.name}: block {self.layer} writes to place {layer} of the cache")
                put(store, f"{self.name}/keys", rows, keys.unbind())
                put(store, f"{self.name}/values", rows, values.unbind())
                return update(keys, values, layer, *more, **others)

            with _instead(cache, "update", listen):
                return own(*args, **kwargs)

        with answering(self.block, forward):
            yield

    @contextmanager
    def replaying(self, rows: Rows, store: ActivationStore) -> Iterator[None]:
        keys, values = (get(store, f"{self.name}/{part}", rows) for part in ("keys", "values"))
        passed = passing(self.layout)

        def forward(*args: Any, **kwargs: Any) -> Any:
            _cache(args, kwargs).update(keys, values, self.layer)
            return passed(*args, **kwargs)

        with answering(self.block, forward):
            yield


@dataclass(frozen=True)
class _OutputCapture:
    """What the last frozen block returns, beside what it adds to the cache."""

    block: BlockCapture

    @property
    def name(self) -> str:
        return self.block.name

    def watch(self, rows: Rows, store: ActivationSink, *, stop: bool) -> AbstractContextManager[None]:
        return self.block.watch(rows, store, stop=stop)

    @contextmanager
    def replaying(self, rows: Rows, store: ActivationStore) -> Iterator[None]:
        (module,) = self.block.frozen
        answer, to_cache = self.block.answer(rows, store), module.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            to_cache(*args, **kwargs)
            return answer

        with answering(module, forward):
            yield


@dataclass(frozen=True)
class _EncoderOutputs:
    """The encoder's last hidden states, given back where the encoder is called by itself."""

    encoder: EncoderCapture

    @property
    def name(self) -> str:
        return self.encoder.name

    def watch(self, rows: Rows, store: ActivationSink, *, stop: bool) -> AbstractContextManager[None]:
        return self.encoder.watch(rows, store, stop=stop)

    @contextmanager
    def replaying(self, rows: Rows, store: ActivationStore) -> Iterator[None]:
        answer = self.encoder.answer(rows, store)
        with answering(self.encoder.model.get_encoder(), lambda *args, **kwargs: answer):
            yield


@dataclass(frozen=True)
class _LastCapture:
    """What the head is handed at the last position, in a model of which nothing else trains."""

    name: str
    head: nn.Module

    def watch(self, rows: Rows, store: ActivationSink, *, stop: bool) -> AbstractContextManager[None]:
        def keep(module: nn.Module, args: tuple[Any, ...]) -> None:
            put(store, self.name, rows, args[0][:, -1].unbind())
            raise Reached  # nothing comes behind the head

        return hooked(self.head.register_forward_pre_hook(keep))

    @contextmanager
    def replaying(self, rows: Rows, store: ActivationStore) -> Iterator[None]:
        states = get(store, self.name, rows)  # (rows, width)

        def hand_in(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            hidden = states.new_zeros(args[0].shape)  # (rows, positions, width)
            hidden[:, -1] = states
            return (hidden, *args[1:])

        with hooked(self.head.register_forward_pre_hook(hand_in)):
            yield


def _cache(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    caches = [value for value in (*args, *kwargs.values()) if isinstance(value, Cache)]
    if len(caches) != 1:
        raise ModelError("a block was called without a cache of transformers' own kind")
    return caches[0]


@contextmanager
def _instead(owner: object, name: str, value: object) -> Iterator[None]:
    """Hide a method of one object behind a function."""
    vars(owner)[name] = value
    try:
        yield
    finally:
        del vars(owner)[name]
