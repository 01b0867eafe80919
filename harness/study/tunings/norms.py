"""``norms``: the norms of chosen blocks with those behind a stack's last block; without a choice, all of a model.

Qi et al. 2022, "Parameter-Efficient Tuning on Layer Normalization for Pre-trained Language Models", section 3.
"""

from __future__ import annotations

from harness.study.tunings.block_choice import BlockChoice
from harness.study.tunings.model_parts import ModelParts, chosen_blocks, final_norms_of
from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["NORMS"]


def _paths(parts: ModelParts, choice: BlockChoice | None) -> tuple[str, ...]:
    if choice is None:
        return parts.norms_in("")
    chosen = chosen_blocks(parts, choice)
    return tuple(norm for block in chosen for norm in parts.norms_in(block.name)) + final_norms_of(parts, chosen)


NORMS = TuningKind(0.2, _paths, blocks="option", words="norms", rates=(1e-4, 1e-1))
