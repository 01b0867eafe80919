"""Tunable parts: what kinds of tuning choose from in a loaded model; what only some ask for is found when asked."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

from transformers import PreTrainedModel

from harness.core.errors import ModelError
from harness.models.find_blocks import Anatomy, Part, is_inside
from harness.models.find_sublayers import Sublayers, sublayers

__all__ = ["TunableParts"]


class TunableParts:
    """A `harness.study.tunings.tuning_kind.ModelParts`.

    Args:
        model: The model.
        parts: Its anatomy.
    """

    def __init__(self, model: PreTrainedModel, parts: Anatomy) -> None:
        self._model, self._parts = model, parts

    @property
    def blocks(self) -> tuple[Part, ...]:
        """Encoder first, then decoder."""
        return self._parts.blocks

    @property
    def embeddings(self) -> tuple[Part, ...]:
        """What a stack calls before its first block."""
        return self._parts.embeddings

    @property
    def final_norms(self) -> tuple[Part, ...]:
        """The norms after a stack's last block."""
        return self._parts.final_norms

    @property
    def head(self) -> Part:
        """The output projection."""
        return self._parts.head

    def norms_in(self, path: str) -> tuple[str, ...]:
        """Return the norms inside a module."""
        return tuple(name for name in self._sublayers.norms if is_inside(name, [path]))

    def biases_in(self, path: str) -> tuple[str, ...]:
        """Return the parameters inside a module that torch's modules, and those of families, call biases.

        T5's biases of relative positions are an embedding's matrix, and none of them.
        """
        named = self._model.named_parameters(remove_duplicate=False)
        return tuple(name for name, _ in named if name.endswith("bias") and is_inside(name, [path]))

    def attention_in(self, block: str) -> tuple[str, ...]:
        """Return the modules of a block's attention."""
        return self._found(block, self._sublayers.attention, "no attention in a module of its own")

    def feed_forward_in(self, block: str) -> tuple[str, ...]:
        """Return the modules of a block's feed-forward part."""
        what = "beside its attention no one feed-forward part, of matrices into an inner width and back"
        return self._found(block, self._sublayers.feed_forward, what)

    @cached_property
    def _sublayers(self) -> Sublayers:
        return sublayers(self._model, self._parts.blocks)

    def _found(self, block: str, by_block: Mapping[str, tuple[str, ...]], what: str) -> tuple[str, ...]:
        if not by_block[block]:
            having = [number for number, paths in enumerate(by_block.values()) if paths]
            others = f"name blocks that have one, {having}, or take" if having else "take"
            raise ModelError(f"{type(self._model).__name__}: {block} has {what}; {others} whole blocks")
        return by_block[block]
