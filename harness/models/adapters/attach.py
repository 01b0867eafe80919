"""Adapters put on a model and taken off: PEFT replaces modules of the one that is loaded, and none of its weights.

Taken off, the model has the very modules that it had, whatever PEFT or a method of its own changed of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from peft import PEFT_TYPE_TO_CONFIG_MAPPING, PeftConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel

from harness.core.closest_match import closest
from harness.core.errors import ModelError
from harness.models.adapters.soft_prompts import answer_behind, begin, reader_of, refuse_other_cache, shape_of_cache
from harness.models.classification_head import classifies
from harness.models.fills_masks import fills_masks
from harness.models.find_blocks import Anatomy
from harness.models.hooks import as_it_is, misfits_told
from harness.models.tunable_parts import TunableParts
from harness.models.tuning_adapter import START, VIRTUAL, Start
from harness.study.axes import Tuning
from harness.study.peft_methods import UNLIKE

__all__ = ["Adapter", "attach"]


@dataclass(frozen=True)
class Adapter:
    """An adapter that is on a model."""

    peft: PeftModel = field(repr=False)
    """PEFT's model around the one that it changed."""

    modules: tuple[str, ...]
    """The modules that hold its weights, by dotted path in that one."""

    is_soft_prompt: bool
    """Whether it is virtual tokens before the prompt, of which no block is without."""

    take_off: Callable[[], None] = field(repr=False)
    """Gives the model its own modules back, and its weights their flags."""


def attach(model: PreTrainedModel, tuning: Tuning, parts: Anatomy, start: Start = START) -> Adapter:
    """Put an adapter on a model; its own weights alone require gradients then.

    Args:
        model: As it was loaded.
        tuning: Of a kind that has an adapter.
        parts: The model's anatomy.
        start: What the first weights depend on.

    Raises:
        ModelError: The model has no place for it, or PEFT refuses it.
    """
    config, restore, flags = _config(model, tuning, parts), as_it_is(model), _flags(model)

    def take_off() -> None:
        restore()
        for weight, flag in flags.items():
            weight.requires_grad_(flag)

    told = f"tuning {tuning.name}: {type(model).__name__} takes no such adapter"
    try:
        with misfits_told(told, "change its options, or use another tuning"), _drawn_by(start.seed, model), _silent():
            peft = get_peft_model(model, config)
            if config.is_prompt_learning:
                begin(model, peft, start.words)
                answer_behind(model, peft)
                if not model.config.is_encoder_decoder or config.peft_type == "PREFIX_TUNING":
                    refuse_other_cache(model)
    except BaseException as error:
        take_off()
        if isinstance(error, ModelError):
            raise _named(error, tuning) from error.__cause__
        raise
    new = [name for name, weight in model.named_parameters() if weight not in flags]
    modules = (VIRTUAL,) if config.is_prompt_learning else _holders(model, new)
    return Adapter(peft, modules, config.is_prompt_learning, take_off)


def _named(error: ModelError, tuning: Tuning) -> ModelError:
    """Return an error that says which tuning it is about."""
    named = f"tuning {tuning.name}: "
    return ModelError(named + str(error).removeprefix(named))


def _flags(model: PreTrainedModel) -> dict[nn.Parameter, bool]:
    return {weight: weight.requires_grad for weight in model.parameters()}


def _holders(model: PreTrainedModel, weights: list[str]) -> tuple[str, ...]:
    """Return the outermost modules of PEFT's that hold some weights."""
    layers = [name for name, module in model.named_modules() if type(module).__module__.startswith("peft.") and name]
    holders = dict.fromkeys(
        next((layer for layer in layers if weight.startswith(f"{layer}.")), weight.rpartition(".")[0])
        for weight in weights
    )
    return tuple(holders)


def _config(model: PreTrainedModel, tuning: Tuning, parts: Anatomy) -> PeftConfig:
    """Return PEFT's configuration of a tuning."""
    form, options = tuning.adapter, tuning.settings
    assert form is not None
    keys = form.config(options)
    kind, told = keys["peft_type"], f"tuning {tuning.name}: {type(model).__name__} takes no such adapter"
    if kind not in PEFT_TYPE_TO_CONFIG_MAPPING or kind in UNLIKE:
        known = sorted(str(getattr(each, "value", each)) for each in PEFT_TYPE_TO_CONFIG_MAPPING)
        hint = closest(kind, [each for each in known if each not in UNLIKE])
        raise ModelError(f"tuning {tuning.name}: peft_type {kind!r} is no method that can be compared here; {hint}")
    # Of masked models PEFT's tasks have none, and of labels they would add a head of their own.
    halves, untold = model.config.is_encoder_decoder, fills_masks(model) or classifies(model)
    if untold and tuning.virtual_tokens:
        remedy = "use lora, or weights of its own"
        raise ModelError(f"{told}: virtual tokens would stand where it reads its text's beginning; {remedy}")
    own: dict[str, Any] = {"task_type": None if untold else "SEQ_2_SEQ_LM" if halves else "CAUSAL_LM"}
    if kind in ("PROMPT_TUNING", "P_TUNING"):
        # An encoder's alone, where there is one: the decoder would read none. PEFT asks for shapes that it never uses.
        own |= {"num_transformer_submodules": 1, "num_layers": len(parts.blocks), "num_attention_heads": 1}
        own["token_dim"] = reader_of(model).get_input_embeddings().weight.shape[1]
    try:
        targets = form.targets(TunableParts(model, parts), tuning.blocks, options)
        with misfits_told(told, "use another tuning"):
            own |= shape_of_cache(model) if kind == "PREFIX_TUNING" else {}
    except ModelError as error:
        raise _named(error, tuning) from error.__cause__
    made = {**own, **keys, **{key: list(paths) for key, paths in targets.items()}}
    with misfits_told(f"tuning {tuning.name}: PEFT's configuration of it is refused", "correct its keys"):
        config: PeftConfig = PEFT_TYPE_TO_CONFIG_MAPPING[kind](**made)
    return config


@contextmanager
def _drawn_by(seed: int, model: PreTrainedModel) -> Iterator[None]:
    """Let a seed say what is drawn, and put torch's generators back."""
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def _silent() -> Iterator[None]:
    """Keep PEFT from talking of what is meant, as of layers whose matrix is transposed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
