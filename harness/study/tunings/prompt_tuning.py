"""``prompt_tuning``: embeddings of virtual tokens before each prompt.

Lester et al. 2021, "The Power of Scale for Parameter-Efficient Prompt Tuning", section 2.
"""

from __future__ import annotations

from typing import Any

from harness.core.number_types import Count
from harness.study.tunings.adapter_form import AdapterForm, AdapterOptions
from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["FROM_PROMPT", "PROMPT_TUNING", "RANDOM", "PromptTuningOptions"]

FROM_PROMPT, RANDOM = "prompt", "random"


class PromptTuningOptions(AdapterOptions):
    """What prompt tuning is told."""

    tokens: Count = 20
    """How many virtual tokens there are."""
    init: str = FROM_PROMPT
    """What their embeddings begin as: ``prompt``: those of the words of the cell's own prompt, again and again;
    ``random``: of words that are drawn from the vocabulary; else those of this text."""


def _config(options: PromptTuningOptions) -> dict[str, Any]:
    return {"peft_type": "PROMPT_TUNING", "num_virtual_tokens": options.tokens}


PROMPT_TUNING = TuningKind(
    0.05,
    words="{} tuned tokens before the prompt",
    rates=(1e-3, 1.0),
    adapter=AdapterForm(PromptTuningOptions, _config, merges=False, leading="tokens", searched=("tokens",)),
)
