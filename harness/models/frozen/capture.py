"""Capture points: where values can be kept and given back, behind a block, behind the encoder, before the head.

A block answers for itself while its values are replayed: its forward is hidden behind another, while the block, its
attributes and its place in the model's list stay, since loops read attributes and pick masks by index.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from harness.models.find_blocks import blocks, head
from harness.models.frozen.block_outputs import Layout, layouts, passing
from harness.models.hooks import answering, hooked

__all__ = [
    "ActivationSink",
    "ActivationStore",
    "BlockCapture",
    "ByCapturePoint",
    "CapturePoint",
    "EncoderCapture",
    "Reached",
    "Rows",
    "SinkByCapturePoint",
    "capture_points",
    "get",
    "put",
]


class ActivationStore(Protocol):
    """Recorded tensors of one list of rows, by capture point, item and row: ``model.layers.4/0/17``.

    A dictionary will do.
    """

    def __getitem__(self, name: str, /) -> Tensor: ...


class ActivationSink(Protocol):
    """Takes what is recorded, under the same names; a dictionary will do."""

    def __setitem__(self, name: str, tensor: Tensor, /) -> None: ...


class Rows(NamedTuple):
    """Some rows of one padded shape, as the model takes them."""

    indices: tuple[int, ...]
    """Which rows of their list these are."""

    inputs: Mapping[str, Tensor]
    """For ``model(**inputs)``, each of shape (rows, positions); no labels."""

    wanted: Tensor
    """Where logits are used, a mask of shape (rows, positions of the logits)."""


class CapturePoint(Protocol):
    """A place in the network whose values are kept and given back."""

    @property
    def name(self) -> str:
        """Where it is; no other capture point of the model has this name."""
        ...

    def watch(self, rows: Rows, store: ActivationSink, *, stop: bool) -> AbstractContextManager[None]:
        """Return a context in which a call's value is kept; then, if asked to, the call ends."""
        ...

    def replaying(self, rows: Rows, store: ActivationStore) -> AbstractContextManager[None]:
        """Return a context in which the model finds the kept values here."""
        ...


class Reached(Exception):
    """Ends a call of the model whose last value is recorded."""


@dataclass(frozen=True)
class BlockCapture:
    """What the last frozen block of a stack returns, in a stack of which other blocks train."""

    name: str
    frozen: tuple[nn.Module, ...]
    layout: Layout

    def watch(self, rows: Rows, store: ActivationSink, *, stop: bool) -> AbstractContextManager[None]:
        """See `CapturePoint`."""

        def keep(module: nn.Module, args: object, output: Any) -> None:
            items = output if self.layout.is_tuple else (output,)
            for index, (kind, item) in enumerate(zip(self.layout.items, items, strict=True)):
                if kind == "row":
                    put(store, f"{self.name}/{index}", rows, item.unbind())
                elif kind == "shared":
                    store[f"{self.name}/{index}/{_shape(rows)}"] = item
            if stop:
                raise Reached

        return hooked(self.frozen[-1].register_forward_hook(keep))

    @contextmanager
    def replaying(self, rows: Rows, store: ActivationStore) -> Iterator[None]:
        """See `CapturePoint`."""
        answer = self.answer(rows, store)
        with ExitStack() as undo:
            # All of them give the last one's answer: then none needs to know its place, or what the next one reads.
            for block in self.frozen:
                undo.enter_context(answering(block, lambda *args, **kwargs: answer))
            yield

    def answer(self, rows: Rows, store: ActivationStore) -> Any:
        """Return what the block returned for some rows."""
        return self.layout.joined([self._item(index, rows, store) for index in range(len(self.layout.items))])

    def _item(self, index: int, rows: Rows, store: ActivationStore) -> Tensor | None:
        name, kind = f"{self.name}/{index}", self.layout.items[index]
        if kind == "row":
            return get(store, name, rows)
        return store[f"{name}/{_shape(rows)}"].to(_place(rows)) if kind == "shared" else None


@dataclass(frozen=True)
class EncoderCapture:
    """The last hidden states of an encoder that is frozen from end to end."""

    model: PreTrainedModel

    @property
    def name(self) -> str:
        """See `CapturePoint`."""
        return "encoder"

    def watch(self, rows: Rows, store: ActivationSink, *, stop: bool) -> AbstractContextManager[None]:
        """See `CapturePoint`."""

        def keep(module: nn.Module, args: object, output: Any) -> None:
            put(store, self.name, rows, output[0].unbind())
            if stop:
                raise Reached

        return hooked(self.model.get_encoder().register_forward_hook(keep))

    @contextmanager
    def replaying(self, rows: Rows, store: ActivationStore) -> Iterator[None]:
        """See `CapturePoint`."""
        output = self.answer(rows, store)

        def hand_in(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            return args, {**kwargs, "encoder_outputs": output}

        with hooked(self.model.register_forward_pre_hook(hand_in, with_kwargs=True)):
            yield

    def answer(self, rows: Rows, store: ActivationStore) -> BaseModelOutput:
        """Return what the encoder returned for some rows."""
        return BaseModelOutput(last_hidden_state=get(store, self.name, rows))


@dataclass(frozen=True)
class _HeadCapture:
    """What the head is handed where logits are wanted, in a model of which nothing else trains."""

    name: str
    head: nn.Module
    frozen: tuple[tuple[nn.Module, Layout], ...]

    def watch(self, rows: Rows, store: ActivationSink, *, stop: bool) -> AbstractContextManager[None]:
        def keep(module: nn.Module, args: tuple[Any, ...]) -> None:
            put(store, self.name, rows, args[0][rows.wanted].split(rows.wanted.sum(dim=1).tolist()))
            raise Reached  # nothing comes behind the head

        return hooked(self.head.register_forward_pre_hook(keep))

    @contextmanager
    def replaying(self, rows: Rows, store: ActivationStore) -> Iterator[None]:
        states = get(store, self.name, rows, joined=torch.cat)  # (labels, width)

        def hand_in(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            hidden = states.new_zeros(args[0].shape)  # (rows, positions, width)
            hidden[rows.wanted] = states
            return (hidden, *args[1:])

        with ExitStack() as undo:
            for block, layout in self.frozen:
                undo.enter_context(answering(block, passing(layout)))
            undo.enter_context(hooked(self.head.register_forward_pre_hook(hand_in)))
            yield


def capture_points(model: PreTrainedModel, cut: int) -> list[CapturePoint]:
    """Return what a replay at a cut needs, in the order of the computation; runs the model on three tokens.

    Raises:
        ModelError: A block returns something that cannot be replayed.
        ValueError: There is no such cut.
    """
    listed = blocks(model)
    if not 1 <= cut <= len(listed):
        raise ValueError(f"a cut must be between 1 and {len(listed)}, the number of blocks, not {cut}")
    returned = layouts(model, listed)
    if cut == len(listed):
        top = head(model)
        return [_HeadCapture(top.name, top.module, tuple((block.module, returned[block.name]) for block in listed))]
    points: list[CapturePoint] = []
    if listed[cut].stack != listed[0].stack:
        points.append(EncoderCapture(model))
    own = [block for block in listed[:cut] if block.stack == listed[cut].stack]
    if own:
        name = own[-1].name
        points.append(BlockCapture(name, tuple(block.module for block in own), returned[name]))
    return points


def put(store: ActivationSink, name: str, rows: Rows, values: Sequence[Tensor]) -> None:
    """Keep one value per row."""
    for index, value in zip(rows.indices, values, strict=True):
        store[f"{name}/{index}"] = value


def get(
    store: ActivationStore, name: str, rows: Rows, *, joined: Callable[[list[Tensor]], Tensor] = torch.stack
) -> Tensor:
    """Return the values of some rows, where the rows are: joined first, then moved, in one transfer."""
    return joined([store[f"{name}/{index}"] for index in rows.indices]).to(_place(rows))


def _place(rows: Rows) -> torch.device:
    return rows.wanted.device


def _shape(rows: Rows) -> str:
    """Return the padded shape, which is no row's index."""
    return "x".join(["shape", *(str(rows.inputs[name].size(1)) for name in sorted(rows.inputs))])


class ByCapturePoint:
    """The recordings of several capture points as one.

    Args:
        stores: By the capture points' names.
    """

    def __init__(self, stores: Mapping[str, ActivationStore]) -> None:
        self._stores = stores

    def __getitem__(self, name: str) -> Tensor:
        return self._stores[_point_of(name)][name]


class SinkByCapturePoint:
    """Where several capture points' values go, as one; what others bring is left out.

    Args:
        sinks: By the capture points' names.
    """

    def __init__(self, sinks: Mapping[str, ActivationSink]) -> None:
        self._sinks = sinks

    def __setitem__(self, name: str, tensor: Tensor) -> None:
        if (sink := self._sinks.get(_point_of(name))) is not None:
            sink[name] = tensor


def _point_of(name: str) -> str:
    return name.partition("/")[0]
