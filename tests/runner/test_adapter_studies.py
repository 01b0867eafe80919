"""Studies of adapters: they run, replay, search over their options, are stored, answer and come out the same again."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from harness.models.content_digests import weights_digest
from harness.models.load import load
from harness.testing import tiny_model
from tests.support.study_fixture import Place, Places
from tests.support.whole_way import predict, stored_predictions

TUNINGS = "[none, {lora: {blocks: last-1, dropout: 0.1}}, {prompt_tuning: {tokens: 4}}]"
OPTIONS = [
    f"tuning={TUNINGS}",
    "prompts=[{name: cue, text: '{{ source }} TL;DR:', shorten: source}]",
    "search.trials=2",
]
OPTIONS += ["final.seeds=[11, 12]", "training.epochs=1", "final.models=cells", "search.learning_rate=null"]
OPTIONS += ["search.space={tuning.lora.rank: [2, 4]}", "generality=none"]
SET = [part for option in OPTIONS for part in ("--set", option)]
LORA, TOKENS = "cue/lora-8-last-1-dropout-0.1", "cue/prompt_tuning-4"


@pytest.fixture(scope="module")
def done(places: Places) -> Place:
    place = places()
    place.run(*SET)
    return place


def test_each_cell_searches_what_it_has(done: Place) -> None:
    done.count(cell=3, search=4, final=5, summary=1)
    ranks = {run.data.params["tuning.lora.rank"] for run in done.runs("search", cell=LORA)}
    assert ranks <= {"2", "4"}
    assert {run.data.params["tuning.lora.rank"] for run in done.runs("search", cell=TOKENS)} == {"none"}
    trunks = {run.data.tags["cell"]: run.data.tags["trunk"].split(":")[0] for run in done.runs("search")}
    assert trunks[LORA].startswith("replayed")
    assert not trunks[TOKENS].startswith("replayed")
    (why,) = {run.data.tags["trunk"] for run in done.runs("search", cell=TOKENS)}
    assert "every block reads the virtual tokens that train" in why
    assert "the embeddings train" not in why


def test_each_run_says_how_many_weights_its_own_adapter_has(done: Place) -> None:
    """The oracle: a matrix of the drawn rank at each side of each layer, from the shapes that the model has."""
    model = load(str(done.folder / "model")).model
    layers = [f"transformer.h.2.{part}.weight" for part in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")]
    sides = sum(sum(model.get_parameter(layer).shape) for layer in layers)
    for run in [*done.runs("search", cell=LORA), *done.runs("final", cell=LORA), *done.runs("cell", cell=LORA)]:
        own = int(run.data.params["tuning.lora.rank"]) * sides
        total = model.num_parameters() + own
        assert (int(run.data.params["trainable_parameters"]), int(run.data.params["parameters"])) == (own, total)
        if run.data.tags["phase"] == "final":
            assert run.data.metrics["trainable_parameters"] == own
    row = done.table()[LORA]
    (cell,) = done.runs("cell", cell=LORA)
    assert row["tuning.lora.rank"] == cell.data.params["tuning.lora.rank"]
    planned = next(line for line in done.command("plan", "study.yaml", *SET).out.splitlines() if LORA in line)
    assert re.search(r"\d+ to \d", planned)


def test_seeds_draw_other_first_weights(done: Place) -> None:
    digests = {run.data.tags["mlflow.harness.weights_digest"] for run in done.runs("final", cell=LORA)}
    assert len(digests) == 2


def test_again_does_nothing(done: Place) -> None:
    before = {run.info.run_id for run in done.runs()}
    again = done.run(*SET)
    assert "0 runs to do" in again.out
    assert {run.info.run_id for run in done.runs()} == before


@pytest.mark.parametrize("cell", [LORA, TOKENS])
def test_a_stored_one_answers_as_its_run_did(done: Place, cell: str) -> None:
    model = next(model for model in stored(done) if model.tags["cell"] == cell)
    assert predict(done, model.model_uri) == stored_predictions(done, model.source_run_id)
    folder = Path(model.artifact_location.removeprefix("file://"))
    kept = {"adapter_model.safetensors"} if cell == TOKENS else {"model.safetensors"}
    assert {file.name for file in folder.rglob("*model.safetensors")} == kept
    assert ("peft==" in (folder / "requirements.txt").read_text()) == (cell == TOKENS)
    (settings,) = folder.rglob("harness.json")
    recipe = json.loads(settings.read_text())
    assert model.params["store"] == recipe["store"] == ("delta" if cell == TOKENS else "full")
    assert recipe["base"]["weights"] == weights_digest(load(str(done.folder / "model")).model)
    if cell == LORA:
        (run,) = [run for run in done.runs("final", cell=LORA) if run.info.run_id == model.source_run_id]
        rank = int(run.data.params["tuning.lora.rank"])
        assert json.loads(recipe["tuning"]["options"])["rank"] == rank


@pytest.mark.parametrize("cell", [LORA, TOKENS])
def test_a_final_run_comes_out_the_same(done: Place, cell: str) -> None:
    run = done.runs("final", cell=cell)[0]
    shown = done.command("reproduce", run.info.run_id)
    assert shown.status == 0, shown.out + shown.err
    assert "weights among them, are the same to the last bit" in shown.out


def stored(place: Place) -> list[object]:
    return list(place.client().search_logged_models([place.runs()[0].info.experiment_id]))


def test_show_says_where_an_adapter_stands(places: Places) -> None:
    shown = places().command("show", "study.yaml", *SET)
    assert shown.status == 0, shown.err
    text = " ".join(shown.out.split())
    assert "in transformer.h.2 stand adapters at attn.c_attn, attn.c_proj, mlp.c_fc, mlp.c_proj" in text
    assert (
        "4 tuned tokens before the prompt: they come before all blocks, so that nothing of the network can be" in text
    )


def test_virtual_tokens_take_their_part_of_the_context(places: Places) -> None:
    place = places()
    tiny_model("gpt2", place.folder / "model", n_positions=40)
    wanted = ["tuning=[{prompt_tuning: {tokens: 24}}]", "training.max_target_tokens=12", "generation.max_new_tokens=12"]
    wanted.append("search.space=null")
    refused = place.command("check", "study.yaml", *SET, *(part for each in wanted for part in ("--set", each)))
    assert refused.status == 2
    assert "the model's context is 16" in refused.err
    place.run(*SET, "--set", "tuning=[{prompt_tuning: {tokens: 8}}]", "--set", "search.space=null")


def test_an_adapter_that_the_model_cannot_have_is_refused_before_anything_trains(places: Places) -> None:
    place = places()
    refused = place.command("run", "study.yaml", *SET, "--set", "tuning=[{lora: {targets: [q_proj]}}]")
    assert refused.status == 2
    assert "targets name 'q_proj', which no linear layer of the model's blocks is" in " ".join(refused.err.split())
    assert "Traceback" not in refused.err
