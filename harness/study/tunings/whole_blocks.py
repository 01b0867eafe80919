"""``blocks``: chosen blocks, and the final norm of every stack whose last block is among them."""

from __future__ import annotations

from harness.study.tunings.block_choice import BlockChoice
from harness.study.tunings.model_parts import ModelParts, chosen_blocks, final_norms_of
from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["BLOCKS", "whole_blocks"]


def whole_blocks(parts: ModelParts, choice: BlockChoice) -> tuple[str, ...]:
    """Return the paths of some blocks, with the norms that go with them."""
    chosen = chosen_blocks(parts, choice)
    return tuple(block.name for block in chosen) + final_norms_of(parts, chosen)


BLOCKS = TuningKind(2.2, whole_blocks, blocks="choice", words="{}", rates=(1e-4, 3e-2))
