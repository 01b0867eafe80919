"""Gradient checkpointing: the same losses and weights to the last bit, with less kept; what takes none is found out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from harness.core.errors import ModelError
from harness.models.apply_tuning import apply, reset
from harness.models.find_blocks import blocks
from harness.models.frozen.replay import Trunk
from harness.models.gradient_checkpointing import blocks_to_recompute
from harness.models.last_block import block_asked_at_labels, modules_at_labels
from harness.models.load import Loaded
from harness.study.axes import Tuning, tuning_of
from harness.study.spec import Training
from harness.training.batching import loss_batches
from harness.training.loop import fit
from harness.training.loss import ForwardPass
from harness.training.proofs import made_up
from harness.training.step_memory import free_memory, kept_bytes, recomputed_blocks, step_bytes
from harness.training.tuning_proofs import recomputing_fault, refuse_untrainable
from tests.support.training_runs import LAST_TWO, encoded, opened, twenty

Tiny = Callable[..., Loaded]

FULL, EMBEDDINGS, FIRST = Tuning(kind="full"), Tuning(kind="embeddings"), Tuning(kind="first_blocks", blocks=1)


def way(loaded: Loaded, trunk: Trunk | None = None) -> ForwardPass:
    model = loaded.model
    return ForwardPass(model, trunk, at_labels=modules_at_labels(model), asked_at_labels=block_asked_at_labels(model))


def run(loaded: Loaded, tuning: Tuning, *, recomputes: bool, trunk: Trunk | None = None) -> tuple[list[float], Any]:
    """Train ten steps; return their losses and what trained, the model put back."""
    model, steps = loaded.model, twenty(loaded, encoded(loaded))[:10]
    forward = way(loaded, trunk)
    forward = replace(forward, recomputed=blocks_to_recompute(model) if recomputes else ())
    trainable = apply(model, tuning)
    (epoch,) = fit(forward, trainable, batches=lambda _: steps, spec=Training(epochs=1), learning_rate=1e-3, seed=0)
    tensors = {name: model.get_parameter(name).detach().clone() for name in trainable.names}
    reset(model, trainable)
    return list(epoch.losses), tensors


@pytest.mark.parametrize("tuning", [FULL, EMBEDDINGS, FIRST, LAST_TWO], ids=lambda tuning: tuning.name)
@pytest.mark.parametrize("family", ["gpt2", "llama", "t5"])
def test_losses_and_weights_are_the_same_to_the_last_bit(tiny: Tiny, family: str, tuning: Tuning) -> None:
    loaded = tiny(family)
    losses, tensors = run(loaded, tuning, recomputes=False)
    again, others = run(loaded, tuning, recomputes=True)
    assert again == losses
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())
    assert losses[0] != losses[-1]


def test_dropout_draws_the_same(tiny: Tiny) -> None:
    loaded = tiny("gpt2", resid_pdrop=0.3, attn_pdrop=0.2, embd_pdrop=0.1)
    plain, undropped = run(loaded, FULL, recomputes=False)[0], run(tiny("gpt2"), FULL, recomputes=False)[0]
    assert run(loaded, FULL, recomputes=True)[0] == plain != undropped


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_beside_a_replay(tiny: Tiny, family: str) -> None:
    loaded = tiny(family)
    trunk = opened(loaded, LAST_TWO)
    losses, tensors = run(loaded, LAST_TWO, recomputes=False, trunk=trunk)
    again, others = run(loaded, LAST_TWO, recomputes=True, trunk=trunk)
    assert again == losses
    assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


def test_blocks_are_computed_once_more_where_gradients_flow(tiny: Tiny) -> None:
    loaded = tiny("llama")
    model, calls = loaded.model, list[int]()
    forward = replace(ForwardPass(model), recomputed=blocks_to_recompute(model))
    batch = twenty(loaded, encoded(loaded))[0]
    for place, block in enumerate(blocks(model)):
        block.module.mlp.register_forward_pre_hook(lambda *_, place=place: calls.append(place))
    expected = {FULL: [0, 1, 2, 1, 0], LAST_TWO: [0, 1, 2, 1], Tuning(kind="last_blocks", blocks=1): [0, 1, 2]}
    for tuning, order in expected.items():
        trainable = apply(model, tuning)
        calls.clear()
        torch.autograd.backward(forward.total_nll(batch))
        assert calls == order
        reset(model, trainable)
    calls.clear()
    with torch.no_grad():
        forward.token_nlls(batch)
    assert calls == [0, 1, 2], "scoring computes nothing again"


def test_less_is_kept_by_what_blocks_hold(tiny: Tiny) -> None:
    loaded = tiny("llama", num_hidden_layers=8)
    trainable = apply(loaded.model, FULL)
    row = twenty(loaded, encoded(loaded))[0].parts(1)[0]
    forward = ForwardPass(loaded.model)
    whole = kept_bytes(forward, row)
    light = kept_bytes(replace(forward, recomputed=blocks_to_recompute(loaded.model)), row)
    assert light < whole / 3, "seven of eight blocks keep their input alone"
    double = twenty(loaded, encoded(loaded))[0].parts(2)[0]
    assert 1.8 * whole < kept_bytes(forward, double) < 2.1 * whole
    state = [parameter.grad for parameter in loaded.model.parameters()]
    assert state == [None] * len(state)
    reset(loaded.model, trainable)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
def test_sparse_values_are_counted_by_what_they_are_made_of(tiny: Tiny) -> None:
    loaded = tiny("llama")
    peft = {"peft_type": "SHIRA", "r": 2}
    trainable = apply(loaded.model, Tuning.model_validate(tuning_of({"peft": peft})))
    (row,) = twenty(loaded, encoded(loaded))[0].parts(1)[:1]
    assert kept_bytes(ForwardPass(loaded.model), row) > 0
    reset(loaded.model, trainable)


def test_what_is_counted_is_what_a_step_holds(tiny: Tiny) -> None:
    loaded = tiny("gpt2")
    trainable = apply(loaded.model, LAST_TWO)
    batch = twenty(loaded, encoded(loaded))[0]
    moving = 4 * trainable.trainable
    one, forward = batch.parts(1)[0], ForwardPass(loaded.model)
    of_values = kept_bytes(forward, one) * len(batch.indices)
    for optimizer, times in {"adamw": 3, "adafactor": 1, "sgd": 2}.items():
        assert step_bytes(forward, batch, Training(optimizer=optimizer)) == of_values + times * moving
    reset(loaded.model, trainable)


def test_auto_goes_by_what_is_free(tiny: Tiny) -> None:
    loaded = tiny("llama")
    trainable = apply(loaded.model, FULL)
    forward, batches = ForwardPass(loaded.model), loss_batches(encoded(loaded), loaded, batch_size=3)
    need = max(step_bytes(forward, batch, Training()) for batch in batches)
    every = blocks_to_recompute(loaded.model)
    assert len(every) == 2
    fits, said = recomputed_blocks(forward, batches, Training(), need * 2)
    assert (fits, said[:5]) == ((), "off: ")
    misses, said = recomputed_blocks(forward, batches, Training(), need)
    assert (misses, said[:4]) == (every, "on: "), "some is left for what comes and goes"
    for switch, found in {False: ((), "off"), True: (every, "on")}.items():
        assert recomputed_blocks(forward, batches, Training(gradient_checkpointing=switch), need) == found
    reset(loaded.model, trainable)


@pytest.mark.slow
def test_a_limit_on_the_process_counts() -> None:
    script = (
        "import resource, torch; from harness.training.step_memory import free_memory; cpu = torch.device('cpu');"
        "resource.setrlimit(resource.RLIMIT_AS, (2**36, 2**36)); print(free_memory(cpu));"
        "import psutil; used = psutil.Process().memory_info().vms + 2**28;"
        "resource.setrlimit(resource.RLIMIT_AS, (used, used)); print(free_memory(cpu))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    free, left = map(int, done.stdout.split())
    assert 2**27 < left <= 2**28 < free
    assert free_memory(torch.device("cpu")) > 2**28


def test_a_model_that_reads_otherwise_a_second_time_is_refused(tiny: Tiny) -> None:
    loaded = tiny("llama")
    model, row = loaded.model, made_up((5, 6, 7), 6, 4)
    first = blocks(model)[0].module
    forward, calls = first.mlp.forward, list[int]()

    def moody(hidden: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return forward(hidden) * (1 + len(calls) % 2)

    first.mlp.forward = moody
    for tuning in (FULL, LAST_TWO):
        refuse_untrainable(loaded, ForwardPass(model), [row], tuning)
    with pytest.raises(
        ModelError, match="full: LlamaForCausalLM takes no training.gradient_checkpointing: blocks that"
    ):
        refuse_untrainable(loaded, ForwardPass(model), [row], FULL, recomputes=True)
    trainable = apply(model, FULL)
    way = replace(ForwardPass(model), recomputed=blocks_to_recompute(model))
    assert recomputing_fault(loaded, way, [row]) == "blocks that are computed again give other gradients"
    reset(model, trainable)
    del first.mlp.forward
    refuse_untrainable(loaded, ForwardPass(model), [row], FULL, recomputes=True)
