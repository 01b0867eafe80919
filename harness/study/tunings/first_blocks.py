"""``first_blocks``: the first k blocks, as ``blocks: first-k``; nothing is replayed before them."""

from __future__ import annotations

from harness.study.tunings.model_parts import ModelParts
from harness.study.tunings.tuning_kind import TuningKind
from harness.study.tunings.whole_blocks import whole_blocks

__all__ = ["FIRST_BLOCKS"]


def _paths(parts: ModelParts, count: int) -> tuple[str, ...]:
    return whole_blocks(parts, f"first-{count}")


FIRST_BLOCKS = TuningKind(2.4, _paths, blocks="count", words="the first {} blocks", rates=(1e-4, 3e-2))
