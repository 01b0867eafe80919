"""``dora``: LoRA that moves the direction of weights, beside a magnitude of its own for each output.

Liu et al. 2024, "DoRA: Weight-Decomposed Low-Rank Adaptation", section 4.
"""

from __future__ import annotations

from harness.study.tunings.lora import lora_form
from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["DORA"]

DORA = TuningKind(0.62, blocks="option", words="DoRA of rank {}", rates=(3e-5, 3e-2), adapter=lora_form(use_dora=True))
