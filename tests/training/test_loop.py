"""The loop against ``transformers.Trainer``, step by step; its seeds, modes and ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Trainer

from harness.core.errors import Diverged, ModelError
from harness.models.apply_tuning import Trainable, apply
from harness.models.load import Loaded
from harness.study.axes import Tuning
from harness.study.spec import Training
from harness.testing import FAMILIES
from harness.training import loop as training
from harness.training.batching import IGNORED, Batch, loss_batches
from harness.training.loop import Epoch, fit
from harness.training.loss import ForwardPass
from harness.training.optimizers import decay_groups
from tests.support.training_runs import encoded, without_key_bias
from tests.support.transformers_trainer import trainer_losses

FULL, LAST = Tuning(kind="full"), Tuning(kind="last_blocks", blocks=1)


def batches_for(loaded: Loaded, seed: int = 0) -> list[Batch]:
    """Return an odd number of batches, such that the last step of an epoch accumulates fewer."""
    batches = loss_batches(encoded(loaded), loaded, batch_size=3, order=np.random.default_rng(seed))
    return batches[: len(batches) - 1 + len(batches) % 2]


def train(loaded: Loaded, spec: Training, *, tuning: Tuning = FULL, rate: float = 1e-2, seed: int = 0) -> list[Epoch]:
    batches = batches_for(loaded)
    trainable = apply(loaded.model, tuning)
    return list(
        fit(ForwardPass(loaded.model), trainable, batches=lambda _: batches, spec=spec, learning_rate=rate, seed=seed)
    )


def all_losses(epochs: Sequence[Epoch]) -> list[float]:
    return [loss for epoch in epochs for loss in epoch.losses]


CASES = {
    "linear": Training(epochs=2),
    "constant": Training(epochs=2, schedule="constant", clip=None),
    "cosine, warm-up": Training(epochs=2, schedule="cosine", warmup=0.3),
    "accumulation, clipping, decay": Training(epochs=2, accumulation=2, clip=0.05, weight_decay=0.3, warmup=0.1),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "bart"])
def test_every_step_equals_the_trainers(tiny: Callable[..., Loaded], tmp_path: Path, family: str, case: str) -> None:
    spec, ours, theirs = CASES[case], tiny(family), tiny(family)
    epochs = train(ours, spec, rate=3e-3)
    expected = trainer_losses(theirs, spec, batches_for(theirs), rate=3e-3, folder=tmp_path)
    assert all_losses(epochs) == pytest.approx(expected, rel=1e-5)
    assert epochs[-1].train_loss < 0.99 * epochs[0].train_loss
    if spec.clip == 0.05:
        assert all(epoch.grad_norm > 0.1 for epoch in epochs)
    for (name, one), other in zip(ours.model.named_parameters(), theirs.model.parameters(), strict=True):
        one, other = without_key_bias(ours, name, one), without_key_bias(theirs, name, other)
        torch.testing.assert_close(one, other, rtol=1e-3, atol=5e-5, msg=name)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_weights_decay_as_in_the_trainer(tiny: Callable[..., Loaded], family: str) -> None:
    model = tiny(family).model
    expected = set(Trainer.get_decay_parameter_names(None, model))
    decayed, spared = ([id(p) for p in group["params"]] for group in decay_groups(model, 0.1))
    names = {id(p): name for name, p in model.named_parameters() if p.requires_grad}
    assert {names[each] for each in decayed} == expected & set(names.values())
    assert {names[each] for each in decayed + spared} == set(names.values())
    assert spared


def test_what_an_epoch_counts(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("gpt2")
    labels = sum(int((batch.inputs["labels"] != IGNORED).sum()) for batch in batches_for(loaded))
    first, second = train(loaded, Training(epochs=2, accumulation=2))
    assert (first.epoch, second.epoch) == (1, 2)
    assert first.tokens == labels
    assert first.examples == sum(len(batch.indices) for batch in batches_for(loaded))
    assert len(first.losses) == (len(batches_for(loaded)) + 1) // 2
    assert min(first.losses) < first.train_loss < max(first.losses)
    assert first.seconds > 0


def test_two_runs_are_bit_equal_and_seeds_differ(tiny: Callable[..., Loaded]) -> None:
    def run(seed: int) -> tuple[list[float], list[torch.Tensor]]:
        loaded = tiny("gpt2", resid_pdrop=0.2)
        torch.manual_seed(run.calls)
        run.calls += 1
        epochs = train(loaded, Training(epochs=2), seed=seed)
        return all_losses(epochs), list(loaded.model.parameters())

    run.calls = 0
    (one, weights), (same, same_weights), (other, _) = run(5), run(5), run(6)
    assert one == same
    assert all(torch.equal(a, b) for a, b in zip(weights, same_weights, strict=True))
    assert one != other


def test_the_processs_generator_is_not_moved(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("gpt2", resid_pdrop=0.2)
    batches, state = batches_for(loaded), torch.get_rng_state()
    trainable = apply(loaded.model, FULL)
    for _ in fit(
        ForwardPass(loaded.model), trainable, batches=lambda _: batches, spec=Training(), learning_rate=0.01, seed=0
    ):
        assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("tuning", [FULL, LAST])
def test_an_evaluation_in_between_changes_nothing(tiny: Callable[..., Loaded], tuning: Tuning) -> None:
    plain, evaluated = tiny("gpt2", resid_pdrop=0.2), tiny("gpt2", resid_pdrop=0.2)
    expected = all_losses(train(plain, Training(), tuning=tuning))
    found, batches, trainable = [], batches_for(evaluated), apply(evaluated.model, tuning)
    for epoch in fit(
        ForwardPass(evaluated.model), trainable, batches=lambda _: batches, spec=Training(), learning_rate=1e-2, seed=0
    ):
        assert evaluated.model.training == (tuning is FULL)
        evaluated.model.eval()
        torch.rand(7)
        found += epoch.losses
    assert found == expected


@pytest.mark.parametrize("ends", ["closed", "finished", "diverged"])
def test_no_gradient_is_left(tiny: Callable[..., Loaded], ends: str) -> None:
    loaded = tiny("llama")
    batches, trainable = batches_for(loaded), apply(loaded.model, LAST)
    rate = 1e30 if ends == "diverged" else 1e-3
    run = fit(
        ForwardPass(loaded.model), trainable, batches=lambda _: batches, spec=Training(), learning_rate=rate, seed=0
    )
    if ends == "closed":
        next(run)
        run.close()
    elif ends == "finished":
        assert [epoch.epoch for epoch in run] == [1, 2, 3]
    else:
        with pytest.raises(Diverged):
            list(run)
    assert all(parameter.grad is None for parameter in loaded.model.parameters())


def test_divergence_is_told_at_its_step(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("llama")
    with pytest.raises(Diverged) as caught:
        train(loaded, Training(schedule="constant", clip=None), rate=1e30)
    assert caught.value.step == 2
    assert not np.isfinite(caught.value.loss)


def test_epochs_must_be_equally_long(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("llama")
    batches = batches_for(loaded)
    trainable: Trainable = apply(loaded.model, FULL)
    run = fit(
        ForwardPass(loaded.model),
        trainable,
        batches=lambda e: batches[e - 1 :],
        spec=Training(),
        learning_rate=0.1,
        seed=0,
    )
    next(run)
    with pytest.raises(ValueError, match=f"epoch 2 has {len(batches) - 1} batches, the first one {len(batches)}"):
        next(run)


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert training.device("auto") == training.device("cpu") == torch.device("cpu")
    with pytest.raises(ModelError, match="training.device is 'cuda', which is not here; use auto or one of: cpu"):
        training.device("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert training.device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training.device("auto").type == "cuda"
