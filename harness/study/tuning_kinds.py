"""Tuning kinds: the ways to choose which weights train, one entry of a table and one file of `tunings` each.

To add one, add an entry: study files, ids, messages, training, replay and the order in reports follow it.

================  ==================================================================================
``none``          nothing
``norms``         the norms, of all of the model or of chosen blocks
``biases``        the biases, of all of the model or of chosen blocks (BitFit, Ben Zaken et al. 2022)
``head``          the output projection with its bias; where it is tied, an untied copy of it
``embeddings``    what stands before the first block; a head that is tied to them moves with them
``attention``     the attention of chosen blocks
``feed_forward``  the feed-forward part of chosen blocks
``last_blocks``   the last k blocks of the list (encoder first, then decoder), and the final norm of
                  every stack whose last block trains; head and embeddings stay frozen, tied or not
``blocks``        chosen blocks, likewise
``first_blocks``  the first k blocks, likewise
``full``          everything that the architecture does not hold constant; ties stay
================  ==================================================================================
"""

from __future__ import annotations

from harness.study.tunings.attention import ATTENTION
from harness.study.tunings.biases import BIASES
from harness.study.tunings.block_choice import BlockChoice, blocks_name, how_many, named_blocks
from harness.study.tunings.embeddings import EMBEDDINGS
from harness.study.tunings.feed_forward import FEED_FORWARD
from harness.study.tunings.first_blocks import FIRST_BLOCKS
from harness.study.tunings.full import FULL
from harness.study.tunings.head import HEAD
from harness.study.tunings.last_blocks import LAST_BLOCKS
from harness.study.tunings.none import NONE
from harness.study.tunings.norms import NORMS
from harness.study.tunings.tuning_kind import ModelParts, Part, TuningKind
from harness.study.tunings.whole_blocks import BLOCKS

__all__ = [
    "TUNING_KINDS",
    "ModelParts",
    "Part",
    "TuningKind",
    "depth",
    "depth_of",
    "example",
    "forms",
    "in_words",
    "name_of",
    "parsed",
]

TUNING_KINDS: dict[str, TuningKind] = {
    "none": NONE,
    "head": HEAD,
    "norms": NORMS,
    "biases": BIASES,
    "embeddings": EMBEDDINGS,
    "full": FULL,
    "last_blocks": LAST_BLOCKS,
    "first_blocks": FIRST_BLOCKS,
    "blocks": BLOCKS,
    "attention": ATTENTION,
    "feed_forward": FEED_FORWARD,
}
"""By name. It is what study files and ids say, so it never changes; in the order in which messages list them."""

Blocks = int | BlockChoice | None
"""What a tuning says of blocks: a number of them, a choice, or nothing."""


def forms() -> str:
    """Return how a tuning may be written, for messages.

    >>> forms().rpartition("attention, ")[2]
    'feed_forward, {last_blocks: 2}, {first_blocks: 2}, {blocks: 3-5} or {norms: {blocks: last-2}}'
    """
    plain = [name for name, kind in TUNING_KINDS.items() if kind.blocks in ("none", "option")]
    with_blocks = [name for name, kind in TUNING_KINDS.items() if kind.blocks in ("count", "choice")]
    *most, last = [*plain, *map(example, (*with_blocks, "norms"))]
    return f"write {', '.join(most)} or {last}"


def example(name: str) -> str:
    """Return a tuning of a kind as a study file writes it.

    >>> [example(name) for name in ("head", "last_blocks", "blocks", "norms")]
    ['head', '{last_blocks: 2}', '{blocks: 3-5}', '{norms: {blocks: last-2}}']
    """
    blocks = {"count": "2", "choice": "3-5", "option": "{blocks: last-2}"}.get(TUNING_KINDS[name].blocks)
    return f"{{{name}: {blocks}}}" if blocks else name


def name_of(kind: str, blocks: Blocks) -> str:
    """Return what ids call a tuning that has no name of its own: its kind, and its blocks where they are said.

    >>> name_of("norms", None), name_of("last_blocks", 2), name_of("blocks", (0, 2, 5))
    ('norms', 'last_blocks-2', 'blocks-0_2_5')
    """
    if blocks is None:
        return kind
    return f"{kind}-{blocks if isinstance(blocks, int) else blocks_name(blocks)}"


def parsed(name: str) -> tuple[str, Blocks] | None:
    """Return the kind and the blocks that `name_of` calls so, ``None`` where it is a name of somebody's own.

    >>> parsed("attention-last-2"), parsed("last_blocks-2"), parsed("mine")
    (('attention', 'last-2'), ('last_blocks', 2), None)
    """
    kind, dash, rest = name.partition("-")
    form = TUNING_KINDS[kind].blocks if kind in TUNING_KINDS else None
    blocks: Blocks = None
    if form == "count":
        blocks = int(rest) if rest.isdigit() else None
    elif form in ("choice", "option"):
        blocks = named_blocks(rest)
    fits = form is not None and (blocks is not None or form in ("none", "option"))
    return (kind, blocks) if fits and name_of(kind, blocks) == name else None


def depth_of(kind: str, blocks: Blocks) -> tuple[float, float]:
    """Return what sorts tunings by how much of the network trains: the kind's place, then how many blocks."""
    facts = TUNING_KINDS[kind]
    if blocks is None:
        return facts.depth, float("inf") if facts.blocks == "option" else 0
    return facts.depth, blocks if isinstance(blocks, int) else how_many(blocks)


def depth(tuning: str) -> tuple[float, float]:
    """Return what sorts tunings, by their names, by how much of the network trains; unknown ones come last.

    >>> sorted(["full", "last_blocks-10", "head", "norms", "norms-last-2", "last_blocks-2"], key=depth)
    ['norms-last-2', 'norms', 'head', 'last_blocks-2', 'last_blocks-10', 'full']
    """
    known = parsed(tuning)
    return depth_of(*known) if known else (float("inf"), 0)


def in_words(tuning: str) -> str:
    """Return what trains under a tuning's name, for people.

    >>> [in_words(name) for name in ("head", "last_blocks-1", "attention-last-2", "blocks-3-5", "mine")]
    ['the output layer alone', 'the last block', "the last 2 blocks' attention", 'blocks 3 to 5', 'mine']
    """
    known = parsed(tuning)
    return (known and TUNING_KINDS[known[0]].in_words(known[1])) or tuning
