"""A kind of tuning: what it states."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness.study.tunings.adapter_form import AdapterForm
from harness.study.tunings.block_choice import ALL, BlockChoice, blocks_in_words
from harness.study.tunings.model_parts import ModelParts

__all__ = ["TuningKind"]


@dataclass(frozen=True)
class TuningKind:
    """A way to choose which weights train."""

    depth: float
    """What sorts kinds by how much of the network trains: ``none`` is 0, ``full`` 3."""

    paths: Callable[[ModelParts, Any], tuple[str, ...]] = lambda *_: ()
    """From a model's parts and the blocks of a tuning to the dotted paths of the modules that train whole, and of
    single parameters; the model's own path is empty. The first block that trains, and so what can be replayed, follows
    from them. Empty where the model has nothing of the kind, and of an adapter's kind, whose form says where it is."""

    blocks: Literal["none", "count", "choice", "option"] = "none"
    """How blocks are said, and what `paths` is handed: not at all (``None``); by their number, ``{kind: 2}``; by a
    choice, ``{kind: 3-5}``; or by one that may be left out for all of them, ``kind`` or ``{kind: {blocks: last-2}}``.
    """

    words: str = ""
    """What trains, for people; ``{}`` is the number of blocks, or which ones, and of an adapter the value that ids name
    first. Of a kind whose blocks may be left out: the plural of what trains in each. Empty: its name says it."""

    rates: tuple[float, float] = (1e-5, 1e-2)
    """The ends of the range of learning rates that a study searches which names none; `docs/decisions/ranges.md` says
    where they are from."""

    adapter: AdapterForm | None = None
    """How it is written and where it stands, of a kind that trains new weights alone."""

    def in_words(self, blocks: int | BlockChoice | None, leading: str = "", further: Sequence[str] = ()) -> str:
        """Return what trains, for people; empty where the kind has no words.

        Args:
            blocks: Those of the tuning.
            leading: Of an adapter, the value that ids name first.
            further: Of an adapter, what else it is told, as ``alpha 32``.
        """
        if self.adapter:
            where = f" in {blocks_in_words(_choice(blocks))}" if blocks is not None else ""
            told = f" ({', '.join(further)})" if further else ""
            return f"{self.words.format(leading)}{where}{told}"
        if self.blocks == "count":
            return self.words.format(blocks).replace(" 1 blocks", " block")
        if self.blocks == "choice":
            return self.words.format(blocks_in_words(_choice(blocks)))
        return _parts_in_words(self.words, _choice(blocks)) if self.blocks == "option" and self.words else self.words


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
