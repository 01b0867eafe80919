"""Families with something odd about them, tiny and random, each in a folder with a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from harness.core.example import digest
from harness.testing import tiny_model

IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
NARROW = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 4,
    "num_hidden_layers": 3,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
GROUPED = {**NARROW, "num_key_value_heads": 2, "head_dim": 8}
BERT = {**NARROW, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
HALVES = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "dropout": 0.0,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": None,
    "init_std": 0.2,
}
DECODER = {"is_encoder_decoder": False, "is_decoder": True}
LONG_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "short_factor": [1.0] * 4,
    "long_factor": [4.0] * 4,
    "original_max_position_embeddings": 20,
}
MAMBA = {"mamba_d_state": 8, "mamba_d_conv": 4, "mamba_expand": 2, "use_mamba_kernels": False}

CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "rwkv": ("RwkvConfig", {"hidden_size": 32, "num_hidden_layers": 3, "context_length": 256, "intermediate_size": 64}),
    "bart_decoder": ("BartConfig", {**HALVES, "max_position_embeddings": 256, **DECODER}),
    "pegasus_decoder": ("PegasusConfig", {**HALVES, "max_position_embeddings": 256, **DECODER}),
    "phi3_longrope": (
        "Phi3Config",
        {**GROUPED, "rope_parameters": LONG_ROPE, "original_max_position_embeddings": 20},
    ),
    "apertus": ("ApertusConfig", GROUPED),
    "llama_longrope": ("LlamaConfig", {**GROUPED, "rope_parameters": LONG_ROPE}),
    "roberta": ("RobertaConfig", BERT),
    "bert": ("BertConfig", BERT),
    "bert_decoder": ("BertConfig", {**BERT, "is_decoder": True}),
    "roberta_decoder": ("RobertaConfig", {**BERT, "is_decoder": True}),
    "bert_generation": (
        "BertGenerationConfig",
        {**BERT, "is_decoder": True, "tie_word_embeddings": True},
    ),
    "xlnet": ("XLNetConfig", {"d_model": 32, "n_layer": 3, "n_head": 4, "d_inner": 48, "dropout": 0.0}),
    "bigbird_pegasus": (
        "BigBirdPegasusConfig",
        {
            **HALVES,
            "max_position_embeddings": 256,
            "attention_type": "block_sparse",
            "block_size": 2,
            "num_random_blocks": 1,
        },
    ),
    "bigbird": (
        "BigBirdConfig",
        {**BERT, "is_decoder": True, "attention_type": "block_sparse", "block_size": 2, "num_random_blocks": 1},
    ),
    "gemma3n": (
        "Gemma3nTextConfig",
        {
            **GROUPED,
            "num_hidden_layers": 4,
            "vocab_size_per_layer_input": 512,
            "hidden_size_per_layer_input": 8,
            "laurel_rank": 4,
            "altup_num_inputs": 4,
            "num_kv_shared_layers": 0,
            "layer_types": ["sliding_attention", "full_attention"] * 2,
            "sliding_window": 16,
            "activation_sparsity_pattern": [0.0] * 4,
            "intermediate_size": [48] * 4,
        },
    ),
    "zamba": (
        "ZambaConfig",
        {
            **NARROW,
            **MAMBA,
            "num_hidden_layers": 5,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "num_key_value_heads": 4,
            "n_mamba_heads": 2,
        },
    ),
    "zamba2": (
        "Zamba2Config",
        {
            **NARROW,
            "mamba_d_state": 8,
            "n_mamba_heads": 8,
            "chunk_size": 16,
            "use_mamba_kernels": False,
            "num_hidden_layers": 5,
            "layers_block_type": ["mamba", "hybrid", "mamba", "hybrid", "mamba"],
            "num_key_value_heads": 4,
        },
    ),
    "jamba": (
        "JambaConfig",
        {
            **GROUPED,
            **MAMBA,
            "num_experts": 2,
            "attn_layer_period": 3,
            "attn_layer_offset": 1,
            "num_experts_per_tok": 1,
        },
    ),
    "ernie4_5_moe": (
        "Ernie4_5_MoeConfig",
        {**GROUPED, "moe_intermediate_size": 16, "moe_num_experts": 4, "moe_k": 2, "moe_layer_start_index": 1},
    ),
    "afmoe": (
        "AfmoeConfig",
        {**GROUPED, "moe_intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2, "sliding_window": 16},
    ),
    "switch": (
        "SwitchTransformersConfig",
        {
            "d_model": 32,
            "d_ff": 48,
            "d_kv": 8,
            "num_heads": 4,
            "num_layers": 3,
            "num_decoder_layers": 3,
            "num_sparse_encoder_layers": 1,
            "num_sparse_decoder_layers": 1,
            "num_experts": 4,
            "dropout_rate": 0.0,
            "decoder_start_token_id": 0,
        },
    ),
    "reformer": (
        "ReformerConfig",
        {
            "hidden_size": 32,
            "feed_forward_size": 48,
            "attention_head_size": 8,
            "num_attention_heads": 4,
            "max_position_embeddings": 512,
            "is_decoder": True,
            "axial_pos_embds": False,
            "attn_layers": ["local", "lsh"],
            "hash_seed": 0,
            "local_attn_chunk_length": 8,
            "lsh_attn_chunk_length": 8,
            "initializer_range": 0.2,
        },
    ),
    "youtu": (
        "YoutuConfig",
        {
            **NARROW,
            "num_key_value_heads": 4,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
        },
    ),
    "led": (
        "LEDConfig",
        {
            **HALVES,
            "attention_window": 8,
            "max_encoder_position_embeddings": 256,
            "max_decoder_position_embeddings": 10,
        },
    ),
}


OWN_CODE = """\
import torch
from transformers import LlamaConfig, LlamaForCausalLM

class OwnConfig(LlamaConfig):
    model_type = "own"

class NoBackward(torch.autograd.Function):
    forward = staticmethod(lambda context, logits: logits.clone())

class NanBackward(NoBackward):
    setup_context = staticmethod(lambda *_: None)
    forward = staticmethod(lambda logits: logits.clone())
    backward = staticmethod(lambda context, gradient: gradient * torch.nan)

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig

    def forward(self, *args, **kwargs):
        output = super().forward(*args, **kwargs)
        output.logits = {logits}
        return output
"""


def own_model(folder: Path, logits: str) -> Path:
    """Turn a Llama's folder into a model with code of its own, which makes its logits of ``output.logits``."""
    code = f"own_{digest(logits)}"  # modules are known by their names
    (folder / f"{code}.py").write_text(OWN_CODE.format(logits=logits))
    file = folder / "config.json"
    classes = {"AutoConfig": f"{code}.OwnConfig", "AutoModelForCausalLM": f"{code}.OwnModel"}
    own = {"model_type": "own", "architectures": ["OwnModel"], "auto_map": classes}
    file.write_text(json.dumps({**json.loads(file.read_text()), **own}))
    return folder


def odd_model(name: str, folder: Path, **overrides: Any) -> Path:
    """Write a model of `CONFIGS` as ``from_pretrained`` reads it; weights are large enough for attention to matter."""
    kind, sizes = CONFIGS[name]
    make: Any = getattr(transformers, kind)
    config = make(**{"vocab_size": 512, **IDS, **sizes, **overrides})
    halves = config.is_encoder_decoder
    tiny_model("t5" if halves else "bloom", folder)
    auto: Any = transformers.AutoModelForSeq2SeqLM if halves else transformers.AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        auto.from_config(config, dtype=torch.float32).save_pretrained(folder)
    file = folder / "config.json"
    written = json.loads(file.read_text())
    file.write_text(json.dumps({"num_hidden_layers": config.num_hidden_layers, **written}))  # as published ones have it
    return folder
