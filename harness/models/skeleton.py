"""The skeleton of a model: its architecture without values, which tells what a checkpoint does not."""

from __future__ import annotations

import copy

import torch
from transformers import PreTrainedModel

__all__ = ["hold_constants", "skeleton"]


def hold_constants(model: PreTrainedModel) -> None:
    """Take gradients from what the architecture holds constant, such as Marian's sinusoidal positions."""
    # ``from_pretrained`` forgets which parameters these are; one that is newly made knows.
    for name, parameter in skeleton(model).named_parameters():
        if not parameter.requires_grad:
            model.get_parameter(name).requires_grad_(False)


def skeleton(model: PreTrainedModel) -> PreTrainedModel:
    """Return a model's architecture, newly made, without memory."""
    config = copy.deepcopy(model.config)
    config.dtype = model.dtype  # which `save_pretrained` leaves as a text, and some families make tensors of
    with torch.device("meta"):
        return type(model)(config)
