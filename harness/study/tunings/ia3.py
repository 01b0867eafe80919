"""``ia3``: factors on keys, values and the inner activations of feed-forward parts.

Liu et al. 2022, "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning", section 3.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from harness.core.errors import ModelError
from harness.study.tunings.adapter_form import AdapterForm, AdapterOptions, linear_targets
from harness.study.tunings.block_choice import BlockChoice
from harness.study.tunings.model_parts import ModelParts
from harness.study.tunings.tuning_kind import TuningKind

__all__ = ["IA3", "Ia3Options"]

Names = Annotated[tuple[str, ...], Field(min_length=1)]


class Ia3Options(AdapterOptions):
    """What IA3 is told."""

    targets: Names | None = None
    """Ends of the names of the layers whose outputs are scaled, as ``[k_proj, v_proj]``; left out: PEFT's own for the
    architecture."""
    feed_forward: Names | None = None
    """Likewise, of those whose inputs are scaled, as ``[down_proj]``."""


def _targets(parts: ModelParts, choice: BlockChoice | None, options: Ia3Options) -> Mapping[str, tuple[str, ...]]:
    outputs, inputs = options.targets or (), options.feed_forward or ()
    if not outputs and not inputs:
        try:
            usual = parts.usual_targets("IA3")
        except ModelError as error:
            raise ModelError(
                f"{error}; name them: {{ia3: {{targets: [k_proj, v_proj], feed_forward: [down_proj]}}}}"
            ) from None
        outputs, inputs = usual["target_modules"], usual["feedforward_modules"]
    scaled = linear_targets(parts, choice, inputs) if inputs else ()
    return {
        "target_modules": linear_targets(parts, choice, tuple(dict.fromkeys([*outputs, *inputs]))),
        "feedforward_modules": scaled,
    }


def _config(options: Ia3Options) -> dict[str, Any]:
    return {"peft_type": "IA3"}


IA3 = TuningKind(
    0.15,
    blocks="option",
    words="IA3",
    rates=(1e-3, 1.0),
    adapter=AdapterForm(Ia3Options, _config, targets=_targets),
)
