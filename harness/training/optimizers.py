"""Optimizers, and the groups of parameters that they move: which decay, and at which share of the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from transformers import PreTrainedModel
from transformers.optimization import Adafactor

from harness.models.block_rates import rate_factors
from harness.study.spec import Training

__all__ = ["HELD", "OPTIMIZERS", "decay_groups", "optimizer_of"]

Group = dict[str, Any]

OPTIMIZERS: dict[str, Callable[[list[Group], float], Optimizer]] = {
    "adamw": lambda groups, rate: AdamW(groups, lr=rate, fused=True),
    "adafactor": lambda groups, rate: Adafactor(groups, lr=rate, scale_parameter=False, relative_step=False),
    "sgd": lambda groups, rate: SGD(groups, lr=rate, momentum=0.9),
}
"""By their names in a study file.

* ``adamw``: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", with betas 0.9 and 0.999.
* ``adafactor``: Shazeer & Stern 2018, "Adafactor", with second moments by row and column of a matrix. It is that of
  transformers, with a step as long as the learning rate says, as its Trainer has it; torch's own scales the step by the
  size of each weight and cuts it by the square root of the steps, so that no schedule and no range would mean the same.
* ``sgd``: with momentum 0.9 (Polyak 1964), and weight decay as a part of the gradient.
"""

HELD = {"adamw": 3, "adafactor": 1, "sgd": 2}
"""How many numbers there are for each that trains beside itself: its gradient, and what the optimizer keeps of it."""


def optimizer_of(model: PreTrainedModel, spec: Training, learning_rate: float) -> Optimizer:
    """Return the optimizer of what trains in a model.

    Args:
        model: Its parameters that require a gradient are moved.
        spec: Which optimizer, weight decay, and the decay of learning rates from block to block.
        learning_rate: The peak, at the last block.
    """
    groups = decay_groups(model, spec.weight_decay)
    if spec.block_decay != 1.0:
        factors = rate_factors(model, spec.block_decay)
        groups = [part for group in groups for part in _by_rate(group, factors, learning_rate)]
    return OPTIMIZERS[spec.optimizer](groups, learning_rate)


def decay_groups(model: nn.Module, weight_decay: float) -> list[Group]:
    """Return what trains as two groups: matrices that decay, and norms and biases that do not.

    T5 keeps the biases of its relative positions in an embedding table, a matrix by shape; its name tells.
    """
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            is_bias = any(part.endswith("bias") for part in name.split("."))
            (spared if parameter.ndim < 2 or is_bias else decayed).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]


def _by_rate(group: Group, factors: dict[nn.Parameter, float], learning_rate: float) -> list[Group]:
    """Split a group by the share of the learning rate that its parameters have."""
    rates: dict[float, list[nn.Parameter]] = {}
    for parameter in group["params"]:
        rates.setdefault(factors[parameter], []).append(parameter)
    return [{**group, "params": own, "lr": learning_rate * factor} for factor, own in rates.items()]
