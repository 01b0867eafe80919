"""One study with every kind of tuning: it runs, logs, stores, reloads and predicts; the base stays what it was."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.torch import load_file

from harness.models.content_digests import weights_digest
from harness.models.load import load
from harness.study.tuning_kinds import TUNING_KINDS
from tests.support.family_facts import FACTS, LAST_TWO, of_parts
from tests.support.study_fixture import Place, Places
from tests.support.whole_way import predict, stored_predictions

PARTS = ("norms", "biases", "attention", "feed_forward")
AT_LAYERS = ("lora", "dora", "rslora", "ia3")
TUNINGS = [
    "none, head, full, embeddings, norms, {last_blocks: 1}, {first_blocks: 1}, {blocks: [0, 2]}",
    *(f"{{{kind}: {{blocks: last-2}}}}" for kind in PARTS),
    "{name: wide, attention: {blocks: last-1}}",
    *(f"{{{kind}: {{blocks: last-1}}}}" for kind in AT_LAYERS),
    "{lora: {rank: 4}}, {lora: {rank: 2, blocks: last-1}, with: [head]}",
    "{prompt_tuning: {tokens: 4}}, {prefix_tuning: {tokens: 4}}, {p_tuning: {tokens: 4}}",
    "{peft: {peft_type: VERA, r: 4, target_modules: all-linear}}",
]
LAST = {"head", "last_blocks-1", "wide", *(f"{kind}-last-2" for kind in PARTS)}
LAST |= {"lora-8-last-1", "dora-8-last-1", "rslora-8-last-1", "ia3-last-1", "lora-2-last-1-with-head"}
"""Those that leave the first block frozen."""


def options(family: str) -> list[str]:
    written = ", ".join(TUNINGS)
    if family == "t5":
        written = written.replace(", {biases: {blocks: last-2}}", "")
    settings = [f"tuning=[{written}]", "prompts=[bare]", "search.trials=1", "final.seeds=[11]", "training.epochs=1"]
    settings += ["final.models=cells", "final.store=delta", "search.metric=perplexity", "generality=none"]
    return [part for setting in settings for part in ("--set", setting)]


def trains(family: str, tuning: str) -> set[str] | None:
    """The parameters that a tuning's name stands for, where `family_facts` knows them."""
    kind, _, blocks = ("attention", "", "last-1") if tuning == "wide" else tuning.partition("-")
    if kind not in (*PARTS, "embeddings"):
        return None
    chosen = {"": None, "last-1": LAST_TWO[family][1:], "last-2": LAST_TWO[family]}[blocks]
    return of_parts(family, kind, chosen)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_a_study_with_every_kind(places: Places, family: str) -> None:
    place = places(family)
    digest = weights_digest(load(str(place.folder / "model")).model)
    shown = place.command("show", "study.yaml", *options(family))
    assert shown.status == 0, shown.err
    place.run(*options(family))
    place.clean()
    cells = {run.data.tags["cell"].partition("/")[2]: run for run in place.runs("cell")}
    assert {name.partition("-")[0] for name in cells} >= set(TUNING_KINDS) - ({"biases"} if family == "t5" else set())
    for name, run in cells.items():
        assert f"{name}: {int(run.data.params['trainable_parameters']):,} of" in shown.out
    for run in place.runs("search"):
        name = run.data.tags["cell"].partition("/")[2]
        assert run.data.tags["trunk"].startswith("replayed") is (name in LAST), (name, run.data.tags["trunk"])
    place_models(place, family, digest)


def run_kind(name: str) -> str:
    return "attention" if name == "wide" else name.partition("-")[0]


def place_models(place: Place, family: str, digest: str) -> None:
    """See that each stored delta holds what its tuning states, on this base, and answers as its final run did."""
    models = place.client().search_logged_models([place.runs()[0].info.experiment_id])
    assert len(models) == len(place.runs("cell"))
    base, changed = load(str(place.folder / "model")).model.state_dict(), 0
    for model in models:
        name = model.tags["cell"].partition("/")[2]
        (file,) = Path(model.artifact_location.removeprefix("file://")).rglob(
            "adapter_model.safetensors" if TUNING_KINDS[run_kind(name)].adapter else "delta.safetensors"
        )
        values = load_file(file)
        assert json.loads((file.parent / "harness.json").read_text())["base"]["weights"] == digest
        listed = trains(family, name)
        assert listed is None or set(values) == listed, name
        flat = FACTS[family].flat
        for key, value in values.items() if file.name == "delta.safetensors" else ():
            moved = not bool((value == base[key]).all())
            assert moved or key.endswith(flat or ("-",)), (name, key)
            changed += moved
        assert predict(place, model.model_uri) == stored_predictions(place, model.source_run_id), name
    assert changed > len(models)
