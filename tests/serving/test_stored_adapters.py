"""Adapters stored by themselves and merged: both answer as what was trained, and plain PEFT reads the former."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from harness.core.errors import ModelError
from harness.data.template import Template
from harness.data.tokenization import Limits
from harness.models.apply_tuning import apply, reset
from harness.models.content_digests import architecture_digest, weights_digest
from harness.models.delta import Base, can_be_whole, trained_digest
from harness.models.load import Loaded, load
from harness.models.tuning_adapter import Start
from harness.serving.carried_code import carried_files, carried_packages
from harness.serving.generator import Generator
from harness.serving.recipe import Recipe, Store
from harness.serving.stored_model import save_model
from harness.study.axes import Tuning, tuning_of
from harness.study.decoding_settings import Decoding
from tests.support.odd_models import odd_model

Tiny = Callable[..., Path]

KINDS: list[Any] = [
    "lora",
    {"lora": {"blocks": "last-1"}, "with": ["head", "norms"]},
    "dora",
    "ia3",
    {"peft": {"peft_type": "VERA", "r": 4, "target_modules": "all-linear"}},
    {"prompt_tuning": {"tokens": 4}},
    {"prefix_tuning": {"tokens": 4}},
    {"p_tuning": {"tokens": 4}},
]
ROWS = [{"source": text} for text in ("a short note", "Could you send me the report before noon?", "12 boxes")]


def read(value: Any) -> Tuning:
    return Tuning.model_validate(tuning_of(value))


def moved(folder: Path, tuning: Tuning) -> tuple[Loaded, Any]:
    """Load a model, and move what trains under a tuning to other numbers everywhere."""
    loaded = load(str(folder))
    trainable = apply(loaded.model, tuning, Start(3, (9, 8)))
    drawn = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name in trainable.names:
            weight = loaded.model.get_parameter(name)
            weight += 0.05 * torch.randn(weight.shape, generator=drawn)
    loaded.model.eval()
    return loaded, trainable


def stored(into: Path, base: Path, loaded: Loaded, tuning: Tuning, store: Store) -> Path:
    facts = Base(str(base), str(base), None, "float32", False, False, loaded.digest, architecture_digest(loaded.model))
    recipe = Recipe(
        prompt=Template("bare", "{{ source }}\n", shorten="source"),
        limits=Limits(48, 12, 8),
        decoding=Decoding(8),
        precision="fp32",
        tuning=tuning,
        base=facts,
        store=store,
        weights=trained_digest(loaded, tuning),
    )
    save_model(into, loaded, recipe)
    return into


def logits(model: Any) -> Tensor:
    ids = torch.randint(4, 300, (3, 12), generator=torch.Generator().manual_seed(0))
    decoder = {"decoder_input_ids": ids.roll(1, 1)} if model.config.is_encoder_decoder else {}
    with torch.inference_mode():
        found: Tensor = model.eval()(input_ids=ids, attention_mask=torch.ones_like(ids), **decoder).logits
    return found[:, -12:]  # PEFT's own count virtual tokens


@pytest.mark.parametrize("value", KINDS, ids=lambda value: read(value).name)
@pytest.mark.parametrize("family", ["gpt2", "t5", pytest.param("llama", marks=pytest.mark.slow)])
def test_it_answers_as_what_was_trained(tiny_folder: Tiny, tmp_path: Path, family: str, value: Any) -> None:
    base, tuning = tiny_folder(family), read(value)
    loaded, trainable = moved(base, tuning)
    expected, forms = logits(loaded.model), ["delta", *(["full"] if can_be_whole(loaded, tuning) else [])]
    assert (forms == ["delta"]) == (tuning.virtual_tokens > 0)
    said = []
    for store in forms:
        found = Generator(stored(tmp_path / store, base, loaded, tuning, store))  # type: ignore[arg-type]
        torch.testing.assert_close(logits(found.loaded.model), expected, rtol=1e-4, atol=2e-5)
        said.append(found(ROWS))
    assert all(texts == said[0] for texts in said)
    auto = AutoModelForSeq2SeqLM if loaded.is_encoder_decoder else AutoModelForCausalLM
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = PeftModel.from_pretrained(auto.from_pretrained(base, dtype="float32"), str(tmp_path / "delta"))
    assert torch.equal(logits(plain), expected)
    reset(loaded.model, trainable)
    assert weights_digest(loaded.model) == loaded.digest


@pytest.mark.parametrize(
    ("peft", "merges"),
    [
        ({"peft_type": "RANDLORA"}, True),  # one matrix for all layers
        ({"peft_type": "LILY"}, False),
        ({"peft_type": "BEFT"}, False),  # it is a bias, and Llama's layers have none
        ({"peft_type": "LOKR"}, True),
    ],
    ids=lambda value: value["peft_type"] if isinstance(value, dict) else "",
)
def test_other_methods_of_peft_are_stored_as_what_they_allow(
    tiny_folder: Tiny, tmp_path: Path, peft: dict[str, Any], merges: bool
) -> None:
    base, tuning = tiny_folder("llama"), read({"peft": peft})
    loaded, trainable = moved(base, tuning)
    expected = logits(loaded.model)
    assert can_be_whole(loaded, tuning) is merges
    for store in ["delta", *(["full"] if merges else [])]:
        found = Generator(stored(tmp_path / store, base, loaded, tuning, store))  # type: ignore[arg-type]
        torch.testing.assert_close(logits(found.loaded.model), expected, rtol=1e-4, atol=2e-5)
    reset(loaded.model, trainable)
    assert weights_digest(loaded.model) == loaded.digest


def test_a_merged_one_is_a_plain_model(tiny_folder: Tiny, tmp_path: Path) -> None:
    base, tuning = tiny_folder("llama"), read("lora")
    loaded, _ = moved(base, tuning)
    folder = stored(tmp_path / "full", base, loaded, tuning, "full")
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype="float32")
    assert set(dict(plain.named_parameters())) == set(dict(load(str(base)).model.named_parameters()))
    torch.testing.assert_close(logits(plain), logits(loaded.model), rtol=1e-4, atol=2e-5)


def test_what_stands_at_shared_weights_is_not_merged(tmp_path: Path) -> None:
    loaded = load(str(odd_model("zamba", tmp_path)))
    apply(loaded.model, read("lora"))
    assert not can_be_whole(loaded, read("lora"))


def damaged(folder: Path, change: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    """Change what is stored, and the digest that vouches for it: as a stranger would who wrote the folder."""
    file = folder / "adapter_model.safetensors"
    save_file(change(load_file(file)), file, metadata={"format": "pt"})
    settings = json.loads((folder / "harness.json").read_text())
    del settings["files"], settings["reading"]
    (folder / "harness.json").write_text(json.dumps(settings))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda tensors: dict(list(tensors.items())[1:]), "holds other tensors than tuning"),
        (
            lambda tensors: {name: value[:1].clone() for name, value in tensors.items()},
            "holds other tensors than tuning",
        ),
        (lambda tensors: {name: value * float("nan") for name, value in tensors.items()}, "NaN or infinite"),
    ],
)
@pytest.mark.parametrize("value", ["lora", "prompt_tuning"])
def test_another_one_is_refused(tiny_folder: Tiny, tmp_path: Path, value: str, change: Any, says: str) -> None:
    base, tuning = tiny_folder("gpt2"), read(value)
    loaded, _ = moved(base, tuning)
    folder = stored(tmp_path / "delta", base, loaded, tuning, "delta")
    damaged(
        folder,
        change if value == "lora" or "NaN" in says else lambda tensors: {n: v[:1].clone() for n, v in tensors.items()},
    )
    with pytest.raises(ModelError, match=says):
        Generator(folder)


def test_another_base_is_refused(tiny_folder: Tiny, tmp_path: Path) -> None:
    base, tuning = tiny_folder("gpt2"), read("lora")
    loaded, _ = moved(base, tuning)
    folder = stored(tmp_path / "delta", base, loaded, tuning, "delta")
    settings = json.loads((folder / "harness.json").read_text())
    settings["base"]["weights"] = "0" * 12
    (folder / "harness.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="whose weights had the digest 000000000000 then"):
        Generator(folder)


def test_peft_travels_only_where_it_is_needed(tiny_folder: Tiny, tmp_path: Path) -> None:
    base = tiny_folder("gpt2")
    carried = {}
    for name, tuning, store in (
        ("a", read("lora"), "delta"),
        ("b", read("lora"), "full"),
        ("c", read("head"), "delta"),
    ):
        loaded, _ = moved(base, tuning)
        recipe = Recipe.read(stored(tmp_path / name, base, loaded, tuning, store))  # type: ignore[arg-type]
        is_there = any(place.startswith("harness/models/adapters/") for place in carried_files(recipe))
        carried[name] = (is_there, carried_packages(recipe))
    assert carried == {"a": (True, ("peft",)), "b": (False, ()), "c": (False, ())}
