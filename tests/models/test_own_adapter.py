"""A study that starts from an adapter: the model with it merged in, as PEFT has it, and never another one."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from harness.core.errors import ModelError
from harness.models.load import load
from tests.support.study_fixture import QUICK, Places
from tests.support.whole_way import predict, stored_predictions


def adapter(base: Path, into: Path, config: peft.PeftConfig | None = None) -> Path:
    """Save an adapter of plain PEFT's, its weights drawn."""
    config = config or peft.LoraConfig("CAUSAL_LM", r=4, target_modules=["c_attn", "c_fc"], modules_to_save=["lm_head"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype="float32"), config)
        drawn = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for weight in model.parameters():
                if weight.requires_grad:
                    weight += 0.05 * torch.randn(weight.shape, generator=drawn)
        model.save_pretrained(into)
    return into


def test_it_is_the_model_with_the_adapter(tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    base = tiny_folder("gpt2")
    folder = adapter(base, tmp_path / "mine")
    ours, before = load(str(base), adapter=str(folder)), load(str(base))
    assert ours.digest != before.digest
    assert {name for name, _ in ours.model.named_parameters()} >= {name for name, _ in before.model.named_parameters()}
    assert all(weight.requires_grad for weight in ours.model.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype="float32"), str(folder))
    ids = torch.arange(4, 16)[None]
    with torch.no_grad():
        torch.testing.assert_close(ours.model(ids).logits, plain.eval()(ids).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_one_of_another_model_is_refused(tiny_folder: Callable[..., Path], tmp_path: Path, family: str) -> None:
    folder = adapter(tiny_folder("gpt2"), tmp_path / "mine")
    with pytest.raises(ModelError, match=r"adapter .* does not fit .*; name the model that it was made on"):
        load(str(tiny_folder(family)), adapter=str(folder))


def test_one_that_lacks_weights_is_refused(tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    base = tiny_folder("gpt2")
    folder = adapter(base, tmp_path / "mine")
    config = json.loads((folder / "adapter_config.json").read_text())
    config["target_modules"] = ["c_attn", "c_fc", "c_proj"]
    (folder / "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"c_proj.* is in one of the two alone"):
        load(str(base), adapter=str(folder))


SET = ("--set", "model.adapter=mine", "--set", "tuning=[none, {lora: {blocks: last-1}}]", "--set", "prompts=[bare]")
KEPT = ("--set", "final.models=cells", "--set", "final.store=delta")


def test_a_study_starts_from_it(places: Places) -> None:
    place = places()
    adapter(place.folder / "model", place.folder / "mine")
    place.run(*QUICK, *SET, *KEPT)
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    assert len(models) == 2
    for model in models:
        assert predict(place, model.model_uri) == stored_predictions(place, model.source_run_id)
    runs = [run for phase in ("cell", "search", "final") for run in place.runs(phase)]
    assert {run.data.params["model.adapter"] for run in runs} == {"mine"}
    report = next(place.folder.rglob("report.md")).read_text(encoding="utf-8")
    assert "with the adapter mine merged in" in report
    assert re.search(r"adapter\W+mine", report.partition("rovenance")[2])
    before = {run.info.run_id for run in place.runs()}
    place.run(*QUICK, *SET, *KEPT)
    assert {run.info.run_id for run in place.runs()} == before, "nothing is done again"
    place.run(*QUICK, *SET[2:], *KEPT)
    assert {run.info.run_id for run in place.runs()} > before, "without it, it is another study"


def missing(folder: Path) -> None:
    folder.rename(folder.with_name("gone"))


def no_weights(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()


def soft(folder: Path) -> None:
    (folder / "adapter_config.json").write_text('{"peft_type": "PROMPT_TUNING"}')


def no_adapter(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("[]")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (missing, "model.adapter 'mine' is no folder here"),
        (no_weights, "model.adapter 'mine' has no adapter_model.safetensors"),
        (soft, "is of PROMPT_TUNING, whose virtual tokens cannot become a part of the model"),
        (no_adapter, "it has no peft_type"),
    ],
)
def test_what_is_none_is_named_by_check(places: Places, change: Any, says: str) -> None:
    place = places()
    change(adapter(place.folder / "model", place.folder / "mine"))
    told = place.command("check", "study.yaml", *SET)
    assert told.status == 2
    assert says in " ".join(told.err.split()), told.err
