"""``p_tuning``: embeddings of virtual tokens before each prompt, computed by a small network that trains.

Liu et al. 2021, "GPT Understands, Too", section 3.
"""

from __future__ import annotations

from typing import Any

from harness.study.tunings.adapter_form import AdapterForm
from harness.study.tunings.prefix_tuning import TokensOption
from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["P_TUNING"]


def _config(options: TokensOption) -> dict[str, Any]:
    return {"peft_type": "P_TUNING", "num_virtual_tokens": options.tokens}


P_TUNING = TuningKind(
    0.5,
    words="{} tuned tokens before the prompt, from a network",
    rates=(1e-5, 1e-1),
    adapter=AdapterForm(TokensOption, _config, merges=False, leading="tokens", searched=("tokens",)),
)
