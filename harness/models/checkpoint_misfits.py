"""Misfits of a checkpoint and its architecture, leftovers and their reasons; and weights that are no numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from harness.core.errors import ModelError

__all__ = ["refuse_misfits", "refuse_non_finite", "some"]

LEFTOVER = re.compile(
    r"(^|\.)(attn|attention)\.(bias|masked_bias|causal_mask)$"  # masks that GPT-2, GPT-J, GPT-Neo and CodeGen stored
    r"|(^|\.)(version|_float_tensor)$"  # fairseq's marks
    r"|(^|\.)(pooler|seq_relationship)\."  # BERT's other heads
)
"""What older versions of transformers stored without need, beside what a model's own class says to ignore."""

OTHER_PARTS = re.compile(r"(^|\.)(vision|visual|image|audio|speech|multi_?modal)\w*\.")
"""Of a checkpoint of which the text part alone is loaded."""

CAUSES = {
    r"(^|\.)_orig_mod\.": "they were stored from a model under torch.compile; store model._orig_mod instead",
    r"^module\.": "they were stored from a model wrapped for several devices; store model.module instead",
    r"(^|\.)(_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\.": (
        "they were stored from a wrapped model; store the model inside its wrapper instead"
    ),
    r"(^|\.)(lora_\w+|base_layer|modules_to_save)\.|^base_model\.model\.": (
        "they are a model with a PEFT adapter in it; store model.merge_and_unload() instead"
    ),
    r"(^|\.)v_head\.": (
        "v_head is the value head of reinforcement learning; store the language model inside (model.pretrained_model)"
    ),
    r"(^|\.)(score|classifier|classification_head|qa_outputs|reward_head|regression_head)\.": (
        "they are a classifier's or a reward model's; name the language model that it was made of"
    ),
    r"(^|\.)discriminator_predictions\.": (
        "they are ELECTRA's discriminator, which fills no masks; name its generator"
    ),
    r"\.(qweight|qzeros|g_idx|SCB|absmax|quant_map|weight_scale|weight_scale_inv|weight_packed|\w+_scales)$": (
        "they are quantized; name the model that it was made of, or a copy that was stored dequantized"
    ),
}
"""How names in a checkpoint tell what was stored, and the remedy."""


def refuse_misfits(name: str, model: PreTrainedModel, report: Mapping[str, Any], *, is_part: bool) -> None:
    """See that a checkpoint holds a model's weights, all of them, and no others.

    Args:
        name: The model's, for the message.
        model: As `from_pretrained` made it.
        report: Its loading information.
        is_part: Whether it is the text part alone of a model of images or sound as well.

    Raises:
        ModelError: Weights are missing, unknown or of another shape; names the cause where their names show it.
    """
    missing, shapes = set(report["missing_keys"]), {key[0] for key in report["mismatched_keys"]}
    expected = [LEFTOVER, OTHER_PARTS] if is_part else [LEFTOVER]
    unknown = {key for key in report["unexpected_keys"] if not any(pattern.search(key) for pattern in expected)}
    unknown = {key for key in unknown if not _is_computed(model, key)}
    misfits = {
        "missing from the checkpoint": missing,
        "unknown to the architecture": unknown,
        "of another shape than config.json says": shapes,
    }
    problems = [f"{len(keys)} {what} ({some(keys)})" for what, keys in misfits.items() if keys]
    if problems:
        raise ModelError(
            f"model {name}: {type(model).__name__} and its checkpoint do not fit: weights {', '.join(problems)}; "
            f"{_cause(missing, unknown)}"
        )


def some(keys: Iterable[str]) -> str:
    """Return the first of some names.

    >>> some(["b", "a"]), some(["a"])
    ('a, ...', 'a')
    """
    first, *others = sorted(keys)
    return f"{first}, ..." if others else first


def _is_computed(model: PreTrainedModel, key: str) -> bool:
    """Return whether a name is that of a buffer which is computed anew, such as rotary frequencies, in any module."""
    stored = model.state_dict().keys()
    ends = {_end(buffer) for buffer, _ in model.named_buffers() if buffer not in stored}
    return _end(key) in ends


def _end(key: str) -> str:
    return ".".join(key.split(".")[-2:])


def _cause(missing: Iterable[str], unknown: Iterable[str]) -> str:
    """Return what is behind a misfit, as far as names tell, and the remedy."""
    for sign, cause in CAUSES.items():
        if any(re.search(sign, key) for key in unknown):
            return cause
    first = min(missing, default="")
    longer = next((key for key in unknown if first and key.endswith(f".{first}")), "")
    if longer:
        return f"names in the checkpoint begin with {longer.removesuffix(first)!r}; store the model inside its wrapper"
    return "use the config.json that was saved with the weights"


def refuse_non_finite(name: str, tensors: Mapping[str, Tensor]) -> None:
    """See that weights are numbers: a single NaN makes every loss NaN, and scores of such a model mean nothing.

    Args:
        name: The model's, for the message.
        tensors: The weights by name, as what they are computed with: half precision makes large numbers infinite.

    Raises:
        ModelError: Some are NaN or infinite; names the tensors.
    """
    broken = [key for key, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        first = tensors[broken[0]]
        count = int((~torch.isfinite(first)).sum())
        raise ModelError(
            f"model {name}: {len(broken)} of its tensors hold weights that are NaN or infinite ({some(broken)}: "
            f"{count} of {first.numel()} as {str(first.dtype).removeprefix('torch.')}); take an intact checkpoint"
        )
