"""Layer-wise decay of the learning rate: how much slower each weight learns the further it lies below the last block.

Discriminative fine-tuning (Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification", section
3.2), which for transformers is done by the block (Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?").
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn
from transformers import PreTrainedModel

from harness.models.find_blocks import Anatomy, anatomy
from harness.models.tuning_adapter import VIRTUAL

__all__ = ["rate_factors"]


def rate_factors(model: PreTrainedModel, decay: float) -> dict[nn.Parameter, float]:
    """Return what the learning rate of each parameter is multiplied by; runs the model once on two tokens.

    The last block, its norm and the head learn at the whole rate, the block below at ``decay`` of it, and so on; the
    embeddings, and virtual tokens, lie below the first block. An encoder lies below its decoder, and its final norm
    belongs to its last block. A tensor with several places, such as a tied head, belongs to the lowest; what has none
    is at the top.
    """
    depths: dict[nn.Parameter, int] = {}
    virtual = [module for name, module in model.named_children() if name == VIRTUAL]
    for module, depth in _parts(anatomy(model), virtual):
        for parameter in module.parameters():
            depths.setdefault(parameter, depth)
    return {parameter: decay ** depths.get(parameter, 0) for parameter in model.parameters()}


def _parts(parts: Anatomy, virtual: Sequence[nn.Module]) -> list[tuple[nn.Module, int]]:
    """Return the parts of a model that have a depth, counted from 0 at its last block, from the lowest up."""
    count = len(parts.blocks)
    embeddings = [(part, count) for part in (*(part.module for part in parts.embeddings), *virtual)]
    blocks = [(block.module, count - 1 - place) for place, block in enumerate(parts.blocks)]
    last = {block.stack: count - 1 - place for place, block in enumerate(parts.blocks)}
    return [*embeddings, *blocks, *((norm.module, last[norm.stack]) for norm in parts.final_norms)]
