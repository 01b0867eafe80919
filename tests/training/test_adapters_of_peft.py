"""Adapters against plain PEFT with transformers: the same losses step by step, the same weights, the same texts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from torch import Tensor

from harness.models.apply_tuning import Trainable, apply, reset
from harness.models.content_digests import weights_digest
from harness.models.load import Loaded, load
from harness.models.tuning_adapter import Start
from harness.study.axes import Tuning, tuning_of
from harness.study.decoding_settings import Decoding
from harness.training.batching import prompt_batches
from harness.training.evaluation import generate
from harness.training.loop import fit
from harness.training.loss import ForwardPass
from tests.support.first_of_kind import first_of_kind
from tests.support.training_runs import SPEC, encoded, opened, trained, twenty
from tests.support.transformers_trainer import trainer_losses

LINEAR = {
    "gpt2": ["c_attn", "c_proj", "c_fc"],
    "llama": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    "t5": ["q", "k", "v", "o", "wi", "wo"],
}
IA3 = {
    "gpt2": (["c_attn", "mlp.c_proj"], ["mlp.c_proj"]),
    "llama": (["k_proj", "v_proj", "down_proj"], ["down_proj"]),
    "t5": (["k", "v", "wo"], ["wo"]),
}
KINDS: dict[str, tuple[Any, Callable[[str, str], peft.PeftConfig]]] = {
    "lora": (
        {"lora": {"rank": 4, "alpha": 12}},
        lambda family, task: peft.LoraConfig(task, r=4, lora_alpha=12, target_modules=LINEAR[family]),
    ),
    "dora": (
        {"dora": {"rank": 4}},
        lambda family, task: peft.LoraConfig(task, r=4, lora_alpha=8, use_dora=True, target_modules=LINEAR[family]),
    ),
    "rslora": (
        {"rslora": {"rank": 4}},
        lambda family, task: peft.LoraConfig(task, r=4, lora_alpha=8, use_rslora=True, target_modules=LINEAR[family]),
    ),
    "ia3": (
        "ia3",
        lambda family, task: peft.IA3Config(task, target_modules=IA3[family][0], feedforward_modules=IA3[family][1]),
    ),
    "prompt_tuning": (
        {"prompt_tuning": {"tokens": 5}},
        lambda _, task: peft.PromptTuningConfig(task, num_virtual_tokens=5),
    ),
    "prefix_tuning": (
        {"prefix_tuning": {"tokens": 5}},
        # PEFT counts an encoder's blocks where the prefix is the decoder's.
        lambda family, task: peft.PrefixTuningConfig(
            task, num_virtual_tokens=5, num_layers=2 if family == "t5" else None
        ),
    ),
    "p_tuning": ({"p_tuning": {"tokens": 5}}, lambda _, task: peft.PromptEncoderConfig(task, num_virtual_tokens=5)),
}
RATE = 3e-3


def tuned(kind: str) -> Tuning:
    return Tuning.model_validate(tuning_of(KINDS[kind][0]))


def theirs(folder: Path, family: str, kind: str, ours: Trainable) -> Loaded:
    """Return plain PEFT's model with the first weights of ours."""
    loaded = load(str(folder))
    task = "SEQ_2_SEQ_LM" if loaded.is_encoder_decoder else "CAUSAL_LM"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.get_peft_model(loaded.model, KINDS[kind][1](family, task))
    assert ours.adapter is not None
    first = dict(ours.adapter.peft.named_parameters(remove_duplicate=False))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.requires_grad:
                own = first[name].detach()
                weight[: len(own)] = own  # PEFT keeps embeddings for a decoder that reads none of them
    return loaded._replace(model=model)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", first_of_kind(LINEAR))
def test_twenty_steps_are_those_of_peft(
    tiny_folder: Callable[..., Path], tmp_path: Path, family: str, kind: str
) -> None:
    ours = load(str(tiny_folder(family)))
    digest, batches = weights_digest(ours.model), twenty(ours, encoded(ours))
    trainable = apply(ours.model, tuned(kind), Start(7, (9, 8, 7)))
    other = theirs(tiny_folder(family), family, kind, trainable)
    first = {name: ours.model.get_parameter(name).detach().clone() for name in trainable.names}
    forward = ForwardPass(ours.model)
    (epoch,) = fit(forward, trainable, batches=lambda _: batches, spec=SPEC, learning_rate=RATE, seed=0)
    expected = trainer_losses(other, SPEC, batches, rate=RATE, folder=tmp_path)
    assert list(epoch.losses) == pytest.approx(expected, rel=1e-5)
    found = dict(trainable.adapter.peft.named_parameters(remove_duplicate=False)) if trainable.adapter else {}
    for name, weight in other.model.named_parameters():
        if weight.requires_grad:
            torch.testing.assert_close(found[name], weight[: len(found[name])], rtol=1e-3, atol=5e-5, msg=name)
    moved = [name for name in trainable.names if not torch.equal(first[name], ours.model.get_parameter(name))]
    assert moved == list(trainable.names), "all that is said to train does"
    reset(ours.model, trainable)
    assert weights_digest(ours.model) == digest


def texts(loaded: Loaded, batch_size: int) -> list[str]:
    rows = encoded(loaded)
    batches = prompt_batches(rows, loaded, batch_size=batch_size, room=8)
    return [whole(text) for text in generate(loaded, batches, Decoding(max_new_tokens=8, stop=()))]


def whole(text: str) -> str:
    """Leave out half of a character at the end, which ours does as well."""
    return text.rstrip("\ufffd").strip()


@pytest.mark.parametrize("kind", ["lora", "ia3", "prompt_tuning", "prefix_tuning", "p_tuning"])
@pytest.mark.parametrize("family", first_of_kind(LINEAR))
def test_texts_are_those_of_peft_alone_and_together(tiny_folder: Callable[..., Path], family: str, kind: str) -> None:
    ours = load(str(tiny_folder(family)))
    trainable = apply(ours.model, tuned(kind), Start(7, (9, 8, 7)))
    other = theirs(tiny_folder(family), family, kind, trainable)
    rows, model = encoded(ours), other.model.eval()
    end, pad = ours.tokenizer.eos_token_id, ours.tokenizer.pad_token_id
    expected = []
    for row in rows:
        ids = torch.tensor([row.prompt])
        options = {"max_new_tokens": 8, "do_sample": False, "eos_token_id": end, "pad_token_id": pad}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of positions, which are those that it would count
            said: Tensor = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options)
        new = said[0, 1:] if ours.is_encoder_decoder else said[0, ids.size(1) :]
        expected.append(whole(ours.tokenizer.decode(new, skip_special_tokens=True)))
    assert texts(ours, batch_size=1) == expected
    assert texts(ours, batch_size=5) == expected, "padding and other rows move nothing"
    reset(ours.model, trainable)


@pytest.mark.parametrize("family", ["gpt2", "llama", pytest.param("t5", marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["lora", "dora", "ia3"])
def test_an_adapter_in_the_last_blocks_replays(tiny_folder: Callable[..., Path], family: str, kind: str) -> None:
    loaded = load(str(tiny_folder(family)))
    digest, tuning = weights_digest(loaded.model), Tuning.model_validate(tuning_of({kind: {"blocks": "last-2"}}))
    live = trained(loaded, tuning, None)
    replayed = trained(loaded, tuning, opened(loaded, tuning))
    assert replayed.steps == pytest.approx(live.steps, rel=1e-6)
    assert replayed.nlls == pytest.approx(live.nlls, rel=1e-6)
    assert live.tensors.keys() == replayed.tensors.keys()
    assert weights_digest(loaded.model) == digest
