"""``feed_forward``: the feed-forward part of chosen blocks; not the norms around it."""

from __future__ import annotations

from harness.study.tunings.block_choice import BlockChoice
from harness.study.tunings.model_parts import ModelParts, chosen_blocks
from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["FEED_FORWARD"]


def _paths(parts: ModelParts, choice: BlockChoice | None) -> tuple[str, ...]:
    return tuple(path for block in chosen_blocks(parts, choice) for path in parts.feed_forward_in(block.name))


FEED_FORWARD = TuningKind(1.8, _paths, blocks="option", words="feed-forward parts", rates=(1e-4, 3e-2))
