"""``prefix_tuning``: keys and values of virtual tokens before each prompt, in every block.

Li & Liang 2021, "Prefix-Tuning: Optimizing Continuous Prompts for Generation", section 4; without the network that
section 4.3 computes them by.
"""

from __future__ import annotations

from typing import Any

from harness.core.number_types import Count
from harness.study.tunings.adapter_form import AdapterForm, AdapterOptions
from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["PREFIX_TUNING", "TokensOption"]


class TokensOption(AdapterOptions):
    """What tunings of virtual tokens are told."""

    tokens: Count = 20
    """How many virtual tokens there are."""


def _config(options: TokensOption) -> dict[str, Any]:
    return {"peft_type": "PREFIX_TUNING", "num_virtual_tokens": options.tokens}


PREFIX_TUNING = TuningKind(
    0.3,
    words="keys and values of {} tuned tokens before the prompt",
    rates=(1e-3, 1.0),
    adapter=AdapterForm(TokensOption, _config, merges=False, leading="tokens", searched=("tokens",)),
)
