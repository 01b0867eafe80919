"""``lora``: low-rank matrices beside the linear layers of chosen blocks.

Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", section 4; at all linear layers, as Dettmers et
al. 2023, "QLoRA", section 4, found to be needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from harness.core.number_types import Amount, Count, Share
from harness.study.tunings.adapter_form import ALL_LINEAR, AdapterForm, AdapterOptions, linear_targets
from harness.study.tunings.block_choice import BlockChoice
from harness.study.tunings.model_parts import ModelParts
from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["LORA", "LoraOptions", "lora_form"]


class LoraOptions(AdapterOptions):
    """What LoRA and its relatives are told."""

    rank: Count = 8
    """Of the two matrices at each layer."""
    alpha: Amount | None = None
    """What their product is scaled by, over the rank; left out: twice the rank."""
    dropout: Share = 0.0
    """Of what the matrices read, in training."""
    targets: Literal["all-linear"] | Annotated[tuple[str, ...], Field(min_length=1)] = ALL_LINEAR
    """Ends of the names of the layers that they stand at, as ``[q_proj, v_proj]``; ``all-linear``: all there."""

    @model_validator(mode="before")
    @classmethod
    def _without_default(cls, value: Any) -> Any:
        """Leave out an alpha that is twice the rank: what is the same has one name."""
        if isinstance(value, dict) and value.get("alpha") == 2 * value.get("rank", cls.model_fields["rank"].default):
            return {key: one for key, one in value.items() if key != "alpha"}
        return value


def lora_form(**further: Any) -> AdapterForm:
    """Return the form of LoRA, with further keys of PEFT's configuration."""

    def config(options: LoraOptions) -> dict[str, Any]:
        alpha = 2 * options.rank if options.alpha is None else options.alpha
        own = {"peft_type": "LORA", "r": options.rank, "lora_alpha": alpha, "lora_dropout": options.dropout}
        return {**own, **further}

    return AdapterForm(LoraOptions, config, targets=_targets, leading="rank", searched=("rank", "alpha", "dropout"))


def _targets(parts: ModelParts, choice: BlockChoice | None, options: LoraOptions) -> Mapping[str, tuple[str, ...]]:
    return {"target_modules": linear_targets(parts, choice, options.targets)}


LORA = TuningKind(0.6, blocks="option", words="LoRA of rank {}", rates=(3e-5, 3e-2), adapter=lora_form())
