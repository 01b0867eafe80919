"""Adapters on a model: what they train and where, their first weights, modes, refusals, the way back bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from harness.core.errors import ModelError
from harness.models.apply_tuning import apply, first_block, reset, set_modes
from harness.models.block_rates import rate_factors
from harness.models.content_digests import weights_digest
from harness.models.load import Loaded, load
from harness.models.tuning_adapter import Start
from harness.study.axes import Tuning, tuning_of
from harness.testing import FAMILIES
from harness.training.loss import ForwardPass
from tests.support.odd_models import odd_model
from tests.support.training_runs import encoded, twenty

Tiny = Callable[..., Path]

KINDS: list[Any] = [
    "lora",
    {"lora": {"blocks": "last-1"}, "with": ["head", "norms"]},
    "dora",
    "rslora",
    "ia3",
    {"prompt_tuning": {"tokens": 4}},
    {"prefix_tuning": {"tokens": 4}},
    {"p_tuning": {"tokens": 4}},
    {"peft": {"peft_type": "VERA", "r": 4, "target_modules": "all-linear"}},
]
ODD = ["gpt2", *sorted(set(FAMILIES) - {"gpt2"})]


def read(value: Any) -> Tuning:
    return Tuning.model_validate(tuning_of(value))


def state(model: nn.Module) -> dict[str, Any]:
    """All that a model is: its modules by identity, its weights with their flags, its modes and attributes."""
    modules = {name: (id(module), module.training, set(vars(module))) for name, module in model.named_modules()}
    weights = {name: (id(weight), weight.requires_grad, weight.clone()) for name, weight in model.named_parameters()}
    return {"modules": modules, "weights": weights}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["modules"] == other["modules"]
    assert one["weights"].keys() == other["weights"].keys()
    for name, (place, flag, values) in one["weights"].items():
        assert (place, flag) == other["weights"][name][:2], name
        assert torch.equal(values, other["weights"][name][2]), name


def step(loaded: Loaded, count: int = 2) -> None:
    model = loaded.model
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-2)
    forward = ForwardPass(model)
    for batch in twenty(loaded, encoded(loaded))[:count]:
        forward.total_nll(batch).backward()
        optimizer.step()
        optimizer.zero_grad()


@pytest.mark.parametrize("value", KINDS, ids=lambda value: read(value).name)
@pytest.mark.parametrize("family", ["gpt2", "t5", pytest.param("llama", marks=pytest.mark.slow)])
def test_what_is_said_to_train_does_and_all_goes_back(tiny_folder: Tiny, family: str, value: Any) -> None:
    loaded = load(str(tiny_folder(family)))
    model, before = loaded.model, state(loaded.model)
    trainable = apply(model, read(value), Start(3, (5, 6)))
    first = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    step(loaded)
    moved = {name for name, weight in model.named_parameters() if not torch.equal(first[name], weight)}
    assert moved == set(trainable.names)
    assert trainable.trainable == sum(model.get_parameter(name).numel() for name in trainable.names)
    reset(model, trainable)
    assert_same(state(model), before)


@pytest.mark.parametrize("family", ODD)
def test_every_family_learns_by_them(tiny_folder: Tiny, family: str) -> None:
    loaded = load(str(tiny_folder(family)))
    digest = weights_digest(loaded.model)
    for value in ("lora", {"prompt_tuning": {"tokens": 4}}, {"prefix_tuning": {"tokens": 4}}):
        trainable = apply(loaded.model, read(value), Start(3, (5, 6)))
        before = ForwardPass(loaded.model).total_nll(twenty(loaded, encoded(loaded))[0]).item()
        step(loaded, 4)
        after = ForwardPass(loaded.model).total_nll(twenty(loaded, encoded(loaded))[0]).item()
        assert after < before
        reset(loaded.model, trainable)
        assert weights_digest(loaded.model) == digest


@pytest.mark.parametrize(
    ("value", "first"),
    [
        ({"lora": {"blocks": "last-1"}}, 2),
        ({"lora": {"blocks": "last-2"}}, 1),
        ("lora", None),
        ({"lora": {"blocks": "last-1"}, "with": ["head"]}, 2),
        ({"lora": {"blocks": "last-1"}, "with": ["norms"]}, None),
        ({"ia3": {"blocks": "last-2"}}, 1),
        ("prompt_tuning", None),
        ("prefix_tuning", None),
    ],
    ids=str,
)
def test_its_first_block(tiny_folder: Tiny, value: Any, first: int | None) -> None:
    model = load(str(tiny_folder("gpt2"))).model
    before = state(model)
    assert first_block(model, read(value)) == first
    assert_same(state(model), before)


def test_only_the_adapter_draws_dropout(tiny_folder: Tiny) -> None:
    drops = {"resid_pdrop": 0.5, "embd_pdrop": 0.5, "attn_pdrop": 0.5}
    model = load(str(tiny_folder("gpt2", **drops))).model
    trainable = apply(model, read({"lora": {"blocks": "last-1", "dropout": 0.5}}))
    set_modes(model, trainable)
    training = {name for name, module in model.named_modules() if isinstance(module, nn.Dropout) and module.training}
    assert training
    assert all("lora_dropout" in name and name.startswith("transformer.h.2.") for name in training)


def first_weights(folder: Path, value: Any, start: Start) -> dict[str, Tensor]:
    model = load(str(folder)).model
    trainable = apply(model, read(value), start)
    return {name: model.get_parameter(name).detach() for name in trainable.names}


def test_a_seed_says_what_is_drawn(tiny_folder: Tiny) -> None:
    folder, generator = tiny_folder("gpt2"), torch.random.get_rng_state()
    one, same, other = (first_weights(folder, "lora", Start(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), generator)
    assert all(torch.equal(one[name], same[name]) for name in one)
    drawn = [name for name in one if "lora_A" in name]
    assert drawn
    assert not any(torch.equal(one[name], other[name]) for name in drawn)


def test_virtual_tokens_begin_as_words(tiny_folder: Tiny) -> None:
    folder = tiny_folder("gpt2")
    (weights,) = first_weights(folder, {"prompt_tuning": {"tokens": 5}}, Start(0, (7, 9))).values()
    table = load(str(folder)).model.get_input_embeddings().weight
    assert torch.equal(weights, table[[7, 9, 7, 9, 7]])


@pytest.mark.parametrize("family", ["gpt2", "llama", "bloom"])
def test_a_prefix_begins_as_what_the_model_keeps_of_words(tiny_folder: Tiny, family: str) -> None:
    """A row behind the prefix reads what it would read behind these very words."""
    loaded, words = load(str(tiny_folder(family))), (11, 7, 9)
    ids = torch.tensor([[8, 21, 30, 4]])
    whole = torch.cat([torch.tensor([words]), ids], dim=1)
    with torch.no_grad():
        expected = loaded.model(input_ids=whole).logits[:, len(words) :]
        apply(loaded.model, read({"prefix_tuning": {"tokens": 3}}), Start(0, words))
        found = loaded.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"lora": {"targets": ["q_prj"]}}, "tuning lora-8-targets-q_prj: targets name 'q_prj'.*did you mean 'q_proj'"),
        ({"lora": {"blocks": "last-9"}}, "tuning lora-8-last-9: lora names blocks last-9, but LlamaForCausalLM has 3"),
        (
            {"peft": {"peft_type": "LORRA"}},
            "peft_type 'LORRA' is no method that can be compared here; did you mean 'LORA'",
        ),
        ({"peft": {"peft_type": "LORA", "rr": 3}}, "PEFT's configuration of it is refused: TypeError: .*'rr'"),
        (
            {"peft": {"peft_type": "LORA", "target_modules": ["nothing"]}},
            "LlamaForCausalLM takes no such adapter: .*not found in the base model",
        ),
        ({"peft": {"peft_type": "XLORA"}}, "no method that can be compared here"),
    ],
)
def test_what_does_not_fit_is_named(tiny_folder: Tiny, value: Any, says: str) -> None:
    model = load(str(tiny_folder("llama"))).model
    before = state(model)
    with pytest.raises(ModelError, match=says):
        apply(model, read(value))
    assert_same(state(model), before)


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("rwkv", "prompt_tuning", "does not keep its past as keys and values that virtual tokens could be among"),
        ("bert", "p_tuning", "a token behind them has other logits"),
        ("jamba", "prefix_tuning", "has blocks that keep no keys and values; tune no prefix"),
        ("youtu", "prefix_tuning", "keeps other things in some blocks than in others; tune no prefix"),
        ("switch", "prefix_tuning", "takes no such adapter: ValueError"),
    ],
)
def test_a_model_without_a_place_for_it_is_refused(tmp_path: Path, name: str, kind: str, says: str) -> None:
    model = load(str(odd_model(name, tmp_path))).model
    before = state(model)
    with pytest.raises(ModelError, match=rf"tuning {kind}-\d+: .*{says}"):
        apply(model, read(kind))
    assert_same(state(model), before)


def test_a_layer_in_two_places_is_refused(tiny_folder: Tiny) -> None:
    model = load(str(tiny_folder("gpt2"))).model
    model.transformer.h[1].mlp = model.transformer.h[0].mlp
    with pytest.raises(ModelError, match=r"transformer.h.0.mlp.c_fc is transformer.h.1.mlp.c_fc as well"):
        apply(model, read("lora"))


@pytest.mark.parametrize("name", ["bart_decoder", "led", "jamba", "ernie4_5_moe"])
def test_lora_stands_where_text_goes_through(tmp_path: Path, name: str) -> None:
    loaded = load(str(odd_model(name, tmp_path)))
    trainable = apply(loaded.model, read("lora"))
    ForwardPass(loaded.model).total_nll(twenty(loaded, encoded(loaded))[0]).backward()
    assert all(loaded.model.get_parameter(name).grad is not None for name in trainable.names)


def test_ia3_asks_for_names_where_peft_has_none(tiny_folder: Tiny) -> None:
    model = load(str(tiny_folder("qwen3"))).model
    model.config.model_type = "unheard_of"
    with pytest.raises(ModelError, match="PEFT does not say where IA3 stands .*; name them: {ia3:"):
        apply(model, read("ia3"))
    named = {"ia3": {"targets": ["k_proj", "v_proj"], "feed_forward": ["down_proj"]}}
    trainable = apply(model, read(named))
    assert {name.rsplit(".", 3)[-3] for name in trainable.names} == {"k_proj", "v_proj", "down_proj"}


def test_virtual_tokens_learn_as_slowly_as_embeddings(tiny_folder: Tiny) -> None:
    model = load(str(tiny_folder("gpt2"))).model
    trainable = apply(model, read("prompt_tuning"))
    factors = rate_factors(model, 0.5)
    (name,) = trainable.names
    assert factors[model.get_parameter(name)] == factors[model.get_input_embeddings().weight] == 0.5**3
