"""What trains under each tuning, against lists written by hand; and the way back to the pretrained model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness.core.errors import ModelError
from harness.models.apply_tuning import apply, reset, restore, set_modes, snapshot
from harness.models.load import load
from harness.study.axes import Tuning
from tests.support.family_facts import ENCODER_DECODERS, FACTS, LAST_TWO, MASKED, expected

Tiny = Callable[..., Path]

TUNINGS = {
    "none": Tuning(kind="none"),
    "head": Tuning(kind="head"),
    "last_blocks-2": Tuning(kind="last_blocks", blocks=2),
    "full": Tuning(kind="full"),
}
INTO_ENCODER = Tuning(kind="last_blocks", blocks=4)

CASES = [
    *[(family, name, tuning) for family in FACTS for name, tuning in TUNINGS.items()],
    *[(family, "last_blocks-4", INTO_ENCODER) for family in ENCODER_DECODERS],
]


def pretrained(folder: Path) -> Any:
    return load(str(folder)).model


def inputs(model: Any, *, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(4, model.config.vocab_size, (4, 12), generator=generator)
    return {"input_ids": ids, "labels": ids.roll(1, 1) if model.config.is_encoder_decoder else ids}


def train(model: Any, steps: int = 3) -> None:
    moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(moving, lr=1e-2, weight_decay=0.0)
    for step in range(steps):
        model(**inputs(model, seed=step)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def logits(model: Any) -> Tensor:
    with torch.inference_mode():
        return model.eval()(**inputs(model)).logits


def values(model: Any) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def ties(model: Any) -> set[frozenset[str]]:
    names: dict[int, set[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), set()).add(name)
    return {frozenset(group) for group in names.values() if len(group) > 1}


@pytest.mark.parametrize(("family", "name", "tuning"), CASES)
def test_a_tuning_moves_what_is_listed_and_nothing_else(
    tiny_folder: Tiny, family: str, name: str, tuning: Tuning
) -> None:
    facts, listed = FACTS[family], expected(family, name)
    model = pretrained(tiny_folder(family))
    before, tied = values(model), ties(model)
    flags = {each: parameter.requires_grad for each, parameter in model.named_parameters()}

    trainable = apply(model, tuning)
    assert set(trainable.names) == listed
    assert {each for each, parameter in model.named_parameters() if parameter.requires_grad} == listed
    if listed:
        train(model)

    # A tied tensor that trains changes under all of its names.
    moving = facts.under_all_names(listed)
    after = values(model)
    changed = {each for each in after if not torch.equal(after[each], before[each])}
    assert changed <= moving
    assert {each for each in moving - changed if not each.endswith(facts.flat or ("-",))} == set()

    reset(model, trainable)
    assert same(values(model), before)
    assert ties(model) == tied
    assert {each: parameter.requires_grad for each, parameter in model.named_parameters()} == flags
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("family", FACTS)
def test_the_facts_are_complete(tiny_folder: Tiny, family: str) -> None:
    facts = FACTS[family]
    names = {name for name, _ in pretrained(tiny_folder(family)).named_parameters()}
    assert names == facts.everything | set(facts.constants)


@pytest.mark.parametrize(
    ("family", "overrides"),
    [
        ("gpt2", {}),
        ("gemma3", {}),
        ("opt", {}),
        ("bloom", {}),
        ("llama", {"tie_word_embeddings": True}),
        ("phi", {"tie_word_embeddings": True}),
        ("t5", {}),
        ("bart", {}),
        ("marian", {}),
        *((family, {}) for family in MASKED),
    ],
)
def test_a_tied_head_trains_as_a_copy_that_survives_saving(
    tiny_folder: Tiny, tmp_path: Path, family: str, overrides: dict[str, Any]
) -> None:
    model, tokenizer, *_ = load(str(tiny_folder(family, **overrides)))
    source = FACTS[family].tied_to or "model.embed_tokens.weight"
    embedding, untouched, total = model.get_parameter(source).clone(), logits(model), model.num_parameters()

    trainable = apply(model, Tuning(kind="head"))
    assert torch.equal(logits(model), untouched)
    assert [note for note in trainable.notes if source in note and "untied" in note]
    assert trainable.total == total + embedding.numel()
    # The entry governs all ties, and an encoder-decoder's embeddings are still tied to one another.
    # So are the two names of the bias of a head like BERT's.
    assert model.config.tie_word_embeddings is (family in ENCODER_DECODERS or bool(FACTS[family].bias))
    set_modes(model, trainable)
    train(model)
    assert not torch.equal(logits(model), untouched)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    loaded = pretrained(tmp_path)

    assert torch.equal(logits(loaded), logits(model))
    assert torch.equal(loaded.get_parameter(source), embedding)
    assert same(values(loaded), values(model))
    reset(model, trainable)
    assert torch.equal(logits(model), untouched)
    assert model.config.tie_word_embeddings is True


@pytest.mark.parametrize(
    ("family", "overrides"), [("gpt2", {"tie_word_embeddings": False}), ("t5", {"tie_word_embeddings": False})]
)
def test_an_untied_head_trains_as_it_is(tiny_folder: Tiny, family: str, overrides: dict[str, Any]) -> None:
    model = pretrained(tiny_folder(family, **overrides))
    before, weight, tie = values(model), model.lm_head.weight, model.config.tie_word_embeddings
    trainable = apply(model, Tuning(kind="head"))
    assert trainable.names == ("lm_head.weight",)
    assert trainable.notes == ()
    assert model.lm_head.weight is weight
    train(model)
    reset(model, trainable)
    assert same(values(model), before)
    assert model.config.tie_word_embeddings is tie


@pytest.mark.parametrize(("family", "name", "tuning"), CASES)
def test_the_table_counts_every_tensor_once(tiny_folder: Tiny, family: str, name: str, tuning: Tuning) -> None:
    model = pretrained(tiny_folder(family))
    sizes = {each: parameter.numel() for each, parameter in model.named_parameters()}
    trainable = apply(model, tuning)
    facts = FACTS[family]
    copied = {facts.projection: sizes[facts.tied_to]} if name == "head" and facts.tied_to else {}
    rows = {row.part: row for row in trainable.rows}

    assert trainable.total == sum({**sizes, **copied}.values())
    assert trainable.trainable == sum({**sizes, **copied}[each] for each in expected(family, name))
    assert rows["embeddings"].parameters == sum(sizes[each] for each in facts.embeddings)
    assert {part for part in rows if part in facts.blocks} == set(facts.blocks)
    for block in facts.blocks:
        assert rows[block].parameters == sum(sizes[each] for each in facts.of(block))
    assert rows["head"].parameters == sum({**sizes, **copied}.get(each, 0) for each in facts.head)
    assert "other" not in rows


@pytest.mark.parametrize("family", ["gpt2", "bart", "t5"])
def test_dropout_is_off_in_the_frozen_part_and_on_in_the_trained(tiny_folder: Tiny, family: str) -> None:
    dropout = {
        "gpt2": {"resid_pdrop": 0.5, "embd_pdrop": 0.5, "attn_pdrop": 0.5},
        "bart": {"dropout": 0.5, "activation_dropout": 0.5, "attention_dropout": 0.5},
        "t5": {"dropout_rate": 0.5},
    }[family]
    model = pretrained(tiny_folder(family, **dropout))
    trainable = apply(model, Tuning(kind="last_blocks", blocks=1))
    for whatever in (model.eval, model.train):  # an evaluation between epochs, or someone else's loop
        whatever()
        set_modes(model, trainable)
        assert model.get_submodule(LAST_TWO[family][1]).training
    last = model.get_submodule(LAST_TWO[family][1])
    inside = set(last.modules())
    norms = {each.removesuffix(".weight") for each in FACTS[family].norms.get("decoder", ())}
    for name, module in model.named_modules():
        assert module.training == (module in inside or name in norms), name

    entering: list[Tensor] = []
    last.register_forward_pre_hook(lambda _, args: entering.append(args[0].detach().clone()))
    first, second = (model(**inputs(model)).logits for _ in range(2))
    assert torch.equal(entering[0], entering[1])
    assert not torch.equal(first, second)


@pytest.mark.parametrize(("tuning", "trains"), [("none", False), ("full", True)])
def test_modes_of_the_whole_model(tiny_folder: Tiny, tuning: str, trains: bool) -> None:
    model = pretrained(tiny_folder("llama"))
    apply(model, TUNINGS[tuning])
    assert {module.training for module in model.modules()} == {trains}


@pytest.mark.parametrize("blocks", [4, 100])
def test_more_blocks_than_there_are(tiny_folder: Tiny, blocks: int) -> None:
    model = pretrained(tiny_folder("llama"))
    with pytest.raises(
        ModelError, match=rf"last_blocks-{blocks}: last_blocks is {blocks}, but LlamaForCausalLM has 3 blocks"
    ):
        apply(model, Tuning(kind="last_blocks", blocks=blocks))
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_block_that_shares_a_tensor_with_a_frozen_one_is_refused(tiny_folder: Tiny) -> None:
    model = pretrained(tiny_folder("llama"))
    first, last = model.model.layers[0], model.model.layers[2]
    first.mlp.up_proj.weight = last.mlp.up_proj.weight
    with pytest.raises(ModelError, match=r"model\.layers\.0\.mlp\.up_proj\.weight is frozen, but shares"):
        apply(model, Tuning(kind="last_blocks", blocks=1))
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert len(apply(model, Tuning(kind="last_blocks", blocks=3)).names) == 28 - 1


def test_a_tuned_model_must_be_reset_first(tiny_folder: Tiny) -> None:
    model = pretrained(tiny_folder("llama"))
    trainable = apply(model, Tuning(kind="head"))
    with pytest.raises(ValueError, match="call reset first"):
        apply(model, Tuning(kind="full"))
    reset(model, trainable)
    apply(model, Tuning(kind="full"))


def test_a_snapshot_holds_the_trained_tensors_and_brings_them_back(tiny_folder: Tiny) -> None:
    model = pretrained(tiny_folder("gpt2"))
    trainable = apply(model, Tuning(kind="last_blocks", blocks=1))
    train(model)
    best = snapshot(model)
    assert set(best) == set(trainable.names)
    kept = values(model)
    train(model)
    assert not same(values(model), kept)
    restore(model, best)
    assert same(values(model), kept)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), family=st.sampled_from(["gpt2", "qwen3", "t5", "marian"]))
def test_any_sequence_of_tunings_leaves_the_pretrained_model(
    tiny_folder: Tiny, data: st.DataObject, family: str
) -> None:
    model = pretrained(tiny_folder(family))
    blocks = list(FACTS[family].blocks)
    before, tied = values(model), ties(model)
    some = st.integers(1, len(blocks)).map(lambda k: Tuning(kind="last_blocks", blocks=k))
    for tuning in data.draw(st.lists(st.one_of(some, st.sampled_from(list(TUNINGS.values()))), min_size=1, max_size=4)):
        trainable = apply(model, tuning)
        if tuning.kind == "last_blocks":
            assert [name for name in trainable.modules if name in blocks] == blocks[-tuning.blocks :]
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:
                    parameter.add_(1.0)
        reset(model, trainable)
    assert same(values(model), before)
    assert ties(model) == tied
