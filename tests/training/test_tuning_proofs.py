"""What is proved of tunings before a run is started: there are gradients, and what is stored is what was trained."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaPreTrainedModel

from harness.core.errors import ModelError
from harness.models.content_digests import weights_digest
from harness.models.load import Loaded, load
from harness.study.axes import Tuning
from harness.study.check import check
from harness.study.load_study import read_study
from harness.testing import FAMILIES
from harness.training.loss import ForwardPass
from harness.training.proofs import made_up
from harness.training.trainer import Trainer
from harness.training.tuning_proofs import refuse_untrainable, refuse_written_over
from tests.support.odd_models import odd_model, own_model
from tests.support.study_fixture import Place, Places

FULL, HEAD, LAST = Tuning(kind="full"), Tuning(kind="head"), Tuning(kind="last_blocks", blocks=1)
TRUSTED = ("--set", "model.trust_remote_code=true")


def youtu(places: Places, **options: Any) -> Place:
    place = places(store=False)
    shutil.rmtree(place.folder / "model")
    odd_model("youtu", place.folder / "model", **options)
    return place


def said(text: str) -> str:
    return " ".join(text.split())


# --- what is stored whole loads back as it was


def test_loading_zeroes_a_row_of_youtus(tmp_path: Path) -> None:
    """By transformers alone: what is refused below is so."""
    model = AutoModelForCausalLM.from_pretrained(odd_model("youtu", tmp_path, tie_word_embeddings=True))
    with torch.no_grad():
        model.get_input_embeddings().weight[0] = 1.0
    model.save_pretrained(tmp_path)
    assert not AutoModelForCausalLM.from_pretrained(tmp_path).get_input_embeddings().weight[0].any()


@pytest.mark.parametrize("tuning", ["[full]", "[none, head, full]"])
def test_weights_that_loading_writes_over_are_not_trained_to_be_stored_whole(places: Places, tuning: str) -> None:
    place = youtu(places)
    done = place.command("run", "study.yaml", "--set", f"tuning={tuning}")
    assert done.status == 2
    assert "tuning full: from_pretrained writes over a part of model.embed_tokens.weight" in said(done.err)
    assert "set final.store: delta" in said(done.err)
    assert not (place.folder / "mlflow.db").exists()


@pytest.mark.parametrize(
    "changes",
    [
        ("final.store=delta", "tuning=[full]"),
        ("final.models=none", "tuning=[full]"),
        ("final.seeds=[]", "tuning=[full]"),
        ("tuning=[none, head, {last_blocks: 1}]",),
    ],
)
def test_what_is_not_stored_so_may_train(places: Places, changes: tuple[str, ...]) -> None:
    place = youtu(places)
    with contextlib.chdir(place.folder):
        checked = check(read_study(Path("study.yaml"), list(changes)))
        assert Trainer(checked).facts(checked.cells).parameters


def refusal(loaded: Loaded, *tunings: Tuning) -> str:
    """Return what is said of tunings whose weights would not load back, nothing where they do."""
    try:
        refuse_written_over(loaded, tunings)
    except ModelError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("options", "stays"), [({"tie_word_embeddings": False}, True), ({"pad_token_id": None}, True), ({}, False)]
)
def test_a_row_that_stays_zero_and_one_that_nobody_zeroes_are_stored(
    tmp_path: Path, options: dict[str, Any], stays: bool
) -> None:
    assert (refusal(load(str(odd_model("youtu", tmp_path, **options))), FULL) == "") is stays


@pytest.mark.parametrize("family", FAMILIES)
def test_families_that_load_as_they_were_stored_are_not_refused(tiny: Callable[..., Loaded], family: str) -> None:
    assert refusal(tiny(family), HEAD, LAST, FULL) == ""


def test_a_model_that_was_stored_is_looked_at_like_any_other(tmp_path: Path) -> None:
    loaded = load(str(odd_model("apertus", tmp_path / "model")))
    before = refusal(loaded, HEAD, LAST, FULL)
    loaded.model.save_pretrained(tmp_path / "stored")
    assert before == refusal(loaded, HEAD, LAST, FULL) == ""


@pytest.mark.parametrize(
    ("part", "trains", "stays"),
    [("model.norm", (LAST, FULL), (HEAD,)), ("lm_head", (HEAD, FULL), (LAST,))],
)
def test_any_weight_that_a_family_initializes_whatever_was_loaded(
    tiny: Callable[..., Loaded], monkeypatch: pytest.MonkeyPatch, part: str, trains: Any, stays: Any
) -> None:
    loaded, own = tiny("llama"), LlamaPreTrainedModel._init_weights

    def forgetful(model: Any, module: Any) -> None:
        own(model, module)
        if module is getattr(model, part.split(".")[-1], None):
            module.weight.data[1:].fill_(2.0)

    monkeypatch.setattr(LlamaPreTrainedModel, "_init_weights", forgetful)
    refuse_written_over(loaded, stays)
    for tuning in trains:
        with pytest.raises(ModelError, match=f"tuning {tuning.name}: .* writes over a part of {part}.weight"):
            refuse_written_over(loaded, [tuning])


# --- what trains has gradients


@pytest.mark.parametrize("logits", ["NoBackward.apply(output.logits)", "output.logits.detach()"])
def test_a_model_without_gradients_is_refused_before_anything_is_written(places: Places, logits: str) -> None:
    place = places("llama", store=False)
    own_model(place.folder / "model", logits)
    done = place.command("run", "study.yaml", *TRUSTED)
    assert done.status == 2
    assert "Traceback" not in done.err
    assert "tuning head: OwnModel gives what trains no gradients: " in said(done.err)
    assert "use another tuning, or another model" in said(done.err)
    assert not (place.folder / "mlflow.db").exists()


def test_a_gradient_that_is_no_number_fails_its_trial_alone(places: Places) -> None:
    place = places("llama")
    own_model(place.folder / "model", "NanBackward.apply(output.logits)")
    place.run(*TRUSTED, "--set", "prompts=[bare]", "--set", "tuning=[none, head]", "--set", "final.seeds=[11]")
    for run in place.runs("search"):
        assert run.data.tags["outcome"] == "diverged"
        assert run.data.tags["error"].endswith("at step 1, but the norm of its gradient is nan")
    assert {run.data.tags["cell"] for run in place.runs("final")} == {"bare/none"}


@pytest.mark.parametrize("family", ["gpt2", "llama", "bloom", "t5", "marian"])
@pytest.mark.parametrize("tuning", [HEAD, LAST, FULL], ids=lambda tuning: tuning.name)
def test_looking_for_gradients_changes_nothing(tiny: Callable[..., Loaded], family: str, tuning: Tuning) -> None:
    loaded = tiny(family, **({"resid_pdrop": 0.3} if family == "gpt2" else {}))
    model, generator = loaded.model, torch.get_rng_state()
    modes, flags = ([module.training for module in model.modules()], [p.requires_grad for p in model.parameters()])
    names = [name for name, _ in model.named_parameters()]
    refuse_untrainable(loaded, ForwardPass(model), [made_up((5, 6, 7), 6, 4)], tuning)
    assert weights_digest(model) == loaded.digest
    assert [name for name, _ in model.named_parameters()] == names
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == flags
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), generator)
