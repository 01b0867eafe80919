"""The anatomy of each family against facts written by hand, and of architectures that nobody listed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from harness.core.errors import ModelError
from harness.models.find_blocks import anatomy, blocks, head
from harness.models.load import load
from harness.testing import FAMILIES, MASKED_FAMILIES
from tests.support.family_facts import ENCODER_DECODERS, FACTS, MASKED

NARROW = {"vocab_size": 96, "hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 2}
HALVES = {
    "vocab_size": 96,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
}
TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def random_model(config: str, **arguments: Any) -> Any:
    built = getattr(transformers, config)(**{**TOKENS, **arguments})
    auto: Any = transformers.AutoModelForSeq2SeqLM if built.is_encoder_decoder else transformers.AutoModelForCausalLM
    return auto.from_config(built)


def test_all_families_have_facts() -> None:
    assert {*FAMILIES, *MASKED_FAMILIES} == set(FACTS)


@pytest.mark.parametrize("family", FACTS)
def test_anatomy_of_a_family(tiny_folder: Callable[..., Path], family: str) -> None:
    model = load(str(tiny_folder(family))).model
    facts = FACTS[family]
    listed = blocks(model)

    assert [block.name for block in listed] == list(facts.blocks)
    for block in listed:
        assert block.module is model.get_submodule(block.name)
        in_encoder = family in ENCODER_DECODERS and block.name.startswith(("encoder.", "model.encoder."))
        assert block.stack == ("encoder" if in_encoder else "decoder")
    norms = {
        norm.stack: {f"{norm.name}.{name}" for name, _ in norm.module.named_parameters()}
        for norm in anatomy(model).final_norms
    }
    assert norms == {stack: set(names) for stack, names in facts.norms.items()}
    top = (*anatomy(model).transform, head(model))
    within = {f"{part.name}.{name}" for part in top for name, _ in part.module.named_parameters()}
    assert facts.under_all_names(within) == facts.under_all_names(set(facts.head))
    assert len(top) == (3 if family in MASKED else 1)
    before = {f"{part.name}.{name}" for part in anatomy(model).embeddings for name, _ in part.module.named_parameters()}
    own = set(facts.embeddings) - ({facts.tied_to} if facts.aliases else set())
    assert before == own | set(facts.aliases)


UNLISTED = {
    "GPTJConfig": (
        {"vocab_size": 96, "n_layer": 2, "n_embd": 32, "n_head": 2, "rotary_dim": 8},
        ["transformer.h.0", "transformer.h.1"],
        ["transformer.ln_f"],
    ),
    "FalconConfig": (NARROW, ["transformer.h.0", "transformer.h.1"], ["transformer.ln_f"]),
    # Experts outnumber the blocks.
    "Qwen2MoeConfig": (
        {
            **NARROW,
            "num_key_value_heads": 1,
            "num_experts": 4,
            "intermediate_size": 48,
            "moe_intermediate_size": 16,
            "shared_expert_intermediate_size": 16,
        },
        ["model.layers.0", "model.layers.1"],
        ["model.norm"],
    ),
    # Three norms around the stacks, of which two come before the blocks.
    "MBartConfig": (
        HALVES,
        ["model.encoder.layers.0", "model.decoder.layers.0", "model.decoder.layers.1"],
        ["model.encoder.layer_norm", "model.decoder.layer_norm"],
    ),
    "PegasusConfig": (
        HALVES,
        ["model.encoder.layers.0", "model.decoder.layers.0", "model.decoder.layers.1"],
        ["model.encoder.layer_norm", "model.decoder.layer_norm"],
    ),
    # OPT 350M's way: norms after the sub-layers, so none at the end, where a projection to the narrow head follows.
    "OPTConfig": (
        {**NARROW, "ffn_dim": 48, "word_embed_proj_dim": 16, "do_layer_norm_before": False},
        ["model.decoder.layers.0", "model.decoder.layers.1"],
        [],
    ),
}


@pytest.mark.parametrize("config", UNLISTED)
def test_anatomy_of_an_unlisted_architecture(config: str) -> None:
    arguments, names, norms = UNLISTED[config]
    model = random_model(config, **arguments)
    assert [block.name for block in blocks(model)] == names
    assert [norm.name for norm in anatomy(model).final_norms] == norms
    assert head(model).name == "lm_head"


def test_an_ambiguous_model_is_refused_with_what_was_found() -> None:
    # XLM has no block modules: its sub-layers stand in four parallel lists.
    model = random_model("XLMConfig", n_words=96, n_layers=2, emb_dim=32, n_heads=2)
    with pytest.raises(ModelError, match=r"XLMWithLMHeadModel.*transformer\.attentions \(2\).*transformer\.ffns \(2\)"):
        blocks(model)


def test_a_model_without_blocks_is_refused() -> None:
    model = random_model("LlamaConfig", **{**NARROW, "intermediate_size": 48})
    model.model.layers = nn.ModuleList()
    with pytest.raises(ModelError, match="lists of modules found: none"):
        blocks(model)


def test_a_model_without_a_head_is_refused() -> None:
    model = transformers.LlamaModel(transformers.LlamaConfig(**{**TOKENS, **NARROW, "intermediate_size": 48}))
    with pytest.raises(ModelError, match="LlamaModel has no output projection"):
        head(model)


def test_looking_changes_nothing(tiny_folder: Callable[..., Path]) -> None:
    model = load(str(tiny_folder("bart", dropout=0.5))).model
    model.model.decoder.train()
    modes = [module.training for module in model.modules()]
    before = torch.random.get_rng_state()
    anatomy(model)
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.random.get_rng_state(), before)
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
