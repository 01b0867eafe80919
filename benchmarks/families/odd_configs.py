"""What single families need beyond small sizes, in the words of their configurations."""

from __future__ import annotations

from typing import Any

LINEAR = {"layer_types": ["linear_attention", "full_attention"], "linear_num_key_heads": 2, "linear_num_value_heads": 4}
MAMBA2 = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_n_groups": 1}
INDEXED = {
    **LINEAR,
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 8,
    "indexer_budget": 16,
    "indexer_compress_ratio": 4,
    "hc_lowrank": 8,
    "ple_embed_dim": 8,
}
LATENT = {"num_key_value_heads": 4}
"""Latent attention has as many heads for keys as for queries."""
SPARSE_BLOCKS = {"block_size": 2, "num_random_blocks": 1}

ODD: dict[Any, dict[str, Any]] = {
    "axk1": LATENT,
    "axk2": LATENT,
    "bailing_hybrid": {**LATENT, "layer_types": ["linear_attention", "full_attention"]},
    "bamba": {**MAMBA2, "attn_layer_indices": [1]},
    "big_bird": SPARSE_BLOCKS,
    "bigbird_pegasus": SPARSE_BLOCKS,
    "blt": {
        "encoder_hash_byte_group_size": [3],
        "encoder_hash_byte_group_vocab": 64,
        "encoder_config": {"hidden_size_global": 32},
        "decoder_config": {"hidden_size_global": 32},
    },
    "cohere_compass_text": {
        "layer_types": ["sliding_attention", "full_attention"],
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]},
            "sliding_attention": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]},
        },
    },
    "deepseek_v4": {"o_lora_rank": 8, "o_groups": 2},
    "dbrx": {
        "ffn_config": {"ffn_hidden_size": 16},
        "attn_config": {"kv_n_heads": 2, "rope_theta": 1e4, "clip_qkv": 8.0},
    },
    "deepseek_v2": {**LATENT, "num_experts_per_tok": 2},
    "deepseek_v3": LATENT,
    "deepseek_v32": LATENT,
    "dots1": {"num_experts_per_tok": 2, "n_routed_experts": 4, "n_shared_experts": 1},
    "dots3_note": {
        "text_config": LATENT,
        "vision_config": {"mlp_layer_types": ["dense", "dense"], "adapter_in_dim": 32, "adapter_out_dim": 32},
        "audio_config": {"adapter_input_size": 32, "adapter_output_size": 32},
    },
    "dots3_note_text": LATENT,
    "encoder-decoder": {"decoder": {"is_decoder": True, "add_cross_attention": True}},
    "falcon_h1": {**MAMBA2, "mamba_d_ssm": 64},
    "gemma3n_text": {
        "intermediate_size": [64] * 4,
        "num_hidden_layers": 4,
        "num_kv_shared_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
    "gemma4_assistant": {
        "backbone_hidden_size": 32,
        "text_config": {
            "model_type": "gemma4_text",
            **dict.fromkeys(("hidden_size_per_layer_input", "vocab_size_per_layer_input"), 0),
            **dict.fromkeys(("num_hidden_layers", "num_kv_shared_layers", "num_key_value_heads"), 2),
            "vocab_size": 256,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_attention_heads": 4,
            "layer_types": ["full_attention"] * 2,
        },
    },
    "gemma4_unified_assistant": {
        "backbone_hidden_size": 32,
        "text_config": {"num_kv_shared_layers": 1, "layer_types": ["full_attention"] * 2},
    },
    "glm4_moe_lite": LATENT,
    "glm_moe_dsa": LATENT,
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": {**MAMBA2, "layer_types": ["mamba", "attention"], "shared_intermediate_size": 32},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False, "mamba_dt_rank": 4},
    "kimi_linear": {
        **LATENT,
        "linear_head_dim": 8,
        "linear_num_heads": 4,
        "layer_types": ["linear_attention", "full_attention"],
    },
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm3": {"layer_types": ["conv", "full_attention", "sliding_attention"], "num_hidden_layers": 3},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "longcat_flash": {**LATENT, "zero_expert_num": 2},
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1},
    "minicpm3": LATENT,
    "ministral": {"head_dim": 8},
    "nemo_speechlm": {"audio_config": {"diarization_config": {"head_config": {"audio_hidden_size": 32}}}},
    "nemotron": {"head_dim": 8, "num_key_value_heads": 2},
    "qwen3_5": {"text_config": LINEAR},
    "qwen3_5_moe": {"text_config": LINEAR},
    "qwen3_5_moe_text": LINEAR,
    "qwen3_5_text": LINEAR,
    "qwen3_next": LINEAR,
    "qwen4_exp": {"text_config": INDEXED},
    "qwen4_exp_text": INDEXED,
    "recurrent_gemma": {"num_hidden_layers": 3},
    "reformer": {
        "axial_pos_embds": False,
        "attn_layers": ["local", "lsh"],
        "hash_seed": 0,
        "local_attn_chunk_length": 8,
        "lsh_attn_chunk_length": 8,
    },
    "xlm": {"causal": True},
    "xlstm": {"hidden_size": 128, "embedding_dim": 128},
    "t5gemma": {"decoder_start_token_id": 1},
    "vibevoice_asr": dict.fromkeys(
        ("acoustic_tokenizer_encoder_config", "semantic_tokenizer_encoder_config"),
        {"num_filters": 2, "depths": [1] * 7},
    ),
    "xmod": {"default_language": "en_XX"},
    "youtu": LATENT,
    "zamba": {
        "layers_block_type": ["mamba", "mamba", "hybrid", "mamba", "hybrid"],
        "num_hidden_layers": 5,
        "use_mamba_kernels": False,
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "mamba_dt_rank": 4,
    },
    "zamba2": {
        "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid"],
        "num_hidden_layers": 4,
        "num_mem_blocks": 1,
        "n_mamba_heads": 8,
        "mamba_headdim": 8,
        "mamba_ngroups": 1,
        "attention_hidden_size": 64,
        "attention_head_dim": 16,
        "adapter_rank": 4,
        "use_mamba_kernels": False,
    },
    "zaya": {"num_experts_per_tok": 1},
}
"""By model type, or by model type and mapping."""

VARIANTS: dict[tuple[str, str, str, str], dict[str, Any]] = {
    ("BertLMHeadModel", "bert", "causal", "as published"): {"is_decoder": False},
    ("RobertaForCausalLM", "roberta", "causal", "as published"): {"is_decoder": False},
    ("Phi3ForCausalLM", "phi3", "causal", "long rope"): {
        "original_max_position_embeddings": 32,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 1e4,
            "original_max_position_embeddings": 32,
            "short_factor": [1.0] * 4,
            "long_factor": [4.0] * 4,
        },
    },
    ("LEDForConditionalGeneration", "led", "sequence-to-sequence", "short decoder"): {
        "max_decoder_position_embeddings": 7,
    },
    ("MBartForConditionalGeneration", "mbart", "sequence-to-sequence", "begins with a language"): {
        "decoder_start_token_id": 7,
    },
    ("T5ForConditionalGeneration", "t5", "sequence-to-sequence", "deeper decoder"): {"num_decoder_layers": 3},
    ("GPT2LMHeadModel", "gpt2", "causal", "untied head"): {"tie_word_embeddings": False},
    ("LlamaForCausalLM", "llama", "causal", "tied head"): {"tie_word_embeddings": True},
}
"""Further configurations of a class: its name, model type and mapping, and what is odd about it."""
