"""A kind of tuning: what it states, and what it chooses from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from harness.study.tunings.block_choice import ALL, BlockChoice, block_numbers, blocks_in_words

__all__ = ["ModelParts", "Part", "TuningKind", "chosen_blocks", "final_norms_of"]


class Part(Protocol):
    """A module of a model."""

    @property
    def name(self) -> str:
        """Its dotted path."""

    @property
    def stack(self) -> str:
        """``encoder`` or ``decoder``; a causal model is all decoder."""


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


@dataclass(frozen=True)
class TuningKind:
    """A way to choose which weights train."""

    depth: float
    """What sorts kinds by how much of the network trains: ``none`` is 0, ``full`` 3."""

    paths: Callable[[ModelParts, Any], tuple[str, ...]]
    """From a model's parts and the blocks of a tuning to the dotted paths of the modules that train whole, and of
    single parameters; the model's own path is empty. The first block that trains, and so what can be replayed, follows
    from them. Empty where the model has nothing of the kind."""

    blocks: Literal["none", "count", "choice", "option"] = "none"
    """How blocks are said, and what `paths` is handed: not at all (``None``); by their number, ``{kind: 2}``; by a
    choice, ``{kind: 3-5}``; or by one that may be left out for all of them, ``kind`` or ``{kind: {blocks: last-2}}``.
    """

    words: str = ""
    """What trains, for people; ``{}`` is the number of blocks, or which ones. Of a kind whose blocks may be left out:
    the plural of what trains in each. Empty: its name says it."""

    rates: tuple[float, float] = (1e-5, 1e-2)
    """The ends of the range of learning rates that a study searches which names none; `docs/decisions/ranges.md` says
    where they are from."""

    def in_words(self, blocks: int | BlockChoice | None) -> str:
        """Return what trains, for people; empty where the kind has no words."""
        if self.blocks == "count":
            return self.words.format(blocks).replace(" 1 blocks", " block")
        if self.blocks == "choice":
            return self.words.format(blocks_in_words(_choice(blocks)))
        return _parts_in_words(self.words, _choice(blocks)) if self.blocks == "option" and self.words else self.words


def chosen_blocks(parts: ModelParts, choice: BlockChoice | None) -> list[Part]:
    """Return the blocks of a choice, all of them without one."""
    return [parts.blocks[number] for number in block_numbers(_choice(choice), len(parts.blocks))]


def final_norms_of(parts: ModelParts, chosen: Sequence[Part]) -> tuple[str, ...]:
    """Return the final norm of each stack whose last block is among some blocks."""
    last = {block.stack: block.name for block in parts.blocks}
    names = {block.name for block in chosen}
    return tuple(norm.name for norm in parts.final_norms if last[norm.stack] in names)


def _choice(blocks: int | BlockChoice | None) -> BlockChoice:
    return ALL if blocks is None or isinstance(blocks, int) else blocks


def _parts_in_words(parts: str, choice: BlockChoice) -> str:
    """Return which parts of blocks train.

    >>> [_parts_in_words("norms", choice) for choice in ("all", "last-1", "last-2", "3-5")]
    ['the norms', "the last block's norms", "the last 2 blocks' norms", 'the norms of blocks 3 to 5']
    """
    if choice == ALL:
        return f"the {parts}"
    words = blocks_in_words(choice)
    if not words.startswith("the "):
        return f"the {parts} of {words}"
    return f"{words}' {parts}" if words.endswith("s") else f"{words}'s {parts}"
