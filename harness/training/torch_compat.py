"""Private parts of torch: every one that is used, in this file alone. Tested with 2.13."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

__all__ = [
    "FLOP_FORMULAS",
    "TorchDispatchMode",
    "has_onednn_linear",
    "onednn_linear",
    "operator",
    "storage",
    "version",
    "writes",
]

NAMED_LIKE = {
    "addmm_": "addmm",
    "baddbmm_": "baddbmm",
    "_scaled_dot_product_flash_attention_for_cpu": "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu_backward": "_scaled_dot_product_flash_attention_backward",
}
"""Operators for which torch has no formula, to those whose formula is theirs: products added in place, and attention on
a CPU."""


def _formulas() -> Mapping[object, Callable[..., int]]:
    aten = torch.ops.aten
    known = {name: like for name, like in NAMED_LIKE.items() if hasattr(aten, name) and hasattr(aten, like)}
    others = {getattr(aten, name): flop_registry[getattr(aten, like)] for name, like in known.items()}
    return {**flop_registry, **others}


FLOP_FORMULAS = _formulas()
"""Floating-point operations by operator."""


def operator(func: object) -> object:
    """Return the operator of one of its overloads, as `FLOP_FORMULAS` knows it."""
    return getattr(func, "_overloadpacket", func)  # attention that is compiled has none


def version(tensor: Tensor) -> int:
    """Return how often a tensor was written to in place."""
    return tensor._version


def storage(tensor: Tensor) -> int:
    """Return what a tensor has in common with its views alone, while it lives; without memory it has no address."""
    return int(tensor.untyped_storage()._cdata)


def writes(func: Any) -> bool:
    """Return whether an overload of an operator writes to its first argument."""
    return bool(func._schema.is_mutable)


def has_onednn_linear() -> bool:
    """Return whether `onednn_linear` is there."""
    return hasattr(torch.ops.mkldnn, "_linear_pointwise")


def onednn_linear(left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``left @ right.t() + bias`` of float32 matrices with any strides, made by oneDNN."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(left, right, bias, "none", [], "")
    return product
