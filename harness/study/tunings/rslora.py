"""``rslora``: LoRA scaled by alpha over the square root of the rank.

Kalajdzievski 2023, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA", section 3.
"""

from __future__ import annotations

from harness.study.tunings.lora import lora_form
from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["RSLORA"]

RSLORA = TuningKind(
    0.61, blocks="option", words="rsLoRA of rank {}", rates=(1e-5, 1e-2), adapter=lora_form(use_rslora=True)
)
