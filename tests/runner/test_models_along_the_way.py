"""Whole models that final runs leave along the way: transformers alone loads them, what resuming needs lies beside."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.core.workspace import HERE
from harness.runner.executors.job_checkpoint import job_checkpoint
from harness.runner.executors.job_run import JobRun
from harness.runner.executors.protocol import Job, Reply
from harness.runner.resume.put_by import PutBy
from harness.study.check import check
from harness.study.load_study import read_study
from harness.training.trainer import Trainer
from tests.support.put_by_runs import checkpoints
from tests.support.search_spaces import rate
from tests.support.study_fixture import Place, Places

IDS = torch.tensor([[5, 9, 30, 77, 120]])


def logits(model: Any) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.eval()(input_ids=IDS).logits
    return found


def trained(place: Place, tuning: str, *, every: str = "2", is_trial: bool = False) -> dict[int, Tensor]:
    """Do one run of ten steps; return the live model's logits behind each step that was put by."""
    options = ["prompts=[bare]", f"tuning=[none, {tuning}]", "training.epochs=null", "training.steps=10"]
    with contextlib.chdir(place.folder):
        checked = check(read_study(place.study, [*options, f"training.checkpoint={{every: {every}, keep: 2}}"]))
        trainer = Trainer(checked, HERE)
        cell = next(cell for cell in checked.cells if cell.tuning.trains)
        told: dict[str, Any] = {"is_trial": True} if is_trial else {"scores": "validation"}
        job = Job(f"{cell.id} seed 5", cell.id, rate(2.0), 5, identity="study", **told)
        kept = job_checkpoint(job, checked, HERE, device="cpu", say=print)
        assert kept is not None
        live, offer = dict[int, Tensor](), kept.offer

        def offered(state: Any, is_last: bool, **options: Any) -> None:
            offer(state, is_last, **options)
            model = trainer.setup.loaded.model
            modes = [module.training for module in model.modules()]
            live[state.done] = logits(model)
            for module, mode in zip(model.modules(), modes, strict=True):
                module.training = mode

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kept, "offer", offered)
            events = JobRun(job, checked, trainer, None, checkpoint=kept).events()
            next(events)
            with contextlib.suppress(StopIteration):
                while True:
                    events.send(Reply())
    return live


def models(place: Place) -> list[Path]:
    (files,) = PutBy(place.folder / ".harness" / "tiny").all()
    return files.models()


@pytest.mark.parametrize("tuning", ["full", "last_blocks: 1", "head", "lora: {rank: 2}"])
def test_transformers_alone_loads_what_is_left(places: Places, tuning: str) -> None:
    place = places(store=False)
    live = trained(place, tuning)
    assert [folder.name for folder in models(place)] == ["000000010", "000000008"]
    assert not checkpoints(place), "what the run would go on from went with its end"
    for folder in models(place):
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        assert torch.allclose(logits(model), live[int(folder.name)], atol=1e-5)
        text = "a short note"
        own = AutoTokenizer.from_pretrained(place.folder / "model")(text)["input_ids"]
        assert AutoTokenizer.from_pretrained(folder)(text)["input_ids"] == own
    assert not torch.allclose(live[8], live[10], atol=1e-4)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # which PEFT asks
def test_virtual_tokens_are_left_as_peft_loads_them(places: Places) -> None:
    place = places(store=False)
    live = trained(place, "prompt_tuning: {tokens: 3}")
    for folder in models(place):
        base = AutoModelForCausalLM.from_pretrained(place.folder / "model", dtype=torch.float32)
        found = logits(PeftModel.from_pretrained(base, folder))[:, -IDS.size(1) :]
        assert torch.allclose(found, live[int(folder.name)][:, -IDS.size(1) :], atol=1e-5)


def test_trials_and_runs_that_are_put_by_as_it_suits_leave_none(places: Places) -> None:
    for options in ({"is_trial": True}, {"every": "auto"}):
        place = places(store=False)
        trained(place, "head", **options)  # type: ignore[arg-type]
        assert not PutBy(place.folder / ".harness" / "tiny").all()


SETS = (
    *("--set", "prompts=[bare]", "--set", "tuning=[last_blocks: 1]", "--set", "training.epochs=null"),
    *("--set", "training.steps=6", "--set", "training.checkpoint={every: 3, keep: 1}", "--set", "final.seeds=[11]"),
)


@pytest.mark.slow
def test_what_a_study_leaves_stays_until_it_is_cleaned(places: Places) -> None:
    place = places()
    place.run(*SETS)
    folder = place.folder / ".harness" / "tiny" / "checkpoints" / "bare--last_blocks-1" / "seed-11"
    assert [file.name for file in folder.iterdir()] == ["000000006"]
    place.run(*SETS)
    assert [file.name for file in folder.iterdir()] == ["000000006"]
    base = AutoModelForCausalLM.from_pretrained(place.folder / "model", dtype=torch.float32)
    left = AutoModelForCausalLM.from_pretrained(folder / "000000006", dtype=torch.float32)
    moved = {name for name, value in left.state_dict().items() if not torch.equal(value, base.state_dict()[name])}
    assert moved
    assert all(".h.2." in name or "ln_f" in name for name in moved)
    shown = place.command("clean", "tiny", "--yes").out
    assert "and models that final runs left" in shown
    assert not folder.exists()
