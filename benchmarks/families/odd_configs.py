"""What single families need beyond small sizes, in the words of their configurations; ``...`` leaves an entry out."""

from __future__ import annotations

from typing import Any

HYBRID = {"layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2, "linear_num_value_heads": 4}
MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1}

ODD: dict[Any, dict[str, Any]] = {
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False, "mamba_dt_rank": 4},
    "zamba": {"num_hidden_layers": 3, "attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False},
    "bamba": {**MAMBA2, "attn_layer_indices": [1]},
    "granitemoehybrid": {**MAMBA2, "layer_types": ["mamba", "attention"], "shared_intermediate_size": 32},
    "falcon_h1": {**MAMBA2, "mamba_d_ssm": 64},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1},
    "qwen3_next": HYBRID,
    "big_bird": {"block_size": 2, "num_random_blocks": 1},
    "bigbird_pegasus": {"block_size": 2, "num_random_blocks": 1},
    "gemma3n_text": {"vocab_size_per_layer_input": 128, "hidden_size_per_layer_input": 8, "laurel_rank": 8},
}
"""By model type, or by model type and mapping."""

VARIANTS: dict[tuple[str, str, str, str], dict[str, Any]] = {
    ("BertLMHeadModel", "bert", "causal", "as published"): {"is_decoder": False},
    ("RobertaForCausalLM", "roberta", "causal", "as published"): {"is_decoder": False},
}
"""Further configurations of a class: its name, model type and mapping, and what is odd about it."""
