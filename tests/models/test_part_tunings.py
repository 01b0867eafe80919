"""What trains where parts of blocks do: against lists written by hand; modes, ties, deltas, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from harness.core.errors import ModelError
from harness.models.apply_tuning import apply, first_block, reset, set_modes, snapshot
from harness.models.content_digests import weights_digest
from harness.models.frozen.replay import first_trained, refusal
from harness.models.load import load
from harness.study.axes import Tuning
from harness.study.tuning_kinds import TUNING_KINDS
from tests.support.family_facts import ENCODER_DECODERS, FACTS, LAST_TWO, of_parts

Tiny = Callable[..., Path]

PARTS = ("norms", "biases", "attention", "feed_forward", "embeddings")
FAMILIES = [pytest.param(family, marks=[pytest.mark.slow] * (family not in ("gpt2", "t5", "bert"))) for family in FACTS]
NO_BIASES = ("llama", "qwen3", "mistral", "gemma3", "t5")
DROPOUT = {
    "gpt2": {"resid_pdrop": 0.5, "embd_pdrop": 0.5, "attn_pdrop": 0.5},
    "bart": {"dropout": 0.5, "activation_dropout": 0.5, "attention_dropout": 0.5},
    "t5": {"dropout_rate": 0.5},
}


def pretrained(folder: Path) -> Any:
    return load(str(folder)).model


def inputs(model: Any) -> dict[str, Tensor]:
    ids = torch.randint(4, model.config.vocab_size, (4, 12), generator=torch.Generator().manual_seed(0))
    return {"input_ids": ids, "labels": ids.roll(1, 1) if model.config.is_encoder_decoder else ids}


def train(model: Any) -> None:
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-2)
    for _ in range(2):
        model(**inputs(model)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def values(model: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def tunings(family: str) -> list[tuple[Tuning, set[str]]]:
    """Each kind of part, in all blocks and in the last two, and what it trains."""
    found = []
    for kind in PARTS:
        if kind == "biases" and family in NO_BIASES:
            continue
        found.append((Tuning(kind=kind), of_parts(family, kind, None)))
        if kind != "embeddings":
            found.append((Tuning(kind=kind, blocks="last-2"), of_parts(family, kind, LAST_TWO[family])))
    return [(tuning, listed) for tuning, listed in found if listed]


@pytest.mark.parametrize("family", FAMILIES)
def test_a_tuning_of_parts_moves_what_is_listed_and_nothing_else(tiny_folder: Tiny, family: str) -> None:
    model, facts = pretrained(tiny_folder(family)), FACTS[family]
    before, digest = values(model), weights_digest(model)
    count = len(facts.blocks)
    for tuning, listed in tunings(family):
        first = first_block(model, tuning)
        trainable = apply(model, tuning)
        assert set(trainable.names) == listed, tuning.name
        assert set(snapshot(model)) == listed
        above = count if listed <= set(facts.head) else None  # ModernBERT has a bias in its head alone
        assert first == (count - 2 if tuning.blocks else above), "replay follows from it"
        assert (first_trained(model), refusal(model, trainable)) == (first, None) or not first
        train(model)
        moving = facts.under_all_names(listed)
        after = values(model)
        changed = {name for name in after if not torch.equal(after[name], before[name])}
        assert changed <= moving, tuning.name
        assert {name for name in moving - changed if not name.endswith(facts.flat or ("-",))} == set(), tuning.name
        reset(model, trainable)
        assert weights_digest(model) == digest
    assert all(torch.equal(tensor, before[name]) for name, tensor in values(model).items())


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_of_a_choice_are_those_that_a_number_says(tiny_folder: Tiny, family: str) -> None:
    model, facts = pretrained(tiny_folder(family)), FACTS[family]
    listed, names = list(facts.blocks), dict[str, set[str]]()
    ranges = [f"{len(listed) - 2}-{len(listed) - 1}", (0, 2)]
    written: list[tuple[str, Any]] = [
        ("last_blocks", 2),
        ("first_blocks", 2),
        *(("blocks", choice) for choice in ("last-2", "first-2", *ranges, "all")),
    ]
    for kind, blocks in written:
        tuning = Tuning(kind=kind, blocks=blocks)
        first = first_block(model, tuning)
        trainable = apply(model, tuning)
        names[tuning.name] = set(trainable.names)
        assert first == (len(listed) - 2 if min(map(listed.index, own_blocks(trainable.names, listed))) else None)
        reset(model, trainable)
    norms = {name for stack in facts.norms.values() for name in stack}
    own = {"decoder": set(facts.norms.get("decoder", ())), "encoder": set(facts.norms.get("encoder", ()))}
    whole_encoder = family in ENCODER_DECODERS and sum("encoder" in name for name in listed) == 2
    assert names["last_blocks-2"] == names["blocks-last-2"] == names[f"blocks-{ranges[0]}"]
    assert names["last_blocks-2"] == facts.of(*listed[-2:]) | own["decoder"]
    assert names["first_blocks-2"] == names["blocks-first-2"]
    assert names["first_blocks-2"] == facts.of(*listed[:2]) | (own["encoder"] if whole_encoder else set())
    assert names["blocks-all"] == facts.of(*listed) | norms
    ends = own["encoder"] if family == "t5" else own["decoder"] if len(listed) == 3 else set()
    assert names["blocks-0_2"] == facts.of(listed[0], listed[2]) | ends


def own_blocks(names: tuple[str, ...], listed: list[str]) -> list[str]:
    return [block for block in listed if any(name.startswith(f"{block}.") for name in names)]


@pytest.mark.parametrize("family", DROPOUT)
def test_dropout_is_off_but_in_modules_that_train_whole(tiny_folder: Tiny, family: str) -> None:
    model = pretrained(tiny_folder(family, **DROPOUT[family]))
    for tuning, _ in tunings(family):
        trainable = apply(model, tuning)
        model.train()
        set_modes(model, trainable)
        inside = {each for path in trainable.modules for each in model.get_submodule(path).modules()}
        assert {module for module in model.modules() if module.training} == inside
        draws = not torch.equal(*(model(**inputs(model)).logits for _ in range(2)))
        silent = tuning.kind in ("norms", "biases") or (tuning.kind, family) in [("feed_forward", "bart")]
        assert draws is not (silent or tuning.kind == "embeddings")
        reset(model, trainable)


@pytest.mark.parametrize(
    ("family", "tied"), [("gpt2", True), ("t5", True), ("bart", True), ("llama", False), ("marian", True)]
)
def test_a_head_that_is_tied_to_embeddings_moves_with_them(tiny_folder: Tiny, family: str, tied: bool) -> None:
    model = pretrained(tiny_folder(family))
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    before = head.weight.detach().clone()
    trainable = apply(model, Tuning(kind="embeddings"))
    assert any("they train as one tensor" in note for note in trainable.notes) is tied
    train(model)
    assert (head.weight is embedding.weight) is tied
    assert torch.equal(head.weight, before) is not tied
    assert trainable.total == model.num_parameters()
    reset(model, trainable)
    assert torch.equal(head.weight, before)


def test_what_shares_a_tensor_with_a_frozen_part_is_refused(tiny_folder: Tiny) -> None:
    model = pretrained(tiny_folder("llama"))
    layers = model.model.layers
    layers[0].input_layernorm = layers[2].input_layernorm
    with pytest.raises(ModelError, match=r"model\.layers\.0\.input_layernorm\.weight is frozen, but shares"):
        apply(model, Tuning(kind="norms", blocks="last-1"))
    assert "model.layers.0.input_layernorm.weight" in apply(model, Tuning(kind="norms")).names


def test_embeddings_that_a_block_shares_are_refused(tiny_folder: Tiny) -> None:
    model = pretrained(tiny_folder("bloom"))
    transformer = model.transformer
    transformer.h[1].input_layernorm.weight = transformer.word_embeddings_layernorm.weight
    with pytest.raises(ModelError, match=r"transformer\.h\.1\.input_layernorm\.weight is frozen, but shares"):
        apply(model, Tuning(kind="embeddings"))


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_model_without_biases_is_refused_with_the_reason(tiny_folder: Tiny, family: str) -> None:
    model = pretrained(tiny_folder(family))
    with pytest.raises(ModelError, match=r"tuning biases: \w+ has no biases at all, so that nothing would train"):
        apply(model, Tuning(kind="biases"))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_part_s_note_says_where_and_what(tiny_folder: Tiny) -> None:
    trainable = apply(pretrained(tiny_folder("t5")), Tuning(kind="attention", blocks="last-3"))
    first, second, _ = trainable.notes
    assert first == "in encoder.block.2 train layer.0.SelfAttention"
    assert second == "in decoder.block.0, decoder.block.1 train layer.0.SelfAttention, layer.1.EncDecAttention"


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ("last-4", "attention names blocks last-4, but LlamaForCausalLM has 3 blocks, counted from 0; name some"),
        ("1-3", "attention names blocks 1-3, but LlamaForCausalLM has 3 blocks"),
        ((0, 3), "attention names blocks 0_3, but LlamaForCausalLM has 3 blocks"),
    ],
)
def test_blocks_that_are_not_there(tiny_folder: Tiny, blocks: Any, message: str) -> None:
    model = pretrained(tiny_folder("llama"))
    with pytest.raises(ModelError, match=message):
        apply(model, Tuning(kind="attention", blocks=blocks))


def test_every_kind_is_tested_here() -> None:
    blocks = {"last_blocks", "first_blocks", "blocks"}
    of_weights = {kind for kind, facts in TUNING_KINDS.items() if facts.adapter is None}
    assert {*PARTS, *blocks, "none", "head", "full"} == of_weights
