"""Masked language models, told from others when they are loaded; by a configuration, `harness.study.model_config`."""

from __future__ import annotations

from transformers import PreTrainedModel

__all__ = ["fills_masks"]


def fills_masks(model: PreTrainedModel) -> bool:
    """Return whether a model reads both ways and fills masks, by what transformers calls all classes of such models."""
    return type(model).__name__.endswith("ForMaskedLM")
