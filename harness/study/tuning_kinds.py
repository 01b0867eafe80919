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

An adapter's kind trains new weights alone, which PEFT puts into the model and takes off again:

=================  =================================================================================
``lora``           low-rank matrices beside the linear layers of chosen blocks
``dora``           likewise, with a magnitude for each output
``rslora``         likewise, scaled by the square root of the rank
``ia3``            factors on keys, values and inner activations of chosen blocks
``prompt_tuning``  embeddings of virtual tokens before the prompt
``prefix_tuning``  keys and values of virtual tokens before the prompt, in every block
``p_tuning``       embeddings of virtual tokens, from a small network
``peft``           whatever PEFT's own configuration says
=================  =================================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.study.tunings.attention import ATTENTION
from harness.study.tunings.biases import BIASES
from harness.study.tunings.dora import DORA
from harness.study.tunings.embeddings import EMBEDDINGS
from harness.study.tunings.feed_forward import FEED_FORWARD
from harness.study.tunings.first_blocks import FIRST_BLOCKS
from harness.study.tunings.full import FULL
from harness.study.tunings.head import HEAD
from harness.study.tunings.ia3 import IA3
from harness.study.tunings.last_blocks import LAST_BLOCKS
from harness.study.tunings.lora import LORA
from harness.study.tunings.model_parts import ModelParts, Part
from harness.study.tunings.none import NONE
from harness.study.tunings.norms import NORMS
from harness.study.tunings.p_tuning import P_TUNING
from harness.study.tunings.peft_config import PEFT
from harness.study.tunings.prefix_tuning import PREFIX_TUNING
from harness.study.tunings.prompt_tuning import PROMPT_TUNING
from harness.study.tunings.rslora import RSLORA
from harness.study.tunings.tuning_kind import TuningKind
from harness.study.tunings.whole_blocks import BLOCKS

__all__ = ["TUNING_KINDS", "ModelParts", "Part", "TuningKind", "example", "forms", "stands_at_weights"]

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
    "lora": LORA,
    "dora": DORA,
    "rslora": RSLORA,
    "ia3": IA3,
    "prompt_tuning": PROMPT_TUNING,
    "prefix_tuning": PREFIX_TUNING,
    "p_tuning": P_TUNING,
    "peft": PEFT,
}
"""By name. It is what study files and ids say, so it never changes; in the order in which messages list them."""


def forms() -> str:
    """Return how a tuning may be written, for messages.

    >>> forms().rpartition("p_tuning, ")[2]
    '{last_blocks: 2}, {first_blocks: 2}, {blocks: 3-5}, {lora: {rank: 8}} or {norms: {blocks: last-2}}'
    """
    plain = [name for name, kind in TUNING_KINDS.items() if kind.blocks in ("none", "option") and name != "peft"]
    with_blocks = [name for name, kind in TUNING_KINDS.items() if kind.blocks in ("count", "choice")]
    *most, last = [*plain, *map(example, (*with_blocks, "lora", "norms"))]
    return f"write {', '.join(most)} or {last}"


def example(name: str) -> str:
    """Return a tuning of a kind as a study file writes it.

    >>> [example(name) for name in ("head", "last_blocks", "blocks", "norms", "lora", "ia3")]
    ['head', '{last_blocks: 2}', '{blocks: 3-5}', '{norms: {blocks: last-2}}', '{lora: {rank: 8}}', 'ia3']
    """
    kind = TUNING_KINDS[name]
    if name == "peft":
        return "{peft: adapter_config.json}"
    if kind.adapter:
        leading = kind.adapter.leading
        return f"{{{name}: {{{leading}: {kind.adapter.options().model_dump()[leading]}}}}}" if leading else name
    blocks = {"count": "2", "choice": "3-5", "option": "{blocks: last-2}"}.get(kind.blocks)
    return f"{{{name}: {blocks}}}" if blocks else name


def stands_at_weights(kind: str, options: Mapping[str, Any]) -> bool:
    """Return whether an adapter stands at weights of the model, and not before its text, as virtual tokens do.

    Args:
        kind: As a study names it.
        options: What stands below it; of ``peft``, PEFT's own configuration names the kind.
    """
    named = TUNING_KINDS.get(str(options.get("peft_type")).lower()) if kind == "peft" else TUNING_KINDS[kind]
    return named is None or named.adapter is None or named.adapter.merges
