"""Block outputs: what the blocks of a model return, seen by running it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn
from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.models.find_blocks import Part
from harness.models.hooks import look

__all__ = ["Layout", "layouts", "passing"]

ROWS = 7
"""Rows of the batch by which it is seen which axis they are; no model has as many streams."""


class Layout(NamedTuple):
    """What a block returns."""

    is_tuple: bool
    items: tuple[Literal["row", "shared", "unused"], ...]
    """Of each item, whether rows have their own; a shared one depends on the padded shape alone, as T5's position
    biases do."""

    axis: int
    """Which axis of the hidden states, the first item, is the rows: 1 where Gemma 3n has streams in front."""

    def joined(self, items: Sequence[Tensor | None]) -> Any:
        """Return items as the block would."""
        return tuple(items) if self.is_tuple else items[0]


def layouts(model: PreTrainedModel, listed: Sequence[Part]) -> dict[str, Layout]:
    """Run a model on some rows, and see what its blocks return and which of it they are handed."""
    outputs: dict[str, Any] = {}
    handed: dict[str, list[Any]] = {}
    with ExitStack() as undo:
        for name, _, module in listed:

            def enter(module: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
                handed[name] = [*args, *kwargs.values()]

            def leave(module: nn.Module, args: Any, output: Any, name: str = name) -> None:
                outputs[name] = output

            undo.enter_context(module.register_forward_pre_hook(enter, with_kwargs=True))
            undo.enter_context(module.register_forward_hook(leave))
        look(model, rows=ROWS, positions=3)
    following = [*listed[1:], None]
    return {
        block.name: _layout_of(
            block.name, outputs[block.name], handed[after.name] if after and after.stack == block.stack else []
        )
        for block, after in zip(listed, following, strict=True)
    }


def _layout_of(name: str, output: Any, handed: Sequence[Any]) -> Layout:
    items = output if isinstance(output, tuple) else (output,)
    if not isinstance(items[0], Tensor):
        raise ModelError(f"{name} returns {type(output).__name__}, neither hidden states nor a tuple that begins so")

    def kind(item: Any) -> Literal["row", "shared", "unused"]:
        if not isinstance(item, Tensor) or not any(item is value for value in handed):
            return "unused"
        return "row" if item.ndim and item.size(0) == ROWS else "shared"

    if ROWS not in items[0].shape:
        raise ModelError(f"{name} returns hidden states of shape {tuple(items[0].shape)}, not by rows")
    axis = items[0].shape.index(ROWS)
    return Layout(isinstance(output, tuple), ("row", *(kind(item) for item in items[1:])), axis)


def passing(layout: Layout) -> Callable[..., Any]:
    """Return a forward that gives back the hidden states it is handed, the first argument of every block."""

    def forward(*args: Any, **kwargs: Any) -> Any:
        return layout.joined([*args, *kwargs.values()][:1] + [None] * (len(layout.items) - 1))

    return forward
