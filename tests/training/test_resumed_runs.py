"""Runs cut behind every one of their steps, and gone on with from files by another model: the same to the last bit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

from harness.core.errors import NewerError
from harness.models.apply_tuning import apply, reset
from harness.models.frozen.replay import Trunk
from harness.models.load import Loaded
from harness.models.tuning_adapter import Start
from harness.study.axes import Tuning
from harness.study.spec import Training
from harness.study.written_tuning import tuning_of
from harness.training.batching import Batch, loss_batches
from harness.training.checkpoint_files import CheckpointFiles
from harness.training.criteria import Criterion, criterion_of
from harness.training.forward_batch import ForwardBatch
from harness.training.loop import Epoch, Resumed, fit
from harness.training.loss import ForwardPass
from harness.training.run_state import Captured, RunState
from tests.support.training_runs import LAST, encoded, opened

FULL = Tuning(kind="full")
LORA = Tuning.model_validate(tuning_of({"lora": {"rank": 2, "dropout": 0.3}, "with": ["norms"]}))
SOFT = Tuning.model_validate(tuning_of({"prompt_tuning": {"tokens": 3}}))
RATES = {"adamw": 1e-2, "adafactor": 1e-2, "sgd": 0.1}


class Setting(NamedTuple):
    """How a run trains."""

    tuning: Tuning
    training: Training
    replayed: bool = False
    most: int | None = None
    """Rows at a time, where memory ran out over more."""


class Run:
    """One run after another of a model, each from the pretrained weights."""

    def __init__(self, loaded: Loaded, setting: Setting, trunk: Trunk | None, criterion: Criterion | None) -> None:
        self._loaded, self._setting = loaded, setting
        self._forward = ForwardPass(loaded.model, trunk, criterion=criterion)
        self.weights: dict[str, Tensor] = {}

    def _batches(self, epoch: int) -> list[Batch]:
        return loss_batches(encoded(self._loaded), self._loaded, batch_size=4, order=np.random.default_rng([7, epoch]))

    def train(
        self, resumed: Resumed | None = None, offer: Callable[[RunState, bool], None] = lambda state, is_last: None
    ) -> list[Epoch]:
        """Train to the end; disturb what is not the run's in between."""
        model, rows, epochs = self._loaded.model, ForwardBatch(), list[Epoch]()
        rows.most = self._setting.most
        trainable = apply(model, self._setting.tuning, Start(3, (5, 6, 7)))
        training = self._setting.training
        rate, options = RATES[training.optimizer], {"rows": rows, "resumed": resumed, "offer": offer}
        run = fit(self._forward, trainable, batches=self._batches, spec=training, learning_rate=rate, seed=7, **options)
        state = torch.get_rng_state()
        for epoch in run:
            assert torch.equal(torch.get_rng_state(), state), "the process's own generator is not moved"
            epochs.append(epoch._replace(seconds=0.0))
            model.eval()
            torch.rand(5)
            state = torch.get_rng_state()
        self.weights = {name: model.get_parameter(name).detach().clone() for name in trainable.names}
        reset(model, trainable)
        return epochs


PLAIN = Training(epochs=2, accumulation=2, warmup=0.2)
SETTINGS = {
    "everything trains": Setting(FULL, PLAIN),
    "the last block, replayed": Setting(LAST, Training(epochs=2, schedule="cosine"), replayed=True),
    "adafactor, by block": Setting(FULL, Training(epochs=2, accumulation=2, optimizer="adafactor", block_decay=0.7)),
    "momentum, decayed weights": Setting(FULL, PLAIN.model_copy(update={"optimizer": "sgd", "weight_decay": 0.1})),
    "an adapter with dropout": Setting(LORA, Training(epochs=2, schedule="constant")),
    "tuned prompts": Setting(SOFT, PLAIN),
    "another loss": Setting(LAST, Training(epochs=2, loss="focal")),
    "scored in between": Setting(FULL, Training(steps=7, evaluate_every=3, schedule="cosine", warmup=0.3)),
    "half of the rows at a time": Setting(FULL, PLAIN, most=2),
}


def rounded(files: CheckpointFiles, captured: Captured) -> Captured:
    """Return a state as it is read again."""
    files.write(captured.step, captured.tensors, captured.plain)
    kept = next(files.read())
    assert kept is not None
    return Captured(kept.step, kept.tensors, kept.note)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_cut_behind_any_step_ends_as_an_undisturbed_one(
    tiny: Callable[..., Loaded], tmp_path: Path, name: str
) -> None:
    setting = SETTINGS[name]
    loaded = tiny("gpt2", resid_pdrop=0.2, embd_pdrop=0.1) if not setting.replayed else tiny("llama")
    trunk = opened(loaded, setting.tuning) if setting.replayed else None
    run = Run(loaded, setting, trunk, criterion_of(setting.training, None))
    whole = run.train()
    weights, files, cuts = run.weights, CheckpointFiles(tmp_path / "run", 2), list[Resumed]()

    def offer(state: RunState, is_last: bool) -> None:
        assert not is_last
        # Behind a yield nothing waits to be told.
        cuts.append(Resumed(rounded(files, state.capture()), is_told=not state.results))

    assert run.train(offer=offer) == whole, "to capture a state moves nothing"
    assert len(cuts) == sum(len(epoch.losses) for epoch in whole) + len(whole)
    for cut in cuts:
        ended = run.train(resumed=cut)
        # What was yielded before is not yielded again, and all that is, is the same.
        assert ended == [epoch for epoch in whole if epoch.step > cut.state.step - (not cut.is_told)], cut.state.step
        assert run.weights.keys() == weights.keys()
        assert all(torch.equal(run.weights[key], value) for key, value in weights.items()), cut.state.step
    assert sorted(file.suffix for file in files.folder.iterdir()) == [".json", ".json", ".safetensors", ".safetensors"]


# Files


TENSORS = {"model/a": torch.arange(6.0).reshape(2, 3), "draws/cpu": torch.arange(5, dtype=torch.uint8)}


def written(folder: Path, *steps: int, keep: int = 2) -> CheckpointFiles:
    files = CheckpointFiles(folder, keep)
    for step in steps:
        files.write(step, {name: tensor + step for name, tensor in TENSORS.items()}, {"at": step, "nan": float("nan")})
    return files


def steps_read(files: CheckpointFiles) -> list[int | None]:
    return [None if kept is None else kept.step for kept in files.read()]


def test_the_newest_is_read_first_and_no_more_stay_than_are_kept(tmp_path: Path) -> None:
    files = written(tmp_path / "a", 3, 9, 12, keep=2)
    assert steps_read(files) == [12, 9]
    (kept, _) = files.read()
    assert kept is not None
    assert torch.equal(kept.tensors["model/a"], TENSORS["model/a"] + 12)
    assert kept.note["at"] == 12
    assert len(list(files.folder.iterdir())) == 4
    files.amend(12, {"at": "later"})
    (kept, _) = files.read()
    assert kept is not None
    assert kept.note == {"at": "later"}
    files.clear()
    assert not files.folder.exists()


@pytest.mark.parametrize("kind", [".safetensors", ".json"])
@pytest.mark.parametrize("how", ["flipped", "cut", "empty", "gone"])
def test_what_is_damaged_is_known(tmp_path: Path, kind: str, how: str) -> None:
    files = written(tmp_path / "a", 1, 2)
    (file,) = files.folder.glob(f"*2{kind}")
    content = bytearray(file.read_bytes())
    if how == "flipped":
        content[-20] ^= 1
    file.write_bytes({"cut": content[:-7], "empty": b""}.get(how, content))
    if how == "gone":
        file.unlink()
    expected = [1] if (kind, how) == (".json", "gone") else [None, 1]
    assert steps_read(files) == expected


def test_a_newer_one_is_refused(tmp_path: Path) -> None:
    files = written(tmp_path / "a", 1)
    (file,) = files.folder.glob("*.json")
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": 99}), encoding="utf-8")
    with pytest.raises(NewerError, match="was written by a newer version"):
        next(files.read())


def test_what_a_kill_left_goes_and_what_is_whole_stays(tmp_path: Path) -> None:
    files = written(tmp_path / "a", 1, 2)
    whole = {file.name for file in files.folder.iterdir()}
    (files.folder / ".000000003.safetensors.1.draft").write_bytes(b"half")
    (files.folder / "000000003.safetensors").write_bytes(b"no note")
    files.drop_unfinished()
    assert {file.name for file in files.folder.iterdir()} == whole
    assert steps_read(files) == [2, 1]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = written(tmp_path / "a", 1)

    def full(tensors: dict[str, Any], file: Path) -> None:
        Path(file).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        files.write(2, TENSORS, {})
    assert steps_read(files) == [1]
    assert len(list(files.folder.iterdir())) == 2
