"""``biases``: the biases of chosen blocks and of the norms behind them; without a choice, all of the model's.

Ben Zaken et al. 2022, "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based Masked Language-models",
section 3; there is no task head here that would train beside them.
"""

from __future__ import annotations

from harness.study.tunings.block_choice import BlockChoice
from harness.study.tunings.model_parts import ModelParts, chosen_blocks, final_norms_of
from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["BIASES"]


def _paths(parts: ModelParts, choice: BlockChoice | None) -> tuple[str, ...]:
    if choice is None:
        return parts.biases_in("")
    chosen = chosen_blocks(parts, choice)
    modules = (*(block.name for block in chosen), *final_norms_of(parts, chosen))
    return tuple(bias for module in modules for bias in parts.biases_in(module))


BIASES = TuningKind(0.4, _paths, blocks="option", words="biases", rates=(1e-4, 1e-1))
