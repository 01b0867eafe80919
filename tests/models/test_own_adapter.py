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


def stored_on(place: Places, *options: str) -> tuple[Any, Path]:
    """Run a study that stores an adapter; return its place and the adapter's folder."""
    made = place()
    made.run(*QUICK, "--set", "tuning=[{lora: {blocks: last-1}}]", "--set", "prompts=[bare]", *KEPT, *options)
    (model,) = [each for each in models_of(made) if each.tags["cell"].endswith("lora-8-last-1")]
    return made, next(Path(model.artifact_location.removeprefix("file://")).rglob("adapter_config.json")).parent


def models_of(place: Any) -> Any:
    return place.client().search_logged_models([place.runs()[0].info.experiment_id])


def with_other_weights(place: Any) -> None:
    """Give the base other weights of the same shapes."""
    model = AutoModelForCausalLM.from_pretrained(place.folder / "model", dtype="float32")
    with torch.no_grad():
        next(model.parameters()).mul_(1.5)
    model.save_pretrained(place.folder / "model")


@pytest.mark.slow
def test_one_that_a_study_stored_is_merged_into_its_own_base_alone(places: Places) -> None:
    place, folder = stored_on(places)
    using = ("study.yaml", "--set", "tuning=[none]", "--set", "prompts=[bare]", "--set", f"model.adapter={folder}")
    shown = place.command("show", *using)
    assert shown.status == 0, shown.err
    with_other_weights(place)
    told = place.command("show", *using)
    assert told.status == 2
    words = " ".join(told.err.split())
    assert "whose weights had the digest" in words, told.err
    assert "name the model that it was made on" in words


@pytest.mark.slow
def test_one_that_began_with_another_is_refused_on_the_plain_base(places: Places) -> None:
    first = adapter(places().folder / "model", places().folder.parent / "first")
    place, folder = stored_on(places, "--set", f"model.adapter={first}")
    base = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert base == f"{place.folder / 'model'} with the adapter {first} merged in", "no plain base's name"
    told = place.command("check", "study.yaml", "--set", f"model.adapter={folder}", "--set", "model.name=model")
    assert told.status == 2
    words = " ".join(told.err.split())
    assert f"was made on {base}, and model.name is that model without it" in words
    assert "final.store: full" in words


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("model", ""),
        ("./model/", ""),
        ("org/other", "was made on org/other, and the study's model is"),
        (None, "does not say which model it was made on"),
    ],
)
def test_another_base_by_name_is_a_caution(places: Places, named: str | None, says: str) -> None:
    place = places()
    mine = adapter(place.folder / "model", place.folder / "mine") / "adapter_config.json"
    folder = str(place.folder / named) if named and named.endswith(("model", "/")) else named
    mine.write_text(json.dumps(json.loads(mine.read_text()) | {"base_model_name_or_path": folder}))
    told = place.command("check", "study.yaml", *SET)
    assert told.status == 0, told.err
    words = " ".join((told.out + told.err).split())
    assert says in words
    assert ("made on" in words) is bool(says), words


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
