"""Training in bfloat16: float32 weights under bfloat16 products, near float32's losses, the same in every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from harness.models.apply_tuning import apply, reset
from harness.models.frozen.replay import Trunk, first_trained, verify
from harness.models.last_block import block_asked_at_labels, modules_at_labels
from harness.models.load import Loaded
from harness.study.axes import Tuning
from harness.study.check import check
from harness.study.grid import Cell
from harness.study.load_study import read_study
from harness.study.spec import Precision, Training
from harness.testing import FAMILIES
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.disk import ActivationDisk
from harness.training.activation_cache.memory import ActivationMemory
from harness.training.batching import Batch, loss_batches
from harness.training.evaluation import Decoding, generate, likelihoods, prompts_of
from harness.training.loop import fit
from harness.training.loss import ForwardPass, label_logits, model_rows
from harness.training.precision import arithmetic, products, scoring
from harness.training.trainer import Trainer
from tests.support.first_of_kind import first_of_kind
from tests.support.search_spaces import rate
from tests.support.study_fixture import Places
from tests.support.training_runs import encoded

FULL, HEAD, LAST = Tuning(kind="full"), Tuning(kind="head"), Tuning(kind="last_blocks", blocks=1)
CPU = torch.device("cpu")
NEAR = 2e-2
"""Of a loss: bfloat16 keeps eight bits."""


class Trained(NamedTuple):
    """What training left."""

    steps: list[float]
    nlls: list[float]
    tensors: dict[str, Tensor]
    dtypes: set[torch.dtype]
    """Of the weights and of what the optimizer was handed, during training."""


def opened(loaded: Loaded, precision: Precision, folder: Path | None = None) -> Trunk:
    """Return the replay of the tuning that was applied."""
    said: list[str] = []
    recordings = ActivationMemory(2**28, None if folder is None else ActivationDisk(folder, 2**28))
    owner = ActivationCache(loaded, recordings, batch_size=5, precision=precision, say=said.append)
    found = owner.open(("prompt", "train"), encoded(loaded), first_trained(loaded.model), cuts=[])
    assert isinstance(found, Trunk), found
    assert said == []
    return found


def trained(loaded: Loaded, tuning: Tuning, precision: Precision, *, replay: bool = False) -> Trained:
    model, rows = loaded.model, encoded(loaded)
    trainable = apply(model, tuning)
    modules, block = modules_at_labels(model), block_asked_at_labels(model)
    forward = ForwardPass(model, opened(loaded, precision) if replay else None, modules, precision, block)
    dtypes: set[torch.dtype] = set()

    def batches(epoch: int) -> list[Batch]:
        return loss_batches(rows, loaded, batch_size=3, order=np.random.default_rng([0, epoch]))

    def note(parameter: Tensor) -> None:
        dtypes.update({parameter.dtype, parameter.grad.dtype if parameter.grad is not None else parameter.dtype})

    hooks = [each.register_post_accumulate_grad_hook(note) for each in model.parameters() if each.requires_grad]
    epochs = list(fit(forward, trainable, batches=batches, spec=Training(epochs=3), learning_rate=3e-3, seed=0))
    for hook in hooks:
        hook.remove()
    nlls = [each.nll for each in likelihoods(forward, loss_batches(rows, loaded, batch_size=4))]
    tensors = {name: model.get_parameter(name).detach().clone() for name in trainable.names}
    reset(model, trainable)
    return Trained([loss for epoch in epochs for loss in epoch.losses], nlls, tensors, dtypes)


@pytest.mark.parametrize("tuning", [FULL, HEAD, LAST], ids=lambda tuning: tuning.name)
def test_near_float32_on_float32_weights(tiny: Callable[..., Loaded], tuning: Tuning) -> None:
    loaded = tiny("llama")
    low, high = trained(loaded, tuning, "bf16"), trained(loaded, tuning, "fp32")
    assert low.dtypes == {torch.float32}
    assert low.steps == pytest.approx(high.steps, rel=NEAR)
    assert low.nlls == pytest.approx(high.nlls, rel=NEAR)
    assert low.steps != high.steps, "something was rounded"
    assert low.steps[-1] < 0.98 * low.steps[0]
    moved = {name: (low.tensors[name] - loaded.model.get_parameter(name)).norm() for name in low.tensors}
    for name, tensor in high.tensors.items():
        assert low.tensors[name].dtype == torch.float32
        assert (low.tensors[name] - tensor).norm() < 0.5 * moved[name], f"{name} went elsewhere"


def test_small_steps_are_not_lost(tiny: Callable[..., Loaded]) -> None:
    """A step far below a bfloat16 weight's spacing moves a float32 weight."""
    loaded = tiny("llama")
    trainable = apply(loaded.model, LAST)
    name = "model.layers.2.mlp.up_proj.weight"
    before = loaded.model.get_parameter(name).detach().clone()
    (batch, *_) = loss_batches(encoded(loaded), loaded, batch_size=3)
    options: dict[str, Any] = {"spec": Training(epochs=1, schedule="constant"), "learning_rate": 1e-6, "seed": 0}
    list(fit(ForwardPass(loaded.model, precision="bf16"), trainable, batches=lambda _: [batch], **options))
    after = loaded.model.get_parameter(name).detach()
    assert (after != before).float().mean() > 0.9
    assert (after.bfloat16() != before.bfloat16()).float().mean() < 0.05


@pytest.mark.parametrize("tuning", [FULL, LAST], ids=lambda tuning: tuning.name)
def test_two_runs_are_bit_equal(tiny: Callable[..., Loaded], tuning: Tuning) -> None:
    one, other = (trained(tiny("llama"), tuning, "bf16", replay=tuning is LAST) for _ in range(2))
    assert (one.steps, one.nlls) == (other.steps, other.nlls)
    assert all(torch.equal(tensor, other.tensors[name]) for name, tensor in one.tensors.items())


@pytest.mark.parametrize("tuning", first_of_kind([LAST, HEAD]), ids=lambda tuning: tuning.name)
@pytest.mark.parametrize("family", FAMILIES)
def test_replay_changes_no_more_than_rounding(tiny: Callable[..., Loaded], family: str, tuning: Tuning) -> None:
    loaded = tiny(family)
    live, replayed = (trained(loaded, tuning, "bf16", replay=replay) for replay in (False, True))
    assert replayed.steps == pytest.approx(live.steps, rel=NEAR)
    assert replayed.nlls == pytest.approx(live.nlls, rel=NEAR)


def test_recordings_are_verified_in_the_precision_they_are_for(tiny: Callable[..., Loaded], tmp_path: Path) -> None:
    loaded = tiny("llama")
    trainable = apply(loaded.model, LAST)
    low, high = (opened(loaded, precision, tmp_path) for precision in ("bf16", "fp32"))
    assert len(list(tmp_path.iterdir())) == 2
    name = "model.layers.1/0/0"
    assert not torch.equal(low.fetch(name), high.fetch(name))
    torch.testing.assert_close(low.fetch(name).float(), high.fetch(name), rtol=NEAR, atol=NEAR)
    assert torch.equal(opened(loaded, "bf16", tmp_path).fetch(name), low.fetch(name))
    reset(loaded.model, trainable)


@pytest.mark.parametrize("family", ["llama", "bart"])
def test_rounding_is_allowed_and_no_more(tiny: Callable[..., Loaded], family: str) -> None:
    """BART adds a float32 bias to its logits: the type of a result does not tell how exact it is."""
    loaded = tiny(family)
    trainable = apply(loaded.model, LAST)
    trunk, (first, *_) = opened(loaded, "bf16"), loss_batches(encoded(loaded), loaded, batch_size=5)
    rows = model_rows(loaded.model, first)

    def verdict(factor: float) -> str | None:
        changed = {
            f"{point}/{row}": trunk.fetch(f"{point}/{row}") * factor
            for point in points_of(trunk)
            for row in rows.indices
        }

        def logits(replay: AbstractContextManager[None]) -> Tensor:
            with replay:
                return label_logits(loaded.model, rows)

        with arithmetic(CPU, "bf16"):
            return verify(Trunk(loaded.model, trunk.points, changed.__getitem__), rows, logits)

    assert verdict(1.0) is None
    assert verdict(1.004) is None, "a step of bfloat16"
    found = verdict(-1.0)
    assert found is not None
    assert found.endswith("2e-02 is allowed")
    reset(loaded.model, trainable)


def points_of(trunk: Trunk) -> list[str]:
    return [point.name if point.name == "encoder" else f"{point.name}/0" for point in trunk.points]


def test_the_types_of_products() -> None:
    assert products(torch.float32, "fp32") == torch.float32
    assert products(torch.float32, "bf16") == torch.bfloat16
    assert products(torch.float16, "bf16") == torch.float16
    low = torch.ones(2, 2)
    with arithmetic(CPU, "bf16"):
        assert (low @ low).dtype == torch.bfloat16
    with arithmetic(CPU, "fp32"):
        assert (low @ low).dtype == torch.float32


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """See that weights are the very ones they were: names, objects, memory, values and flags."""

    def state() -> dict[str, tuple[int, int, torch.dtype, bool]]:
        named = model.named_parameters(remove_duplicate=False)
        return {name: (id(each), each.data_ptr(), each.dtype, each.requires_grad) for name, each in named}

    before, values = state(), {name: tensor.clone() for name, tensor in model.state_dict().items()}
    yield
    assert state() == before
    assert all(torch.equal(tensor, values[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("options", [{}, {"tie_word_embeddings": True}], ids=["plain", "tied"])
@pytest.mark.parametrize("family", ["llama", "gpt2", "t5", "marian", "bloom"])
def test_scoring_gives_autocasts_numbers(tiny: Callable[..., Loaded], family: str, options: dict[str, Any]) -> None:
    loaded = tiny(family, **options)
    rows, model = encoded(loaded), loaded.model
    decoding = Decoding(max_new_tokens=6)
    forward, batches = ForwardPass(model, precision="bf16"), loss_batches(rows, loaded, batch_size=4)
    found = []
    for context in (arithmetic(CPU, "bf16"), scoring(model, "bf16")):
        with unchanged(model), context:
            texts = generate(loaded, prompts_of(rows, loaded, decoding), decoding)
            found.append(([each.nll for each in likelihoods(forward, batches)], texts))
    assert found[0] == found[1]


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_scoring_leaves_the_weights_as_they_were_whatever_happens(tiny: Callable[..., Loaded], family: str) -> None:
    model = tiny(family, tie_word_embeddings=True).model
    with unchanged(model), pytest.raises(ZeroDivisionError), scoring(model, "bf16"):
        raise ZeroDivisionError
    with unchanged(model), scoring(model, "fp32"):
        assert all(each.dtype == torch.float32 for each in model.parameters())


def test_a_trainer_in_bfloat16(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine on and off, scores in between, another tuning afterwards."""
    place = places()
    monkeypatch.chdir(place.folder)
    place.edit("training: {epochs: 2,", "training: {epochs: 2, precision: bf16,")
    text, found = place.study.read_text(encoding="utf-8"), {}
    for replay in (True, False):
        place.study.write_text(f"{text}engine: {{replay: {str(replay).lower()}}}\n", encoding="utf-8")
        checked = check(read_study(place.study))
        trainer = Trainer(checked)
        found[replay] = []
        for tuning in (LAST, FULL, HEAD):
            cell = Cell(checked.cells[-1].prompt, tuning)
            model = trainer.setup.loaded.model
            with unchanged(model), trainer.run(cell) as run:
                for epoch in run.epochs(rate(1e-2), seed=0):
                    scores = run.score("validation", generate=True).scores
                    found[replay] += [epoch.train_loss, scores["loss"]]
                    assert all(each.dtype == torch.float32 for each in model.parameters())
            assert run.trunk == "replayed" if replay and tuning is not FULL else run.trunk.startswith("live")
    assert found[True] == pytest.approx(found[False], rel=NEAR)
