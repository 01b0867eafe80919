"""Tuning kinds: the ways to choose which weights train, one entry of a table each.

To add one, add an entry: study files, ids, messages, training, replay and the order in reports follow it.

===============  =================================================================================
``none``         nothing
``head``         the output projection with its bias; where it is tied, an untied copy of it
``last_blocks``  the last k blocks of the list (encoder first, then decoder), and the final norm of
                 every stack whose last block trains; head and embeddings stay frozen, tied or not
``full``         everything that the architecture does not hold constant; ties stay
===============  =================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["TUNING_KINDS", "ModelParts", "Part", "TuningKind", "depth", "forms", "in_words"]


class Part(Protocol):
    """A module of a model."""

    @property
    def name(self) -> str:
        """Its dotted path."""

    @property
    def stack(self) -> str:
        """``encoder`` or ``decoder``; a causal model is all decoder."""


class ModelParts(Protocol):
    """What a kind chooses from; `harness.models.find_blocks.Anatomy` is it, without torch."""

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


@dataclass(frozen=True)
class TuningKind:
    """A way to choose which weights train."""

    depth: float
    """What sorts kinds by how much of the network trains: ``none`` is 0, ``full`` 3."""

    modules: Callable[[ModelParts, int], tuple[str, ...]]
    """From a model's parts and a number of blocks (0 without one) to the dotted paths of the modules that train; the
    model's own path is empty. The first block that trains, and so what can be replayed, follows from them."""

    takes_blocks: bool = False
    """Whether it is written ``{kind: 2}`` and named ``kind-2``, and needs as many blocks; else ``kind`` is all."""

    words: str = ""
    """What trains, for people; ``{}`` is the number of blocks. Empty: its name says it."""

    rates: tuple[float, float] = (1e-5, 1e-2)
    """The ends of the range of learning rates that a study searches which names none; `docs/decisions/ranges.md` says
    where they are from."""


def _last_blocks(parts: ModelParts, count: int) -> tuple[str, ...]:
    chosen = parts.blocks[len(parts.blocks) - count :]
    # Blocks are taken from the end: a stack that has one of its blocks among them has its last.
    stacks = {block.stack for block in chosen}
    return tuple(b.name for b in chosen) + tuple(norm.name for norm in parts.final_norms if norm.stack in stacks)


TUNING_KINDS: dict[str, TuningKind] = {
    "none": TuningKind(0, lambda parts, _: (), words="nothing"),
    "head": TuningKind(1, lambda parts, _: (parts.head.name,), words="the output layer alone", rates=(3e-4, 3e-1)),
    "last_blocks": TuningKind(2, _last_blocks, takes_blocks=True, words="the last {} blocks", rates=(1e-4, 3e-2)),
    "full": TuningKind(3, lambda parts, _: ("",), words="the whole model"),
}
"""By name. It is what study files and ids say, so it never changes; in the order in which messages list them."""


def forms() -> str:
    """Return how a tuning may be written, for messages.

    >>> forms()
    'write none, head, full or {last_blocks: 2}'
    """
    plain = [name for name, kind in TUNING_KINDS.items() if not kind.takes_blocks]
    *most, last = [*plain, *(f"{{{name}: 2}}" for name, kind in TUNING_KINDS.items() if kind.takes_blocks)]
    return f"write {', '.join(most)} or {last}"


def depth(tuning: str) -> tuple[float, int]:
    """Return what sorts tunings, by their names, by how much of the network trains; unknown ones come last.

    >>> sorted(["full", "last_blocks-10", "head", "last_blocks-2"], key=depth)
    ['head', 'last_blocks-2', 'last_blocks-10', 'full']
    """
    name, _, blocks = tuning.partition("-")
    kind = TUNING_KINDS.get(name)
    return kind.depth if kind else float("inf"), int(blocks) if blocks.isdigit() else 0


def in_words(tuning: str) -> str:
    """Return what trains under a tuning's name, for people.

    >>> [in_words(name) for name in ("head", "last_blocks-1", "last_blocks-2", "mine")]
    ['the output layer alone', 'the last block', 'the last 2 blocks', 'mine']
    """
    name, _, blocks = tuning.partition("-")
    kind = TUNING_KINDS.get(name)
    words = kind.words.format(blocks).replace(" 1 blocks", " block") if kind else ""
    return words or tuning
