"""Checkpoints that hold more, less or otherwise named weights than their architecture."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.core.errors import ModelError
from harness.models.load import load

Tiny = Callable[..., Path]
Weights = dict[str, Tensor]

MASK, NUMBER = torch.ones(1, 1, 8, 8), torch.tensor(-1e4)


def copied(folder: Path, to: Path, change: Callable[[Weights], Weights]) -> str:
    """Copy a model with other weights; return its folder."""
    shutil.copytree(folder, to, dirs_exist_ok=True)
    save_file(change(load_file(folder / "model.safetensors")), to / "model.safetensors", metadata={"format": "pt"})
    return str(to)


def random_folder(config: transformers.PreTrainedConfig, folder: Path, tokenizer: Path) -> Path:
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(tokenizer).save_pretrained(folder)
    return folder


NARROW = {"vocab_size": 508, "bos_token_id": 1, "eos_token_id": 2}
OTHERS = {
    "gptj": transformers.GPTJConfig(n_embd=32, n_head=2, n_layer=2, n_positions=64, rotary_dim=8, **NARROW),
    "gpt_neo": transformers.GPTNeoConfig(
        hidden_size=32, num_layers=2, num_heads=2, attention_types=[[["global", "local"], 1]], **NARROW
    ),
    "codegen": transformers.CodeGenConfig(n_embd=32, n_head=4, n_layer=2, n_positions=64, rotary_dim=4, **NARROW),
    "bert": transformers.BertConfig(
        hidden_size=32, intermediate_size=48, num_attention_heads=2, num_hidden_layers=2, is_decoder=True, **NARROW
    ),
    "xglm": transformers.XGLMConfig(d_model=32, ffn_dim=48, attention_heads=2, num_layers=2, **NARROW),
}

LEFT_OVER: dict[str, Weights] = {
    "gpt2": {"transformer.h.0.attn.bias": MASK, "transformer.h.1.attn.masked_bias": NUMBER},
    "gpt_neox": {
        "gpt_neox.layers.0.attention.bias": MASK,
        "gpt_neox.layers.0.attention.masked_bias": NUMBER,
        "gpt_neox.layers.0.attention.rotary_emb.inv_freq": torch.ones(4),
    },
    "llama": {f"model.layers.{block}.self_attn.rotary_emb.inv_freq": torch.ones(4) for block in range(3)},
    "t5": {"decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight": torch.ones(32, 4)},
    "opt": {"model.decoder.version": torch.tensor([3.0])},
    "gptj": {"transformer.h.0.attn.bias": MASK.bool(), "transformer.h.0.attn.masked_bias": NUMBER},
    "gpt_neo": {
        "transformer.h.0.attn.attention.bias": MASK.byte(),
        "transformer.h.1.attn.attention.masked_bias": NUMBER,
    },
    "codegen": {"transformer.h.0.attn.causal_mask": MASK.bool()},
    "bert": {
        "bert.embeddings.position_ids": torch.arange(512)[None],
        "bert.pooler.dense.weight": torch.ones(32, 32),
        "cls.seq_relationship.bias": torch.ones(2),
    },
    "xglm": {"model.embed_positions.weights": torch.ones(66, 32)},
}


@pytest.mark.parametrize("family", LEFT_OVER)
def test_what_older_versions_stored_is_no_matter(tiny_folder: Tiny, tmp_path: Path, family: str) -> None:
    if family in OTHERS:
        folder = random_folder(OTHERS[family], tmp_path / "plain", tiny_folder("llama"))
    else:
        folder = tiny_folder(family)
    old = copied(folder, tmp_path / "old", lambda weights: {**weights, **LEFT_OVER[family]})
    assert load(old).digest == load(str(folder)).digest


def test_a_checkpoint_of_before_safetensors(tiny_folder: Tiny, tmp_path: Path) -> None:
    """GPT-2 as it was published: without a prefix, with its masks."""

    def change(weights: Weights) -> Weights:
        own = {name.removeprefix("transformer."): tensor for name, tensor in weights.items()}
        return own | {f"h.{block}.attn.bias": MASK + block for block in range(3)} | {"h.0.attn.masked_bias": NUMBER}

    folder = tiny_folder("gpt2")
    assert load(copied(folder, tmp_path, change)).digest == load(str(folder)).digest


@pytest.mark.parametrize(
    "name",
    [
        "transformer.h.0.attn.c_attn.extra",
        "transformer.h.0.attn.q_norm.weight",
        "transformer.h.3.attn.c_attn.weight",
        "transformer.h.0.mlp.bias",
        "transformer.wpe_2.weight",
    ],
)
def test_what_an_architecture_lacks_is_refused(tiny_folder: Tiny, tmp_path: Path, name: str) -> None:
    folder = copied(tiny_folder("gpt2"), tmp_path, lambda weights: {**weights, name: torch.ones(32)})
    with pytest.raises(ModelError, match=rf"1 unknown to the architecture \({name}\); use the config\.json"):
        load(folder)


def prefixed(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: {f"{prefix}{name}": tensor for name, tensor in weights.items()}


def added(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {**weights, name: torch.ones(3)}


CAUSES: dict[str, tuple[Callable[[Weights], Weights], str]] = {
    "compiled": (prefixed("_orig_mod."), r"torch\.compile; store model\._orig_mod instead"),
    "compiled inside": (
        lambda weights: {name.replace("layers.0.", "layers.0._orig_mod."): value for name, value in weights.items()},
        r"torch\.compile",
    ),
    "data parallel": (prefixed("module."), r"wrapped for several devices; store model\.module"),
    "fsdp": (prefixed("_fsdp_wrapped_module."), "wrapped model; store the model inside"),
    "another wrapper": (prefixed("policy.net."), r"names in the checkpoint begin with 'policy\.net\.'"),
    "value head": (added("v_head.summary.weight"), r"value head of reinforcement learning; store .*pretrained_model"),
    "reward model": (added("score.weight"), "a classifier's or a reward model's"),
    "adapter inside": (
        added("model.layers.0.self_attn.q_proj.lora_A.default.weight"),
        "PEFT adapter.*merge_and_unload",
    ),
    "peft": (prefixed("base_model.model."), "PEFT adapter"),
    "gptq": (added("model.layers.0.self_attn.q_proj.qweight"), "quantized"),
    "fp8": (added("model.layers.0.self_attn.q_proj.weight_scale_inv"), "quantized"),
}


@pytest.mark.parametrize("kind", CAUSES)
def test_a_misfit_whose_names_tell_its_cause(tiny_folder: Tiny, tmp_path: Path, kind: str) -> None:
    change, cause = CAUSES[kind]
    with pytest.raises(ModelError, match=rf"unknown to the architecture .*; .*{cause}") as caught:
        load(copied(tiny_folder("llama"), tmp_path, change))
    assert "use the config.json" not in str(caught.value)
