"""What check refuses of adapters without loading anything, and that run refuses what only the loaded model tells."""

from __future__ import annotations

import dataclasses
import json
import warnings
from pathlib import Path
from typing import Any

import peft
import pytest
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM
from transformers.pytorch_utils import Conv1D

from harness.models.find_blocks import anatomy, is_inside
from harness.study.checkpoint_layers import block_layers, is_end, tensor_shapes
from harness.study.model_files import locate
from harness.study.peft_methods import UNLIKE, method_keys, methods
from harness.testing import FAMILIES, tiny_model
from tests.support.study_fixture import Place, Places


def named(name: Any) -> str:
    return str(getattr(name, "value", name))


RENAMED = {"gpt_neox"}
"""Families whose weights transformers names otherwise than their files."""

METHODS = {named(name): config for name, config in peft.PEFT_TYPE_TO_CONFIG_MAPPING.items()}


def test_methods_are_those_of_peft() -> None:
    assert set(methods()) == METHODS.keys() - UNLIKE


@pytest.mark.parametrize("method", sorted(METHODS.keys() - UNLIKE))
def test_keys_and_ranks_are_those_of_peft(method: str) -> None:
    fields = {field.name: field.default for field in dataclasses.fields(METHODS[method])}
    found = method_keys(method)
    assert found.keys() == fields.keys()
    assert found.get("r") == fields.get("r")


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_layers_of_a_checkpoint_are_the_models(tmp_path: Path, family: str) -> None:
    """A name that a linear layer of the loaded blocks has is never refused; where names change, nothing is said."""
    tiny_model(family, tmp_path)
    layers = block_layers(locate(str(tmp_path)))
    halves = locate(str(tmp_path)).config.get("is_encoder_decoder")
    model = (AutoModelForSeq2SeqLM if halves else AutoModelForCausalLM).from_pretrained(tmp_path)
    blocks = [block.name for block in anatomy(model).blocks]
    linear = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and is_inside(name, blocks)
    }
    assert linear
    if layers is None:
        assert family in RENAMED
        return
    for name, module in linear.items():
        (found,) = [shape for path, shape in layers.items() if is_end(name, path)]
        assert found == tuple(module.weight.shape)
        assert any(is_end(name.rpartition(".")[2], path) for path in layers)


def test_shapes_are_those_in_the_file(tmp_path: Path) -> None:
    tiny_model("llama", tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    assert tensor_shapes(file) == {name: tuple(tensor.shape) for name, tensor in load_file(file).items()}
    file.write_bytes(b"no safetensors")
    assert tensor_shapes(file) == {}


def asked(place: Place, tuning: Any, *options: str) -> Any:
    return place.command("check", "study.yaml", "--set", f"tuning={json.dumps([tuning])}", *options)


LORA = {"peft_type": "LORA", "r": 4, "target_modules": ["c_attn"]}


@pytest.mark.parametrize(
    ("tuning", "says"),
    [
        ({"lora": {"targets": ["query"]}}, "targets name 'query', which no linear layer of the model's blocks is"),
        ({"dora": {"targets": ["c_atn"]}}, "did you mean 'c_attn'"),
        ({"lora": {"targets": ["lm_head"]}}, "targets name 'lm_head'"),
        ({"rslora": {"targets": ["wte"]}}, "targets name 'wte'"),
        ({"ia3": {"targets": ["c_attn"], "feed_forward": ["c_fd"]}}, "feed_forward name 'c_fd'"),
        ({"peft": {"peft_type": "FOO"}}, "peft_type 'FOO' is no method that can be compared here"),
        ({"peft": {"peft_type": "XLORA"}}, "peft_type 'XLORA' is no method that can be compared here"),
        ({"peft": {"peft_type": "loha"}}, "did you mean 'LOHA'?"),
        ({"peft": {"peft_type": "LOHA", "rank": 8}}, "LOHA has no key 'rank'; did you mean"),
        ({"peft": {"peft_type": "VERA", "r": 0}}, "r is 0; it must be a whole number of at least 1"),
        ({"peft": {"peft_type": "LOHA", "r": "8"}}, "r is 8; it must be a whole number of at least 1"),
        ({"peft": {**LORA, "modules_to_save": ["lm_head"]}}, "name what trains beside the adapter by with: [head]"),
        ({"peft": {**LORA, "layer_replication": [[0, 2]]}}, "leave it out: the model would have other blocks"),
        ({"peft": {**LORA, "init_lora_weights": "pissa_niter_4"}}, "it changes the model's own weights"),
    ],
)
def test_what_is_wrong_of_a_tuning_is_told_by_check(places: Places, tuning: Any, says: str) -> None:
    told = asked(places(), tuning)
    assert told.status == 2, told.out
    assert says in " ".join(told.err.split()), told.err


@pytest.mark.parametrize(
    "tuning",
    [
        {"lora": {"targets": ["c_attn", "mlp.c_fc"]}},
        {"lora": {"targets": ["transformer.h.0.attn.c_attn"]}},
        {"peft": {"peft_type": "OFT", "r": 0, "oft_block_size": 4}},
        {"peft": {**LORA, "modules_to_save": None, "init_lora_weights": "gaussian"}},
    ],
)
def test_what_is_right_is_let_through(places: Places, tuning: Any) -> None:
    told = asked(places(), tuning)
    assert told.status == 0, told.err


def test_an_adapter_of_another_shape_is_told_by_check(places: Places, tmp_path: Path) -> None:
    place = places()
    narrow = tiny_model("gpt2", tmp_path / "narrow", n_embd=16)
    other = tiny_model("llama", tmp_path / "other")
    stored(narrow, peft.LoraConfig("CAUSAL_LM", r=2, target_modules=["c_attn"], fan_in_fan_out=True))
    stored(other, peft.LoraConfig("CAUSAL_LM", r=2, target_modules=["q_proj"]))
    told = asked(place, "none", "--set", f"model.adapter={narrow}/adapter")
    assert told.status == 2
    assert "has 16 numbers, and the layer" in " ".join(told.err.split())
    told = asked(place, "none", "--set", f"model.adapter={other}/adapter")
    assert told.status == 2
    assert "which is no layer of this model's blocks; name the model that it was made on" in " ".join(told.err.split())


def stored(base: Path, config: peft.PeftConfig) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(base / "adapter")


@pytest.mark.parametrize("command", ["plan", "run"])
def test_one_that_changes_the_models_own_weights_is_refused_before_it_trains(
    places: Places, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("harness.study.adapter_faults.REWRITING", ("something else",))
    place = places()
    tiny_model("llama", place.folder / "other")
    tuning = json.dumps([{"peft": {**LORA, "target_modules": ["q_proj"], "init_lora_weights": "olora"}}])
    told = place.command(command, "study.yaml", "--set", f"tuning={tuning}", "--set", "model.name=other")
    assert told.status == 2
    assert "this adapter changes the model's own weights" in " ".join(told.err.split()), told.err


def test_a_package_that_a_method_lacks_is_named_in_a_sentence(places: Places) -> None:
    place = places()
    tuning = json.dumps([{"peft": {**LORA, "megatron_config": {"a": 1}}}])
    told = place.command("plan", "study.yaml", "--set", f"tuning={tuning}")
    assert told.status == 2
    assert "No module named 'megatron'; change its options" in " ".join(told.err.split()), told.err
