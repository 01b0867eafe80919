"""Families with something odd about them, through training, replay and the store."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from harness.core.errors import ModelError
from harness.models.apply_tuning import apply, reset
from harness.models.find_blocks import anatomy
from harness.models.load import load
from harness.serving import stored_model
from harness.serving.generator import Generator
from harness.serving.recipe import recipe_of_run
from harness.serving.stored_model import save_model
from harness.study.axes import Tuning
from harness.study.check import check
from harness.study.grid import Cell
from harness.study.load_study import read_study
from harness.study.search_space import SearchSpace
from harness.training.trainer import Trainer
from tests.support.first_of_kind import first_of_kind
from tests.support.odd_models import odd_model
from tests.support.study_fixture import Place, Places
from tests.support.study_fixture import rows as study_rows

HEAD, LAST, FULL = Tuning(kind="head"), Tuning(kind="last_blocks", blocks=1), Tuning(kind="full")


class Ended(NamedTuple):
    """What a run left."""

    losses: list[float]
    validation: float
    texts: list[str]
    trunk: str


@pytest.fixture
def odd_place(places: Places) -> Callable[..., Place]:
    def make(name: str, **options: Any) -> Place:
        place = places(store=False)
        shutil.rmtree(place.folder / "model")
        odd_model(name, place.folder / "model", **options)
        return place

    return make


def ran(place: Place, tuning: Tuning, *overrides: str, stored: Path | None = None) -> Ended:
    """Train and score one run, and store its model."""
    with contextlib.chdir(place.folder):
        checked = check(read_study(Path("study.yaml"), ["final.store=full", *overrides]))
        trainer, cell = Trainer(checked), Cell(checked.prompts[0], tuning)
        space = SearchSpace.of(checked.study)
        with trainer.run(cell, generates=True) as run:
            epochs = run.epochs(space.at([0.0] * len(space.dimensions)), seed=0)
            losses = [loss for epoch in epochs for loss in epoch.losses]
            scored = run.score("validation", generate=True)
            if stored:
                save_model(stored, trainer.setup.loaded, recipe_of_run(cell, trainer.setup))
        return Ended(losses, scored.scores["loss"], [each.text for each in scored.predictions], run.trunk)


@pytest.mark.parametrize(
    ("name", "tuning", "trunk"),
    first_of_kind(
        [
            ("gemma3n", LAST, "replayed"),
            ("gemma3n", HEAD, "replayed"),
            ("switch", LAST, "replayed"),
            ("bert_decoder", HEAD, "replayed"),
            ("jamba", LAST, r"replayed, but .*layers.0.cache holds no keys and values"),
            ("zamba2", HEAD, r"replayed, but .*layers.0.cache holds no keys and values"),
            ("ernie4_5_moe", LAST, "replayed"),
            ("afmoe", LAST, "replayed"),
        ]
    ),
)
def test_replay_equals_live(odd_place: Any, name: str, tuning: Tuning, trunk: str) -> None:
    """Batches of training are of four rows, as many as Gemma 3n has streams."""
    place = odd_place(name)
    brief = ("training.batch_size=4", "training.epochs=1")
    replayed, live = (ran(place, tuning, *brief, f"engine.replay={on}") for on in ("true", "false"))
    assert re.fullmatch(f"{trunk}.*", replayed.trunk), replayed.trunk
    assert live.trunk.startswith("live")
    assert replayed.losses == pytest.approx(live.losses, rel=1e-5)
    assert replayed.validation == pytest.approx(live.validation, rel=1e-5)
    assert replayed.texts == live.texts


@pytest.mark.parametrize(
    ("name", "tuning"),
    first_of_kind(
        [
            ("zamba", HEAD),
            ("zamba", FULL),
            ("zamba2", HEAD),
            ("bert_decoder", HEAD),
            ("roberta_decoder", HEAD),
            ("bert_generation", HEAD),
            ("ernie4_5_moe", HEAD),
            ("switch", HEAD),
            ("rwkv", FULL),
            ("phi3_longrope", LAST),
        ]
    ),
)
def test_what_is_stored_answers_as_the_run_did(odd_place: Any, tmp_path: Path, name: str, tuning: Tuning) -> None:
    place = odd_place(name)
    ended = ran(place, tuning, "training.epochs=1", "training.batch_size=4", stored=tmp_path / "stored")
    served = Generator(tmp_path / "stored")
    with contextlib.chdir(place.folder):
        checked = check(read_study(Path("study.yaml")))
    assert served([dict(example.fields) for example in checked.examples["validation"]]) == ended.texts
    auto: Any = AutoModelForSeq2SeqLM if served.loaded.is_encoder_decoder else AutoModelForCausalLM
    model, report = auto.from_pretrained(tmp_path / "stored", output_loading_info=True, dtype=torch.float32)
    assert not report["missing_keys"]
    ours, theirs = served.loaded.model.state_dict(), model.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_model_that_does_not_load_back_is_told_before_the_run_ends(
    odd_place: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = odd_place("bert_decoder")
    honest = stored_model.load_stored

    def other(folder: Path, *rest: Any) -> Any:
        loaded = honest(folder, *rest)
        return loaded._replace(digest="another")

    monkeypatch.setattr(stored_model, "load_stored", other)
    with pytest.raises(ModelError, match=r"does not load back as it was stored.*final.store: delta"):
        ran(place, HEAD, "training.epochs=1", stored=tmp_path / "stored")


@pytest.mark.parametrize("name", ["ernie4_5_moe", "afmoe"])
def test_constants_inside_blocks_stay_constant(tmp_path: Path, name: str) -> None:
    model = load(str(odd_model(name, tmp_path))).model
    constants = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    assert constants, "an oracle without constants proves nothing"
    for tuning in (FULL, LAST, HEAD):
        trainable = apply(model, tuning)
        assert not constants & set(trainable.names)
        with pytest.raises(ValueError, match="still tuned"):
            apply(model, tuning)
        reset(model, trainable)
        assert constants == {name for name, weight in model.named_parameters() if not weight.requires_grad}


def test_a_norm_behind_a_projection_is_found(tmp_path: Path) -> None:
    model = load(str(odd_model("gemma3n", tmp_path))).model
    assert [norm.name for norm in anatomy(model).final_norms] == ["model.norm"]


def test_a_model_that_an_earlier_version_stored_answers_one_at_a_time(odd_place: Any, tmp_path: Path) -> None:
    ended = ran(odd_place("rwkv"), FULL, "training.epochs=1", stored=tmp_path / "stored")
    file = tmp_path / "stored" / "harness.json"
    settings = json.loads(file.read_text())
    assert settings["decoding"]["batch_size"] == 1
    settings["decoding"]["batch_size"] = 64
    file.write_text(json.dumps(settings))
    rows = [{"source": row["source"]} for row in study_rows("validation")]
    assert Generator(tmp_path / "stored")(rows) == ended.texts
