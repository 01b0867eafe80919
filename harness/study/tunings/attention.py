"""``attention``: the attention of chosen blocks, to their own positions and an encoder's; not the norms around it."""

from __future__ import annotations

from harness.study.tunings.block_choice import BlockChoice
from harness.study.tunings.model_parts import ModelParts, chosen_blocks
from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["ATTENTION"]


def _paths(parts: ModelParts, choice: BlockChoice | None) -> tuple[str, ...]:
    return tuple(path for block in chosen_blocks(parts, choice) for path in parts.attention_in(block.name))


ATTENTION = TuningKind(1.6, _paths, blocks="option", words="attention", rates=(1e-4, 3e-2))
