"""What tells two models apart: digests of weights, architecture, tokenizer and generation settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from harness.core.example import digest
from harness.models.transformers_compat import attention_implementation
from harness.study.checkpoint_generation import GENERATION_TOKENS

__all__ = [
    "architecture_digest",
    "chat_template_digest",
    "generation_digest",
    "tensors_digest",
    "tokenizer_digest",
    "weights_digest",
]


def weights_digest(model: PreTrainedModel) -> str:
    """Return a short content hash (16 hex digits) of all weights."""
    return tensors_digest(model.state_dict())


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return a short content hash (16 hex digits) of named tensors: names, dtypes, shapes and bytes."""
    total = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        content: Any = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
        total.update(content)
    return total.hexdigest()[:16]


def architecture_digest(model: PreTrainedModel) -> str:
    """Return a short content hash of what a configuration says about the numbers, which weights alone do not."""
    entries = json.loads(model.config.to_json_string(use_diff=False))
    for name in ("_name_or_path", "transformers_version", "tie_word_embeddings"):  # the last is seen in the weights
        entries.pop(name, None)
    return digest([entries, attention_implementation(model.config)])


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a short content hash of all by which a tokenizer makes ids of text and text of ids."""
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        languages = [tokenizer.src_lang] if hasattr(tokenizer, "src_lang") else []
        return digest([type(tokenizer).__name__, special, tokenizer.get_vocab(), *languages])
    steps = json.loads(backend.to_str())
    del steps["padding"], steps["truncation"]  # each call sets them
    return digest([special, steps])


def chat_template_digest(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Return a short content hash of a tokenizer's chat template, or of all that it has; ``None`` where it has none."""
    return digest(tokenizer.chat_template) if tokenizer.chat_template else None


def generation_digest(model: PreTrainedModel) -> str:
    """Return a short content hash of the checkpoint's generation settings that hold: special and banned tokens."""
    published = getattr(model, "generation_config", None)  # a masked model generates nothing
    settings = published.to_dict() if published else {}
    always, seldom = ("eos_token_id", *GENERATION_TOKENS[:4]), GENERATION_TOKENS[4:]  # early stores know the four
    banned = {name: settings[name] for name in seldom if settings.get(name) is not None}
    return digest([*(settings.get(name) for name in always), *([banned] if banned else [])])
