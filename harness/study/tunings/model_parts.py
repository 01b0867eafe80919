"""Parts of a model as kinds of tuning see them, without torch, and the choice among its blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from harness.study.tunings.block_choice import ALL, BlockChoice, block_numbers

__all__ = ["ModelParts", "Part", "chosen_blocks", "final_norms_of"]


class Part(Protocol):
    """A module of a model."""

    @property
    def name(self) -> str:
        """Its dotted path."""

    @property
    def stack(self) -> str:
        """``encoder`` or ``decoder``; a causal or a masked model is all decoder."""


class ModelParts(Protocol):
    """What a kind chooses from; `harness.models.tunable_parts.TunableParts` is it, without torch.

    What is looked for inside a module, by its dotted path (of the whole model it is empty), comes as dotted paths.
    """

    @property
    def blocks(self) -> Sequence[Part]:
        """The transformer layers, encoder first, then decoder."""

    @property
    def embeddings(self) -> Sequence[Part]:
        """What stands before a stack's first block."""

    @property
    def final_norms(self) -> Sequence[Part]:
        """The norm behind a stack's last block, of each stack that has one."""

    @property
    def head(self) -> Part:
        """The output projection."""

    @property
    def transform(self) -> Sequence[Part]:
        """What a masked model's head does before that; of other models nothing."""

    def norms_in(self, path: str) -> tuple[str, ...]:
        """Return the norms inside a module, or itself if it is one."""

    def biases_in(self, path: str) -> tuple[str, ...]:
        """Return the parameters inside a module that are biases."""

    def attention_in(self, block: str) -> tuple[str, ...]:
        """Return the modules of a block's attention, to its own positions and to an encoder's.

        Raises:
            ModelError: It has none, or none in modules of their own.
        """

    def feed_forward_in(self, block: str) -> tuple[str, ...]:
        """Return the modules of a block's feed-forward part.

        Raises:
            ModelError: It has none, or more than one, as a mixture of experts has.
        """

    def linear_in(self, path: str) -> tuple[str, ...]:
        """Return the linear layers inside a module, that of a model's own head left out."""

    def usual_targets(self, method: str) -> Mapping[str, tuple[str, ...]]:
        """Return the ends of the paths of modules that a method of PEFT usually stands at in such a model, by its key.

        Raises:
            ModelError: PEFT names none for this architecture.
        """


def chosen_blocks(parts: ModelParts, choice: BlockChoice | None) -> list[Part]:
    """Return the blocks of a choice, all of them without one."""
    return [parts.blocks[number] for number in block_numbers(ALL if choice is None else choice, len(parts.blocks))]


def final_norms_of(parts: ModelParts, chosen: Sequence[Part]) -> tuple[str, ...]:
    """Return the final norm of each stack whose last block is among some blocks."""
    last = {block.stack: block.name for block in parts.blocks}
    names = {block.name for block in chosen}
    return tuple(norm.name for norm in parts.final_norms if last[norm.stack] in names)
