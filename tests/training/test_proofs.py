"""What is proved of a model at loading: handled as plain transformers does it one row at a time, or refused by name."""

from __future__ import annotations

import contextlib
import copy
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, PreTrainedConfig

from harness.core.errors import ModelError
from harness.data.tokenization import Row
from harness.models.find_blocks import anatomy
from harness.models.hooks import look
from harness.models.last_block import drops_out, modules_at_labels
from harness.models.load import load
from harness.study.axes import Tuning
from harness.study.check import check
from harness.study.grid import Cell
from harness.study.load_study import read_study
from harness.study.search_space import SearchSpace
from harness.testing import tiny_model
from harness.training.batching import loss_batches
from harness.training.evaluation import likelihoods, predict
from harness.training.loss import ForwardPass
from harness.training.proofs import refuse_sight_ahead
from harness.training.setup import TrainingSetup
from harness.training.trainer import Trainer
from tests.support.first_of_kind import first_of_kind
from tests.support.odd_models import odd_model
from tests.support.plain_decoding import decode_plainly
from tests.support.study_fixture import WORDS, Place, Places, write_rows

LENGTHS = (4, 9, 14, 5, 17, 19, 7, 11)
"""Words of the prompts; their tokens lie on both sides of every switch of the models."""
TOGETHER = (("bert_decoder", False), ("gemma3n", False), ("jamba", False), ("switch", False))
ALONE = (
    ("rwkv", False),
    ("bart_decoder", False),
    ("pegasus_decoder", False),
    ("phi3_longrope", True),
    ("llama_longrope", True),
    ("bigbird_pegasus", True),
)
"""Families, and whether their losses are computed one row at a time too."""


@pytest.fixture
def opened(places: Places) -> Callable[..., tuple[Place, Any]]:
    """``opened(name, *overrides)``: a place with a study of an odd model, and the study checked."""

    def make(name: str, *overrides: str, **options: Any) -> tuple[Place, Any]:
        place = places(store=False)
        shutil.rmtree(place.folder / "model")
        odd_model(name, place.folder / "model", **options)
        for split in ("train", "validation", "test"):
            write_rows(
                place.folder / "data" / f"{split}.jsonl", [made(number, split) for number in range(len(LENGTHS))]
            )
        with contextlib.chdir(place.folder):
            return place, check(read_study(Path("study.yaml"), list(overrides)))

    def made(number: int, split: str) -> dict[str, str]:
        words = [WORDS[number * step % len(WORDS)] for step in range(1, LENGTHS[number])]
        target = WORDS[number % 9 : number % 9 + 1 + number % 4]
        return {"id": f"{split}-{number}", "source": " ".join([split, *words]), "target": " ".join(target)}

    return make


@contextlib.contextmanager
def inside(place: Place) -> Any:
    with contextlib.chdir(place.folder):
        yield


def plain(folder: Path, halves: bool) -> Any:
    return (AutoModelForSeq2SeqLM if halves else AutoModelForCausalLM).from_pretrained(folder, dtype=torch.float32)


@torch.no_grad()
def plain_nll(model: Any, row: Row) -> float:
    """Return what transformers says of one row's target, with nothing padded."""
    prompt, target = torch.tensor([row.prompt]), torch.tensor([row.target])
    if model.config.is_encoder_decoder:
        logits = model(input_ids=prompt, labels=target, use_cache=False).logits[0]
    else:
        logits = model(input_ids=torch.cat([prompt, target], 1), use_cache=False).logits[0, prompt.size(1) - 1 : -1]
    return float(cross_entropy(logits, target[0], reduction="sum"))


def plain_text(model: Any, tokenizer: Any, row: Row, room: int) -> str:
    prompt = torch.tensor([row.prompt])
    settings = {"max_new_tokens": room, "do_sample": False, "num_beams": 1, "eos_token_id": 2, "pad_token_id": 0}
    output = model.generate(prompt, attention_mask=torch.ones_like(prompt), **settings)
    skip = 1 if model.config.is_encoder_decoder else prompt.size(1)
    return decode_plainly(tokenizer, output[0, skip:].tolist()).split("\n")[0].strip()


@pytest.mark.parametrize(("name", "losses_alone"), first_of_kind([*ALONE, *TOGETHER]))
def test_losses_and_texts_are_those_of_one_row_at_a_time(opened: Any, name: str, losses_alone: bool) -> None:
    place, checked = opened(name)
    said: list[str] = []
    with inside(place):
        setup = TrainingSetup(checked, said.append)
        rows, halves = setup.encoded(checked.prompts[0], "validation").rows, setup.loaded.is_encoder_decoder
        assert setup.whole_forward.alone == losses_alone
        assert (setup.decoding.batch_size == 1) == ((name, losses_alone) in ALONE)
        assert len(said) == losses_alone + (setup.decoding.batch_size == 1)
        nlls = likelihoods(setup.forward, loss_batches(rows, setup.loaded, batch_size=8))
        texts = [each.text for each in predict(setup.loaded, rows, nlls, decoding=setup.decoding)]
        for row, nll, text in zip(rows, nlls, texts, strict=True):
            expected = plain(place.folder / "model", halves)  # anew: some change with what they read
            assert nll.nll == pytest.approx(plain_nll(expected, row), rel=1e-5)
            expected = plain(place.folder / "model", halves)
            said = plain_text(expected, setup.loaded.tokenizer, row, setup.decoding.max_new_tokens)
            # Half a character at the end is cut off.
            assert text.split("\n")[0].strip().rstrip("\ufffd") == said.rstrip("\ufffd")


@pytest.mark.parametrize(
    ("name", "options", "remedy"),
    [
        ("roberta", {}, "if it was pretrained as a decoder, set is_decoder: true in its config.json; else use a model"),
        ("bert", {}, "set is_decoder: true in its"),
        ("bigbird", {}, "set attention_type: original_full in its"),
        ("bigbird", {"is_decoder": False}, "set is_decoder: true, attention_type: original_full in its"),
        ("xlnet", {}, "reads; use a model that was made to write from left to right"),
        ("reformer", {}, "reads; use a model that was made to write from left to right"),
    ],
)
def test_models_that_see_ahead_are_refused(opened: Any, name: str, options: dict[str, Any], remedy: str) -> None:
    place, checked = opened(name, "training.max_source_tokens=300", **options)  # RoBERTa's positions end before
    with inside(place), pytest.raises(ModelError, match=f"sees ahead.*{remedy}"):
        TrainingSetup(checked, print)


@pytest.mark.parametrize(("name", "entry"), [("bert", "is_decoder"), ("bigbird", "attention_type")])
def test_what_a_refusal_says_mends_it(opened: Any, name: str, entry: str) -> None:
    place, checked = opened(name)
    file = place.folder / "model" / "config.json"
    mended = {"is_decoder": True, "attention_type": "original_full"}[entry]
    file.write_text(json.dumps({**json.loads(file.read_text()), entry: mended}))
    with inside(place):
        setup = TrainingSetup(checked, print)
    assert getattr(setup.loaded.model.config, entry) == mended
    assert isinstance(setup.forward, ForwardPass)


def test_what_transformers_own_code_cannot_do_has_a_remedy(places: Places) -> None:
    """Its caches are as deep as T5's encoder; plain ``generate`` fails alike."""
    place = places("t5", store=False)
    shutil.rmtree(place.folder / "model")
    tiny_model("t5", place.folder / "model", num_layers=2, num_decoder_layers=3)
    with inside(place), pytest.raises(ModelError, match=r"IndexError: .*; transformers' own code of it fails; use ano"):
        TrainingSetup(check(read_study(Path("study.yaml"))), print)


def test_a_decoder_that_sees_ahead_is_refused(tiny: Any) -> None:
    loaded = tiny("bart")
    forward, row = ForwardPass(loaded.model), Row("", (5, 6, 7, 8), (9, 10, 11, 12, 2), truncated=False)
    refuse_sight_ahead(loaded, forward, row)
    mask = loaded.model.get_decoder()
    blind = mask.forward
    ahead = lambda *args, **kwargs: blind(*args, **{**kwargs, "attention_mask": torch.zeros(1, 1, 5, 5)})  # noqa: E731
    mask.forward = ahead
    with pytest.raises(ModelError, match="sees ahead"):
        refuse_sight_ahead(loaded, forward, row)


def test_a_model_that_writes_to_its_weights_is_refused(opened: Any) -> None:
    place, checked = opened("rwkv", rescale_every=1)
    with inside(place), pytest.raises(ModelError, match=r"changes its own weights .*rescale_every: 0"):
        TrainingSetup(checked, print)


@pytest.mark.parametrize(
    ("options", "overrides", "message"),
    [
        ({}, (), r"decoder reads at most 10 tokens, but targets or predictions may take 13"),
        (
            {"max_decoder_position_embeddings": 64, "max_encoder_position_embeddings": 16},
            (),
            r"encoder reads at most 16 tokens, but prompts may take 48; lower training.max_source_tokens to 16",
        ),
    ],
)
def test_positions_of_either_half(opened: Any, options: Any, overrides: Any, message: str) -> None:
    place, checked = opened("led", *overrides, **options)
    with inside(place), pytest.raises(ModelError, match=message):
        TrainingSetup(checked, print)


@pytest.mark.parametrize("positions", [7, 10])
def test_positions_within_their_limits_pass(opened: Any, positions: int) -> None:
    """Of seven, padding would take eight: rows are computed alone."""
    overrides = (f"training.max_target_tokens={positions - 1}", "generation.max_new_tokens=6")
    place, checked = opened("led", *overrides, max_decoder_position_embeddings=positions)
    with inside(place):
        assert TrainingSetup(checked, print).whole_forward.alone
        with Trainer(checked).run(Cell(checked.prompts[0], Tuning(kind="head"))) as run:
            (*_, last) = run.epochs(SearchSpace.of(checked.study).at([0.0]), seed=0)
            assert last.train_loss == last.train_loss


def test_positions_of_a_causal_model(opened: Any) -> None:
    """RoBERTa's positions begin behind its padding token: its 40 hold 39 tokens."""
    place, checked = opened("roberta_decoder", "training.max_source_tokens=48", max_position_embeddings=40)
    with inside(place), pytest.raises(ModelError, match=r"reads at most 39 tokens, .* may take 40"):
        TrainingSetup(checked, print)


def state(model: nn.Module) -> dict[str, Any]:
    """Return all that a call could change of a model: what its modules hold, and which modules there are."""
    held: dict[str, Any] = {}
    for path, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, PreTrainedConfig):
                held[f"{path}:{name}"] = value.to_dict()
            elif not name.startswith("_") and not isinstance(value, Tensor | nn.Module):
                held[f"{path}:{name}"] = copy.copy(value) if isinstance(value, list | dict | set) else value
        held[path] = type(module)
    return held | {name: buffer.clone() for name, buffer in model.named_buffers()}


@pytest.mark.parametrize("name", ["bigbird_pegasus", "llama_longrope", "rwkv", "gemma3n", "led"])
def test_a_probe_leaves_nothing_changed(tmp_path: Path, name: str) -> None:
    options = {"max_decoder_position_embeddings": 64} if name == "led" else {}
    model: Any = load(str(odd_model(name, tmp_path, **options))).model
    before = state(model)
    anatomy(model)
    modules_at_labels(model)
    drops_out(model)
    look(model, rows=1, positions=30)
    look(model, rows=1, positions=1)
    after = state(model)
    assert after.keys() == before.keys()
    for name, value in before.items():
        assert torch.equal(after[name], value) if isinstance(value, Tensor) else after[name] == value, name


@pytest.mark.parametrize("name", ["bigbird_pegasus", "phi3_longrope"])
def test_training_one_row_at_a_time(opened: Any, name: str) -> None:
    """A step's loss is the mean over its batch's tokens, each row as if it were the model's first."""
    place, checked = opened(name)
    with inside(place):
        trainer = Trainer(checked)
        space = SearchSpace.of(checked.study)
        with trainer.run(Cell(checked.prompts[0], Tuning(kind="full"))) as run:
            (first, *_) = run.epochs(space.at([0.0] * len(space.dimensions)), seed=0)
            assert run.trunk.startswith("live")
        rows = trainer.setup.encoded(checked.prompts[0], "train").rows
        halves = trainer.setup.loaded.is_encoder_decoder
        expected = [plain_nll(plain(place.folder / "model", halves), row) for row in rows]
        batches = loss_batches(rows, trainer.setup.loaded, batch_size=checked.study.training.batch_size)
    assert len(first.losses) == len(batches)
    sums = {round(sum(expected[i] for i in batch.indices) / batch.tokens, 4) for batch in batches}
    assert round(first.losses[0], 4) in sums  # later ones are of other weights
    with inside(place), trainer.run(Cell(checked.prompts[0], Tuning(kind="head"))) as run:
        assert run.trunk == "live: rows are computed one at a time"
