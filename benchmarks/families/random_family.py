"""Tiny random models of every family that transformers' auto classes know, each made from its own configuration.

A configuration is shrunk by the names of its entries; what a family needs beyond that stands in `odd_configs`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING, CONFIG_MAPPING_NAMES
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)

from .odd_configs import ODD, VARIANTS

PAD, BOS, EOS, UNK = range(4)
SPARE = ["<pad>", "<s>", "</s>", "<unk>", *(f"<spare-{number}>" for number in range(12))]
"""The special tokens, and some that stand for a family's images, sounds and languages."""
LETTERS = "bdfgklmnprst", "aeiou"
WORDS = ["".join(pair) for pair in product(*LETTERS)]
"""Two letters each; a word is one token, and so is a word behind a space."""
VOCABULARY = len(SPARE) + len("".join(LETTERS)) + 1 + 2 * len(WORDS)
STIR = 0.3
"""The standard deviation of every matrix: with the usual 0.02 a narrow network's answer hardly depends on its input."""

SIZES: tuple[tuple[int, str], ...] = (
    (VOCABULARY, r"(\w+_)?vocab_size(_per_layer_input)?"),
    (
        32,
        r"hidden_size|d_model|n_embd|dim|embed_dim|embedding_size|emb_dim|word_embed_proj_dim|model_dim|lru_width|"
        r"hidden_dim|attention_hidden_size|d_embed|width|n_embed|input_embedding_size|output_embedding_size|embedding_dim|"
        r"dim_model|decoder_hidden_size|encoder_hidden_size|projection_dim|output_dim",
    ),
    (
        64,
        r"intermediate_size|d_ff|d_inner|n_inner|ffn_dim|dim_ff|ffn_hidden_size|(en|de)coder_ffn_dim|inner_dim|"
        r"intermediate_size_mlp|mlp_intermediate_size|block_ff_dim",
    ),
    (
        2,
        r"num_hidden_layers|n_layers?|num_layers|(en|de)coder_layers|num_(en|de)coder_layers|num_blocks|depth|"
        r"num_key_value_heads|num_kv_heads|num_experts_per_tok|moe_k|moe_topk|num_experts_per_token|top_k_experts|"
        r"num_attention_groups|encoder_num_key_value_heads|decoder_num_key_value_heads|num_linear_key_value_heads",
    ),
    (
        4,
        r"num_attention_heads|n_heads?|num_heads|(en|de)coder_attention_heads|num_(en|de)coder_attention_heads|"
        r"num_experts|num_local_experts|n_routed_experts|moe_num_experts|num_routed_experts",
    ),
    (
        8,
        r"head_dim|hidden_size_per_layer_input|laurel_rank|d_kv|kv_channels|qk_nope_head_dim|qk_rope_head_dim|v_head_dim|state_size|d_state|mamba_d_state|"
        r"ssm_state_size|rotary_dim|attention_head_dim|global_head_dim|swa_head_dim|linear_key_head_dim|"
        r"linear_value_head_dim|index_head_dim|mamba_d_head|mamba_head_dim|(mamba_)?chunk_size",
    ),
    (
        16,
        r"moe_intermediate_size|expert_ffn_hidden_size|shared_expert_intermediate_size|q_lora_rank|kv_lora_rank|"
        r"moe_shared_expert_intermediate_size|time_step_rank|sliding_window|attention_window|attention_window_size|"
        r"window_size|local_attention_window|index_topk",
    ),
    (
        128,
        r"max_position_embeddings|n_positions|n_ctx|max_seq_len|max_(en|de)coder_position_embeddings|seq_length|"
        r"max_(source|target)_positions|max_sequence_length|context_length",
    ),
    (1, r"n_group|num_expert_group|topk_group|n_shared_experts|num_shared_experts|first_k_dense_replace"),
)
"""What a configuration's entries become, by patterns of their names."""


class Family(NamedTuple):
    """One class of the auto mappings, in one configuration."""

    name: str
    """The model class; a variant's behind a colon."""
    model_type: str
    mapping: Literal["causal", "sequence-to-sequence"]
    overrides: Mapping[str, Any] = {}
    """Beyond those of the family."""

    @property
    def key(self) -> tuple[str, str]:
        """What no other has: a class may be that of several model types."""
        return self.name, self.model_type


def families() -> list[Family]:
    """Return every class of the two mappings once for each configuration class, and the variants."""
    named: dict[tuple[str, str], Family] = {}
    mappings = {
        "causal": MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "sequence-to-sequence": MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    }
    for mapping, classes in mappings.items():
        for model_type, name in classes.items():
            named.setdefault((name, CONFIG_MAPPING_NAMES[model_type]), Family(name, model_type, mapping))
    variants = [
        Family(f"{name}: {variant}", model_type, mapping, overrides)
        for (name, model_type, mapping, variant), overrides in VARIANTS.items()
    ]
    return [*named.values(), *variants]


def write_family(family: Family, folder: Path) -> None:
    """Write a random model of a family with a tokenizer of words, as ``from_pretrained`` reads them.

    Raises:
        Exception: Whatever transformers makes of a configuration that does not hold together.
    """
    config = tiny_config(family)
    auto: Any = AutoModelForCausalLM if family.mapping == "causal" else AutoModelForSeq2SeqLM
    torch.manual_seed(0)
    model = auto.from_config(config, dtype=torch.float32)
    expected = family.name.partition(":")[0]
    if type(model).__name__ != expected:
        raise TypeError(f"the auto class makes {type(model).__name__} of this configuration, not {expected}")
    _stir(model)
    model.save_pretrained(folder)
    if type(model.config) is not type(config):  # a text model out of a larger one; its own words would not lead back
        config.save_pretrained(folder)
    # Qwen's tokenizers are rebuilt by their class, which puts nothing around a text.
    template = "$A </s>" if config.is_encoder_decoder else "$A" if "qwen" in family.model_type else "<s> $A"
    _save_tokenizer(folder, template)


def tiny_config(family: Family) -> Any:
    """Return a configuration of the family's own class, all sizes shrunk."""
    kind = CONFIG_MAPPING[family.model_type]
    odd = ODD.get((family.model_type, family.mapping), ODD.get(family.model_type, {}))
    entries = _merged(_shrunk(kind), _merged(odd, family.overrides))
    default = _default(kind)
    if family.mapping == "causal" and hasattr(default, "is_decoder"):
        entries = {"is_decoder": True, "is_encoder_decoder": False, **entries}
    if family.mapping != "causal" and getattr(default, "decoder_start_token_id", None) is None:
        entries = {"decoder_start_token_id": PAD, **entries}
    return kind(**entries)


def _shrunk(kind: Any) -> dict[str, Any]:
    """Return arguments that make a configuration small, those of configurations inside it too."""
    default = _default(kind)
    entries: dict[str, Any] = {}
    for name, value in (default.to_dict() if default else {}).items():
        if name in getattr(kind, "sub_configs", {}):
            continue
        if (size := _size(name, value)) is not None:
            entries[name] = size
    for name, inner in getattr(kind, "sub_configs", {}).items():
        given = getattr(default, name, None)
        inner = type(given) if given is not None else inner
        if hasattr(inner, "model_type") and inner.model_type:
            entries[name] = {"model_type": inner.model_type, **_shrunk(inner)}
    return entries


def _default(kind: Any) -> Any:
    try:
        return kind()
    except Exception:
        return None


def _size(name: str, value: Any) -> Any:
    """Return what an entry becomes, ``None`` where it stays as it is."""
    if re.search(r"drop|jitter", name) and isinstance(value, float):
        return 0.0
    if re.fullmatch(r"\w+_token_(id|index)", name):
        own = {"pad": PAD, "bos": BOS, "eos": EOS, "unk": UNK, "forced_eos": EOS}.get(name.partition("_token")[0])
        if own is not None and not (value is None and own == EOS and name != "eos_token_id"):
            return own
        return None if value is None or value in range(4) else 4 + sum(name.encode()) % 12
    if isinstance(value, int) and not isinstance(value, bool):
        return next((size for size, names in SIZES if re.fullmatch(names, name)), None)
    return None


def _merged(entries: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return both, where the others win, inside dictionaries too."""
    both = {**entries, **others}
    for name in entries.keys() & others.keys():
        if isinstance(entries[name], dict) and isinstance(others[name], dict):
            both[name] = _merged(entries[name], others[name])
    return both


def _stir(model: Any) -> None:
    """Give every matrix that trains a common scale, and every vector some noise, zeros too: they would hide parts."""
    drawn = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if not weight.requires_grad:
                continue
            noise = torch.randn(weight.shape, generator=drawn)
            scale = weight.std().item() if weight.numel() > 1 else 1.0
            if weight.ndim < 2:
                weight += 0.05 * noise
            elif not scale > 1e-6:
                weight += STIR * noise
            elif scale < STIR:
                weight *= STIR / scale


def _save_tokenizer(folder: Path, template: str) -> None:
    """Write a byte-level tokenizer in which each word is one token, so that equal texts are nearly always equal ids."""
    tokens = [*SPARE, *"".join(LETTERS), "Ġ", *WORDS, *(f"Ġ{word}" for word in WORDS)]
    merges = [(word[0], word[1]) for word in WORDS] + [("Ġ", word) for word in WORDS]
    words = Tokenizer(models.BPE({token: i for i, token in enumerate(tokens)}, merges))
    words.pre_tokenizer, words.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    words.post_processor = processors.TemplateProcessing(single=template, special_tokens=[("<s>", BOS), ("</s>", EOS)])
    names = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=words, clean_up_tokenization_spaces=False, **names)
    fast.save_pretrained(folder)
