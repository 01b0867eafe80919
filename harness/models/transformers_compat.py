"""Private parts of transformers: every one that is used, in this file alone.

Tested with 5.23. Where a version lacks the steps of generation, `has_generation_steps` says so, and predictions are
made by plain ``generate``: the same tokens, at transformers' own pace.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from torch import Tensor
from transformers import GenerationConfig, GenerationMixin, PreTrainedModel
from transformers.utils import ModelOutput

__all__ = [
    "NO_STEPS",
    "attention_implementation",
    "draw_again",
    "first_call",
    "has_generation_steps",
    "initialize_again",
    "keep_rows",
    "kept_in_float32",
    "pad_token",
    "with_new_token",
]

GENERATION_STEPS = ("_prefill", "_update_model_kwargs_for_generation")
"""Methods of a model that generates, on which a decoding loop of one's own stands."""


NO_STEPS = "this transformers does not tell generation's first call apart"
"""Why there is no such loop without them."""


def has_generation_steps() -> bool:
    """Return whether this transformers lets a loop of one's own take its steps."""
    return all(hasattr(GenerationMixin, name) for name in GENERATION_STEPS)


def first_call(model: PreTrainedModel, ids: Tensor, config: GenerationConfig, inputs: dict[str, Any]) -> ModelOutput:
    """Read a prompt of shape (rows, tokens) as ``generate`` does, in chunks where it is configured so."""
    output: ModelOutput = model._prefill(ids, config, inputs)
    return output


def with_new_token(model: PreTrainedModel, output: ModelOutput, inputs: dict[str, Any]) -> dict[str, Any]:
    """Return what the model is called with next, one token later: cache, masks and positions."""
    halves = model.config.is_encoder_decoder
    following: dict[str, Any] = model._update_model_kwargs_for_generation(output, inputs, is_encoder_decoder=halves)
    return following


def keep_rows(processors: Iterable[object], order: Tensor) -> None:
    """Let logits processors go on with these rows, in this order, where they know how much each prompt is padded."""
    for processor in processors:
        padding = getattr(processor, "prompt_ignore_length", None)
        if isinstance(padding, Tensor):
            processor.prompt_ignore_length = padding.to(order.device)[order]  # type: ignore[attr-defined]


def pad_token(config: GenerationConfig) -> Tensor:
    """Return the padding token of a generation that has begun, a tensor of no dimension, on the model's device."""
    token: Tensor = config._pad_token_tensor
    return token


def attention_implementation(config: Any) -> str | Mapping[str, str] | None:
    """Return which implementation of attention a model was loaded with, ``sdpa`` for one."""
    name: str | Mapping[str, str] | None = getattr(config, "_attn_implementation", None)
    return name


def kept_in_float32(model: PreTrainedModel) -> set[str]:
    """Return the parts of modules' names that stay float32 whenever a model of the family is loaded in less."""
    names = (getattr(model, "_keep_in_fp32_modules", None), getattr(model, "_keep_in_fp32_modules_strict", None))
    return {part for some in names for part in some or ()}


def initialize_again(model: PreTrainedModel) -> None:
    """Initialize what a checkpoint lacks, as ``from_pretrained`` does, behind one that lacks nothing."""
    for tensor in model.state_dict(keep_vars=True).values():
        tensor._is_hf_initialized = True
    for module in model.modules():
        module._is_hf_initialized = False
    model.initialize_weights()


def draw_again(model: PreTrainedModel, names: Collection[str]) -> None:
    """Initialize some weights anew, as ``from_pretrained`` does those that a checkpoint lacks."""
    for name, tensor in model.state_dict(keep_vars=True).items():
        tensor._is_hf_initialized = name not in names
    for path, module in model.named_modules():
        # Some families initialize a head as a whole.
        module._is_hf_initialized = not any(name.startswith(f"{path}.") for name in names)
    model.initialize_weights()
