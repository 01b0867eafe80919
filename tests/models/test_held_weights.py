"""What does not train held in bfloat16: against a float32 model whose weights were rounded by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import linear
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

from harness.core.errors import ModelError
from harness.data.template import Template
from harness.data.tokenization import Limits
from harness.models import held_weights
from harness.models import load as loading
from harness.models.apply_tuning import apply, reset
from harness.models.content_digests import architecture_digest, tensors_digest, weights_digest
from harness.models.delta import Base, trained_digest
from harness.models.find_blocks import blocks
from harness.models.gradient_checkpointing import blocks_to_recompute
from harness.models.held_weights import HeldConv1D, HeldLinear, hold, saved_bytes, widened, widened_product
from harness.models.load import Loaded, load
from harness.serving.generator import Generator
from harness.serving.recipe import Recipe, Store
from harness.serving.stored_model import save_model
from harness.study.axes import Tuning
from harness.study.spec import Training
from harness.testing import FAMILIES, tiny_model
from harness.training import fast_matmul
from harness.training.batching import loss_batches
from harness.training.cost_meter.flops import counted
from harness.training.evaluation import Decoding, generate, likelihoods, prompts_of
from harness.training.fast_matmul import install, is_faster
from harness.training.loop import fit
from harness.training.loss import ForwardPass
from harness.training.loss_at_labels import HeadLoss
from harness.training.step_memory import kept_bytes
from tests.support.odd_models import odd_model
from tests.support.training_runs import LAST_TWO, encoded, opened, trained, twenty

Folder = Callable[..., Path]

HEAD, FULL, NORMS = (Tuning(kind=kind) for kind in ("head", "full", "norms"))
LAST, EMBEDDINGS = Tuning(kind="last_blocks", blocks=1), Tuning(kind="embeddings")
TUNINGS = (HEAD, LAST, FULL, NORMS, EMBEDDINGS)


def held(folder: Path) -> Loaded:
    return load(str(folder), frozen="bfloat16")


def rounded(loaded: Loaded, low: Loaded, tuning: Tuning) -> None:
    """Give a float32 model under a tuning the values that another one computes with under it, where nothing trains."""
    other = apply(low.model, tuning)
    with torch.no_grad():
        for name, weight in loaded.model.named_parameters():
            if not weight.requires_grad:
                weight.copy_(low.model.get_parameter(name).float())
    reset(low.model, other)


def losses(
    loaded: Loaded, tuning: Tuning, *, like: Loaded | None = None, recomputes: bool = False, steps: int = 8
) -> list[float]:
    """Train some steps; a float32 model as one that it is like, rounded for good."""
    batches, trainable = twenty(loaded, encoded(loaded))[:steps], apply(loaded.model, tuning)
    if like is not None:
        rounded(loaded, like, tuning)
    forward = ForwardPass(loaded.model, recomputed=blocks_to_recompute(loaded.model) if recomputes else ())
    (epoch,) = fit(forward, trainable, batches=lambda _: batches, spec=Training(epochs=1), learning_rate=1e-3, seed=0)
    reset(loaded.model, trainable)
    return list(epoch.losses)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_trains_has_the_checkpoints_values_and_the_base_comes_back(tiny_folder: Folder, family: str) -> None:
    plain, low = load(str(tiny_folder(family))), held(tiny_folder(family))
    assert weights_digest(low.model) == low.digest != plain.digest
    share = saved_bytes(low.model, ()) / sum(2 * weight.numel() for weight in plain.model.parameters())
    assert share > (0.85 if family in ("t5", "marian") else 0.95), "T5 keeps a third of its blocks, Marian positions"
    assert any(not torch.equal(one, other.float()) for one, other in zip(*_weights(plain, low), strict=True))
    for tuning in TUNINGS:
        one, other = apply(plain.model, tuning), apply(low.model, tuning)
        assert one.pristine.values.keys() == other.pristine.values.keys() == set(other.names)
        assert all(torch.equal(value, other.pristine.values[name]) for name, value in one.pristine.values.items())
        for name, weight in low.model.named_parameters():
            assert weight.dtype == torch.float32 or not weight.requires_grad, name
        reset(plain.model, one)
        with torch.no_grad():
            for name in other.names:
                low.model.get_parameter(name).add_(1.0)
        reset(low.model, other)
        assert weights_digest(low.model) == low.digest
        assert weights_digest(plain.model) == plain.digest


def _weights(*loaded: Loaded) -> list[list[Tensor]]:
    return [list(each.model.parameters()) for each in loaded]


@pytest.mark.parametrize("tuning", TUNINGS, ids=lambda tuning: tuning.name)
@pytest.mark.parametrize("family", ["gpt2", "llama", "t5", "gemma3"])
def test_steps_are_those_of_a_model_rounded_by_hand(tiny_folder: Folder, family: str, tuning: Tuning) -> None:
    low = held(tiny_folder(family))
    found, by_hand = losses(low, tuning), losses(load(str(tiny_folder(family))), tuning, like=low)
    bound = 1e-5 if family != "gemma3" else 2e-3  # its embeddings' scale is rounded as well
    assert found == pytest.approx(by_hand, rel=bound)
    assert found == pytest.approx(losses(load(str(tiny_folder(family))), tuning), rel=1e-2)
    assert losses(low, tuning, recomputes=True) == found


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5"])
def test_bfloat16_products_are_the_same_ones(tiny_folder: Folder, family: str) -> None:
    low, by_hand = held(tiny_folder(family)), load(str(tiny_folder(family)))
    apply(by_hand.model, NORMS)
    rounded(by_hand, low, NORMS)
    batch = twenty(low, encoded(low))[0]
    nlls = [ForwardPass(each.model, precision="bf16").token_nlls(batch) for each in (low, by_hand)]
    torch.testing.assert_close(nlls[0], nlls[1], rtol=2e-3, atol=1e-3)
    exact = ForwardPass(by_hand.model).token_nlls(batch)
    assert not torch.allclose(nlls[0], exact, rtol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_predictions_are_those_of_a_model_rounded_by_hand(tiny_folder: Folder, family: str) -> None:
    low, by_hand = held(tiny_folder(family)), load(str(tiny_folder(family)))
    apply(by_hand.model, NORMS)
    rounded(by_hand, low, NORMS)
    rows, decoding = encoded(low), Decoding(max_new_tokens=6, sample=True, seed=1)
    found = [generate(each, prompts_of(rows, each, decoding), decoding) for each in (low, by_hand)]
    assert found[0] == found[1]
    assert len(set(found[0])) > 1


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5"])
def test_a_replay_is_what_is_computed_live(tiny_folder: Folder, family: str) -> None:
    low = held(tiny_folder(family))
    live, replayed = trained(low, LAST_TWO, None), trained(low, LAST_TWO, opened(low, LAST_TWO))
    assert replayed.steps == pytest.approx(live.steps, rel=1e-6)
    assert replayed.nlls == pytest.approx(live.nlls, rel=1e-6)
    assert {tensor.dtype for tensor in replayed.tensors.values()} == {torch.float32}
    assert weights_digest(low.model) == low.digest


def test_a_backward_pass_keeps_no_widened_copy(tiny_folder: Folder) -> None:
    kept = []
    for frozen in ("float32", "bfloat16"):
        loaded = load(str(tiny_folder("llama")), frozen=frozen)
        row, trainable = twenty(loaded, encoded(loaded))[0].parts(1)[0], apply(loaded.model, EMBEDDINGS)
        kept.append(kept_bytes(ForwardPass(loaded.model), row))
        reset(loaded.model, trainable)
    assert kept[1] <= kept[0], "gradients pass through all blocks"


@given(
    rows=st.integers(0, 9), width=st.integers(1, 20), out=st.integers(1, 40), room=st.integers(1, 300), data=st.data()
)
def test_products_of_any_shape(rows: int, width: int, out: int, room: int, data: st.DataObject) -> None:
    drawn = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    left, right = torch.randn(rows, width, generator=drawn), torch.randn(out, width, generator=drawn).bfloat16()
    before = held_weights.ROOM
    held_weights.ROOM = room
    try:
        found = widened_product(left, right, linear)
    finally:
        held_weights.ROOM = before
    torch.testing.assert_close(found, (left.double() @ right.double().t()).float(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_a_layer_and_its_gradients_against_float64(
    monkeypatch: pytest.MonkeyPatch, fast: bool, bias: bool, turned: bool
) -> None:
    if fast and not (torch.backends.mkldnn.is_available() and torch.backends.cpu.get_cpu_capability() != "DEFAULT"):
        pytest.skip("this torch has no oneDNN for this processor")
    layer: Any = Conv1D(5, 7) if turned else nn.Linear(7, 5, bias=bias)
    layer.device, weight = torch.device("cpu"), layer.weight
    layer.__class__ = HeldConv1D if turned else HeldLinear
    exact = (weight.detach() if turned else weight.detach().t()).bfloat16().double()
    weight.data = weight.data.bfloat16()
    weight.requires_grad_(False)
    if fast:
        is_faster.cache_clear()
        monkeypatch.setattr(fast_matmul, "is_faster", lambda: True)
        install(layer)
        assert fast_matmul.is_installed(layer)
    values = torch.randn(2, 3, 7, generator=torch.Generator().manual_seed(1)).requires_grad_()
    found = layer(values)
    assert found.dtype == torch.float32
    product = values.double() @ exact + (layer.bias.double() if layer.bias is not None else 0)
    torch.testing.assert_close(found.double(), product, rtol=1e-5, atol=1e-6)
    slope = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    found.backward(slope)
    torch.testing.assert_close(values.grad, (slope.double() @ exact.t()).float(), rtol=1e-5, atol=1e-6)
    if layer.bias is not None:
        torch.testing.assert_close(layer.bias.grad, slope.sum((0, 1)), rtol=1e-5, atol=1e-6)


def test_a_heads_loss_widens_its_matrix_by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = torch.Generator().manual_seed(0)
    head = nn.Linear(6, 50)
    head.__class__ = HeldLinear
    head.weight.data = head.weight.data.bfloat16()
    head.requires_grad_(False)
    exact = nn.Linear(6, 50)
    exact.weight.data, exact.bias.data = head.weight.data.float(), head.bias.data
    exact.requires_grad_(False)
    monkeypatch.setattr(held_weights, "ROOM", 70)
    hidden, labels = torch.randn(9, 6, generator=drawn), torch.randint(0, 50, (9,), generator=drawn)
    found = []
    for one in (head, exact):
        states = hidden.clone().requires_grad_()
        loss = HeadLoss(one, torch.float32)
        total = loss.total(states, labels)
        total.backward()
        found.append((total.detach(), states.grad, loss.nlls(hidden, labels)))
    assert loss.weight().dtype == torch.float32
    assert HeadLoss(head, torch.float32).weight().data_ptr() == head.weight.data_ptr(), "no copy of it is kept"
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", ["gpt2", "llama", "t5"])
def test_operations_are_counted_as_ever(tiny_folder: Folder, family: str) -> None:
    found = []
    for loaded in (load(str(tiny_folder(family))), held(tiny_folder(family))):
        batch, trainable = twenty(loaded, encoded(loaded))[0], apply(loaded.model, EMBEDDINGS)
        install(loaded.model)
        with counted(blocks(loaded.model)) as parts:
            torch.autograd.backward(ForwardPass(loaded.model).total_nll(batch))
        found.append(parts.tolist())
        reset(loaded.model, trainable)
    assert found[0] == found[1]
    assert sum(found[0]) > 0


# Where float32 values come from


@pytest.mark.parametrize("family", FAMILIES)
def test_both_ways_to_load_give_one_model(tiny_folder: Folder, family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain, straight = load(str(tiny_folder(family))), held(tiny_folder(family))
    monkeypatch.setattr(loading, "hold_as_loaded", lambda model, files: False)
    by_way = held(tiny_folder(family))
    assert straight.digest == by_way.digest
    assert len({architecture_digest(each.model) for each in (plain, straight, by_way)}) == 1
    assert saved_bytes(straight.model, ()) == saved_bytes(by_way.model, ())
    one, other = (dict(each.model.named_buffers()) for each in (plain, straight))
    assert all(torch.equal(buffer, other[name]) and buffer.dtype == other[name].dtype for name, buffer in one.items())
    for name, weight in straight.model.named_parameters():
        assert weight.dtype == torch.bfloat16 or torch.equal(weight, plain.model.get_parameter(name)), name


@pytest.mark.parametrize(("family", "is_straight"), {"gpt2": True, "llama": True, "t5": True, "gemma3": False}.items())
def test_most_models_are_never_in_memory_as_float32(
    tiny_folder: Folder, family: str, is_straight: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    real = loading._model
    monkeypatch.setattr(loading, "_model", lambda *args: asked.append(args[-1]) or real(*args))
    held(tiny_folder(family))
    assert asked == (["bfloat16"] if is_straight else ["bfloat16", "float32"])


def test_a_bfloat16_checkpoint_needs_no_files_again(tmp_path: Path) -> None:
    folder = tiny_model("llama", tmp_path / "model")
    AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(folder)
    plain, low = load(str(folder)), held(folder)
    for file in folder.glob("*.safetensors"):
        file.unlink()
    assert losses(low, FULL) == pytest.approx(losses(plain, FULL), rel=1e-5)
    assert losses(low, LAST) == pytest.approx(losses(plain, LAST), rel=1e-5), "nothing was lost by rounding"


def test_values_of_a_float16_checkpoint_are_those_of_float32(tmp_path: Path) -> None:
    folder = tiny_model("gpt2", tmp_path / "model")
    AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16).save_pretrained(folder)
    plain, low = load(str(folder)), held(folder)
    one, other = apply(plain.model, FULL), apply(low.model, FULL)
    assert tensors_digest(one.pristine.values) == tensors_digest(other.pristine.values)


def test_files_of_several_shards_with_other_prefixes(tmp_path: Path) -> None:
    folder = tiny_model("gpt2", tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    stored = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    (first, *others), names = sorted(stored), {}
    for number, part in enumerate(([first], others), start=1):
        file = f"model-0000{number}-of-00002.safetensors"
        save_file({name: stored[name] for name in part}, folder / file, metadata={"format": "pt"})
        names |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    plain, low = load(str(folder)), held(folder)
    one, other = apply(plain.model, FULL), apply(low.model, FULL)
    assert tensors_digest(one.pristine.values) == tensors_digest(other.pristine.values)
    assert saved_bytes(low.model, ()) > 0


def test_a_file_that_changed_is_refused(tmp_path: Path, tiny_folder: Folder) -> None:
    folder = shutil.copytree(tiny_folder("llama"), tmp_path / "model")
    low = held(folder)
    file = folder / "model.safetensors"
    tensors = load_file(file)
    save_file({name: tensor * 2 for name, tensor in tensors.items()}, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"model.safetensors has changed since the model was loaded; bring it back"):
        apply(low.model, FULL)
    low = held(folder)
    before = weights_digest(low.model), [(name, flag.requires_grad) for name, flag in low.model.named_parameters()]
    file.unlink()
    with_head = Tuning(kind="lora", parts=("head",))
    for tuning in (FULL, with_head):
        with pytest.raises(ModelError, match=r"cannot be read again: .*; bring the file back"):
            apply(low.model, tuning)
        after = weights_digest(low.model), [(name, flag.requires_grad) for name, flag in low.model.named_parameters()]
        assert after == before, "the model is as it was, without the adapter"


def test_weights_that_could_not_be_read_again_are_refused(tmp_path: Path) -> None:
    folder = tiny_model("llama", tmp_path / "model")
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(
        ModelError, match=r"none of its weights can be read again .* save_pretrained, or set model.frozen"
    ):
        load(str(folder), frozen="bfloat16", allow_pickle=True)


def test_what_no_file_holds_stays_float32(tiny_folder: Folder) -> None:
    loaded = load(str(tiny_folder("llama")))
    head = loaded.model.lm_head.weight
    with torch.no_grad():
        head.add_(1e-3)
    hold(loaded.model, [tiny_folder("llama") / "model.safetensors"])
    assert head.dtype == torch.float32
    assert loaded.model.model.embed_tokens.weight.dtype == torch.bfloat16
    assert type(loaded.model.lm_head) is nn.Linear


@pytest.mark.parametrize("name", ["switch", "gemma3n", "zamba2", "ernie4_5_moe"])
def test_odd_families(name: str, tmp_path: Path) -> None:
    """Switch widens its routers itself, Gemma 3n writes into what layers return, experts are no layers."""
    odd_model(name, tmp_path)
    plain, low = load(str(tmp_path)), held(tmp_path)
    one, other = apply(plain.model, FULL), apply(low.model, FULL)
    assert tensors_digest(one.pristine.values) == tensors_digest(other.pristine.values)
    reset(plain.model, one)
    reset(low.model, other)
    batch = twenty(low, encoded(low))[0]
    nlls = [ForwardPass(each.model).total_nll(batch).item() for each in (plain, low)]
    assert nlls[1] == pytest.approx(nlls[0], rel=1e-2)
    assert weights_digest(low.model) == low.digest
    assert saved_bytes(low.model, ()) > 0


def test_a_model_that_multiplies_by_itself_is_refused(tmp_path: Path) -> None:
    odd_model("jamba", tmp_path)
    with pytest.raises(
        ModelError, match=r"Jamba.* cannot be called with model.frozen: bfloat16.* set model.frozen: float"
    ):
        held(tmp_path)


# Stored


@pytest.mark.parametrize("store", ["full", "delta"])
@pytest.mark.parametrize("tuning", [HEAD, LAST], ids=lambda tuning: tuning.name)
@pytest.mark.parametrize("family", ["gpt2", "t5"])
def test_a_stored_model_answers_as_the_run_did(
    tiny_folder: Folder, tmp_path: Path, family: str, tuning: Tuning, store: Store
) -> None:
    low, prompt = held(tiny_folder(family)), Template("bare", "{{ source }}\n", shorten="source")
    batches, trainable = twenty(low, encoded(low)), apply(low.model, tuning)
    forward = ForwardPass(low.model)
    list(fit(forward, trainable, batches=lambda _: batches, spec=Training(epochs=1), learning_rate=1e-2, seed=0))
    base = Base(
        name=str(tiny_folder(family)),
        folder=None,
        commit=None,
        dtype="float32",
        trust_remote_code=False,
        allow_pickle=False,
        weights=low.digest,
        architecture=architecture_digest(low.model),
        frozen="bfloat16",
    )
    decoding, limits = Decoding(max_new_tokens=6), Limits(60, 40)
    weights = trained_digest(low, tuning)
    recipe = Recipe(prompt, limits, decoding, "fp32", tuning, base, store, weights)
    save_model(tmp_path / "stored", low, recipe)
    stored = Generator(tmp_path / "stored")
    assert (stored.recipe.base, trained_digest(low, tuning)) == (base, weights)
    rows, way = encoded(low), ForwardPass(stored.loaded.model)
    found, expected = (
        [row.nll for row in likelihoods(one, loss_batches(rows, low, batch_size=4))] for one in (way, forward)
    )
    assert found == pytest.approx(expected, rel=1e-5)
    held_ones = sum(weight.dtype == torch.bfloat16 for weight in stored.loaded.model.parameters())
    assert bool(held_ones) == (store == "delta")
    answers = stored([{"source": "a short note"}, {"source": "12 boxes"}])
    asked = [stored.row("a", {"source": text}) for text in ("a short note", "12 boxes")]
    assert answers == generate(low, prompts_of(asked, low, decoding), decoding)
    reset(low.model, trainable)
    assert weights_digest(low.model) == low.digest


def test_what_is_stored_whole_loads_anywhere_as_float32(tiny_folder: Folder, tmp_path: Path) -> None:
    low = held(tiny_folder("llama"))
    trainable = apply(low.model, LAST)
    with widened(low.model):
        low.model.save_pretrained(tmp_path)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert {weight.dtype for weight in plain.parameters()} == {torch.float32}
    for name, weight in low.model.named_parameters():
        assert torch.equal(plain.get_parameter(name), weight.float())
        assert (weight.dtype == torch.bfloat16) == (not weight.requires_grad and weight.ndim > 1), name
    reset(low.model, trainable)


def test_a_recipe_of_before_has_a_base_in_float32() -> None:
    base = Base("a", None, None, "float32", False, False, "w", "c")
    recipe = Recipe(
        Template("t", "{{ source }}"), Limits(9, 9), Decoding(max_new_tokens=3), "fp32", HEAD, base, "full", ""
    )
    assert "frozen" not in recipe.as_json()["base"]
    low = replace(recipe, base=base._replace(frozen="bfloat16"))
    assert Recipe.from_json(low.as_json()) == low
    assert Recipe.from_json(recipe.as_json()) == recipe
