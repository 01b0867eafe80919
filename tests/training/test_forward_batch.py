"""Memory that runs out: fewer rows at a time come to the same, down to one; below, the run fails with its reason.

A hook on the model stands for a device of which nothing more is known than that too many rows do not fit; that the
processor's own memory is met alike, a process with a real limit shows.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from harness.core.failures import explained
from harness.models.apply_tuning import apply, reset
from harness.models.content_digests import weights_digest
from harness.models.load import Loaded
from harness.study.axes import Tuning
from harness.study.decoding_settings import Decoding
from harness.study.spec import Training
from harness.training.batching import Batch, loss_batches, prompt_batches, rows_together
from harness.training.criteria import Criterion, criterion_of
from harness.training.evaluation import generate, likelihoods
from harness.training.forward_batch import ForwardBatch
from harness.training.loop import fit
from harness.training.loss import ForwardPass
from tests.support.training_runs import LAST_TWO, encoded, opened

Tiny = Callable[..., Loaded]

FULL = Tuning(kind="full")


@contextmanager
def room_for(model: Any, rows: int) -> Iterator[list[int]]:
    """Let no call of a model take more rows; note how many each took."""
    calls: list[int] = []

    def look(module: object, args: object, inputs: dict[str, Any]) -> None:
        count = len(next(inputs[name] for name in ("input_ids", "decoder_input_ids") if inputs.get(name) is not None))
        calls.append(count)
        if count > rows:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation")

    with model.register_forward_pre_hook(look, with_kwargs=True):
        yield calls


def batches_of(loaded: Loaded, size: int) -> list[Batch]:
    rows = encoded(loaded)
    return [rows_together(rows[start : start + size], loaded) for start in range(0, len(rows), size)]


class Trained(NamedTuple):
    losses: list[float]
    weights: dict[str, Tensor]
    calls: list[int]
    """Rows of each call of the model."""


def train(
    loaded: Loaded, spec: Training, rows: ForwardBatch, *, room: int = 99, criterion: Criterion | None = None
) -> Trained:
    """Train the whole model on batches of 7 rows; it is put back."""
    batches, trainable = batches_of(loaded, 7), apply(loaded.model, FULL)
    way = ForwardPass(loaded.model, criterion=criterion)
    try:
        with room_for(loaded.model, room) as calls:
            epochs = list(
                fit(way, trainable, batches=lambda _: batches, spec=spec, learning_rate=1e-3, seed=0, rows=rows)
            )
        weights = {name: value.detach().clone() for name, value in loaded.model.named_parameters()}
        return Trained([loss for epoch in epochs for loss in epoch.losses], weights, calls)
    finally:
        reset(loaded.model, trainable)


@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("family", ["gpt2", "llama", "t5"])
def test_half_the_rows_at_a_time_take_the_same_steps(tiny: Tiny, family: str, accumulation: int) -> None:
    loaded, spec = tiny(family), Training(epochs=2, accumulation=accumulation)
    losses, weights, _ = train(loaded, spec, ForwardBatch())
    again, others, calls = train(loaded, spec, rows := ForwardBatch(), room=3)
    assert rows.most == 2
    assert calls[:4] == [7, 4, 2, 2], "the step is done again from its beginning, with half as many"
    assert max(calls[2:]) == 2
    assert again == pytest.approx(losses, rel=1e-5)
    for name, weight in weights.items():
        if not name.endswith(("k_proj.bias", "c_attn.bias")):
            torch.testing.assert_close(others[name], weight, rtol=1e-3, atol=3e-5, msg=name)


@pytest.mark.parametrize("spec", [Training(epochs=1, loss="focal"), Training(epochs=1, label_smoothing=0.1)], ids=str)
def test_of_another_loss(tiny: Tiny, spec: Training) -> None:
    loaded, criterion = tiny("llama"), criterion_of(spec, None)
    assert criterion is not None
    losses, *_ = train(loaded, spec, ForwardBatch(), criterion=criterion)
    again, *_ = train(loaded, spec, rows := ForwardBatch(), criterion=criterion, room=1)
    assert rows.most == 1
    assert again == pytest.approx(losses, rel=1e-5)


def test_gradients_of_a_half_done_step_are_dropped(tiny: Tiny) -> None:
    loaded = tiny("llama")
    losses, *_ = train(loaded, Training(epochs=2, accumulation=2), ForwardBatch())
    seen: list[int] = []

    def late(module: object, args: object, inputs: dict[str, Any]) -> None:
        if torch.is_grad_enabled():
            seen.append(len(inputs["input_ids"]))
        if len(seen) == 2:  # behind the first batch of the step
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 4096 bytes.")

    with loaded.model.register_forward_pre_hook(late, with_kwargs=True):
        again, *_ = train(loaded, Training(epochs=2, accumulation=2), rows := ForwardBatch())
    assert (rows.most, seen[:6]) == (4, [7, 7, 4, 3, 4, 3])
    assert again == pytest.approx(losses, rel=1e-5)


def test_one_row_that_does_not_fit_is_given_up(tiny: Tiny) -> None:
    loaded = tiny("gpt2")
    before = weights_digest(loaded.model)
    with pytest.raises(MemoryError) as caught:
        train(loaded, Training(epochs=1), rows := ForwardBatch(), room=0)
    assert rows.most == 1
    told = str(explained(caught.value))
    assert told.startswith(
        "memory ran out: not even one row at a time fits (CUDA out of memory. Tried to allocate 2.00"
    )
    assert "documentation" not in told
    assert weights_digest(loaded.model) == before


def test_a_loss_of_whole_batches_is_not_divided(tiny: Tiny) -> None:
    loaded = tiny("gpt2")
    with pytest.raises(MemoryError, match="its loss takes whole batches alone"):
        train(loaded, Training(epochs=1), rows := ForwardBatch(divides=False), room=3)
    assert rows.most is None


def test_other_errors_pass() -> None:
    calls: list[int] = []

    def broken(most: int) -> None:
        calls.append(most)
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        ForwardBatch().fitted(8, broken)
    assert calls == [8]


@settings(max_examples=10)
@given(rows=st.integers(1, 40), fits=st.integers(1, 40))
def test_the_most_that_fits_is_found_by_halves(rows: int, fits: int) -> None:
    size, calls = ForwardBatch(), list[int]()

    def work(most: int) -> int:
        calls.append(most)
        if most > fits:
            raise MemoryError
        return most

    found = size.fitted(rows, work)
    assert found <= min(rows, fits)
    assert calls == sorted(calls, reverse=True)
    assert all(2 * low - 1 <= high <= 2 * low for high, low in zip(calls, calls[1:], strict=False))
    assert size.most == (None if rows <= fits else found)
    assert size.fitted(rows, work) == min(rows, found), "what was learnt is kept"


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_scores_of_half_the_rows_at_a_time_are_the_same(tiny: Tiny, family: str) -> None:
    loaded = tiny(family)
    rows, forward = encoded(loaded), ForwardPass(loaded.model)
    batches = loss_batches(rows, loaded, batch_size=14)
    expected = likelihoods(forward, batches)
    with room_for(loaded.model, 2) as calls:
        found = likelihoods(forward, batches, size=(size := ForwardBatch()))
    assert size.most is not None
    assert size.most <= 2 < max(calls)
    assert [row.tokens for row in found] == [row.tokens for row in expected]
    assert [row.nll for row in found] == pytest.approx([row.nll for row in expected], rel=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "t5"])
@pytest.mark.parametrize("sample", [False, True])
def test_predictions_of_half_the_rows_at_a_time_are_the_same(tiny: Tiny, family: str, sample: bool) -> None:
    loaded = tiny(family)
    decoding = Decoding(max_new_tokens=5, batch_size=14, sample=sample, seed=3)
    batches = prompt_batches(encoded(loaded), loaded, batch_size=14, room=5)
    expected = generate(loaded, batches, decoding)
    with room_for(loaded.model, 3) as calls:
        found = generate(loaded, batches, decoding, size=(size := ForwardBatch()))
    assert size.most is not None
    assert size.most <= 3 < max(calls)
    assert found == expected


def test_beside_a_replay(tiny: Tiny) -> None:
    loaded = tiny("llama")
    trunk, batches = opened(loaded, LAST_TWO), loss_batches(encoded(loaded), loaded, batch_size=5)

    def losses(room: int) -> list[float]:
        trainable, spec = apply(loaded.model, LAST_TWO), Training(epochs=1)
        way = ForwardPass(loaded.model, trunk)
        with room_for(loaded.model, room) as calls:
            (epoch,) = fit(way, trainable, batches=lambda _: batches, spec=spec, learning_rate=1e-3, seed=0)
        reset(loaded.model, trainable)
        assert calls[-1] <= room
        return list(epoch.losses)

    assert losses(1) == pytest.approx(losses(99), rel=1e-5)


LIMITED = """
import json, resource, sys
import psutil, torch
from harness.models.apply_tuning import apply, reset
from harness.models.load import load
from harness.study.axes import Tuning
from harness.study.spec import Training
from harness.training.batching import rows_together
from harness.training.forward_batch import ForwardBatch
from harness.training.loop import fit
from harness.training.loss import ForwardPass
from harness.training.proofs import made_up
from harness.training.step_memory import step_bytes

torch.set_num_threads(1)
loaded, spec = load(sys.argv[1]), Training(epochs=1)
batch = rows_together([made_up((5 + row, 6, 7), 100, 20) for row in range(96)], loaded)

def train(batches):
    trainable, rows = apply(loaded.model, Tuning(kind="full")), ForwardBatch()
    way = ForwardPass(loaded.model)
    (epoch,) = fit(
        way, trainable, batches=lambda _: batches, spec=spec, learning_rate=1e-3, seed=0, rows=rows
    )
    reset(loaded.model, trainable)
    return epoch.losses, rows.most

trainable = apply(loaded.model, Tuning(kind="full"))
need = step_bytes(ForwardPass(loaded.model), batch, spec)
reset(loaded.model, trainable)
train(batch.parts(4)[:1])  # whatever is loaded at first use
limit = psutil.Process().memory_info().vms + int(need * float(sys.argv[2]))
resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
limited = train([batch, batch])
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(json.dumps([limited, train([batch, batch]), need]))
"""


@pytest.mark.slow
def test_a_real_limit_is_met(tiny_folder: Callable[..., Path]) -> None:
    folder = tiny_folder("llama", num_hidden_layers=6)
    script = [sys.executable, "-c", LIMITED, str(folder), "0.4"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (losses, most), (expected, whole), need = json.loads(done.stdout)
    assert need > 2**26
    assert whole is None
    assert most in (48, 24, 12, 6), "some of the rows fit"
    assert losses == pytest.approx(expected, rel=1e-5)
