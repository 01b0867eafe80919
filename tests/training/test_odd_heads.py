"""Heads that are not what their models say, or that see more than one stream: losses against plain forward passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from harness.core.example import Example
from harness.data.template import Template
from harness.data.tokenization import Limits, encode
from harness.models.apply_tuning import apply, reset
from harness.models.find_blocks import head
from harness.models.load import load
from harness.study.axes import Tuning
from harness.testing import tiny_model
from harness.training.batching import loss_batches
from harness.training.evaluation import likelihoods
from harness.training.loss import ForwardPass

IDS = {"bos_token_id": 1, "pad_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
HALVES = {"encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "max_position_embeddings": 128}
FSMT = {**IDS, **HALVES, "langs": ["en", "de"], "src_vocab_size": 512, "tgt_vocab_size": 512, "d_model": 32}
FSMT |= {"encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
PROPHETNET = {**IDS, **HALVES, "vocab_size": 512, "hidden_size": 32, "num_encoder_layers": 1, "num_decoder_layers": 2}
PROPHETNET |= {"num_encoder_attention_heads": 4, "num_decoder_attention_heads": 4, "ngram": 2}
ODD: dict[str, tuple[str, dict[str, Any]]] = {
    "FSMTForConditionalGeneration": ("FSMTConfig", FSMT),
    "ProphetNetForConditionalGeneration": ("ProphetNetConfig", PROPHETNET),
    "ProphetNetForCausalLM": ("ProphetNetConfig", {**PROPHETNET, "is_encoder_decoder": False, "is_decoder": True}),
}


def folder_of(name: str, folder: Path) -> Path:
    kind, sizes = ODD[name]
    tiny_model("marian" if name.endswith("Generation") else "gpt2", folder)  # for its tokenizer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        getattr(transformers, name)(getattr(transformers, kind)(**sizes)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name", ODD)
def test_losses_are_those_of_a_plain_forward_pass(name: str, tmp_path: Path) -> None:
    loaded = load(str(folder_of(name, tmp_path)))
    model: Any = loaded.model
    projection = head(model).module
    assert isinstance(projection, nn.Linear)
    assert projection.weight.shape == (512, 32)
    examples = [Example(str(i), {"source": "short note " * (1 + i % 3)}, "it moved " * (1 + i % 2)) for i in range(4)]
    rows = encode(examples, Template("t", "{{ source }}\n"), loaded, limits=Limits(60, 20)).rows
    tuning = Tuning(kind="last_blocks", blocks=1)
    trainable = apply(model, tuning)
    model.eval()
    forward = ForwardPass(model, alone=loaded.is_encoder_decoder)
    nlls = likelihoods(forward, loss_batches(rows, loaded, batch_size=2))
    for row, nll in zip(rows, nlls, strict=True):
        if loaded.is_encoder_decoder:
            inputs = {"input_ids": [row.prompt], "decoder_input_ids": [[2, *row.target[:-1]]]}
        else:
            inputs = {"input_ids": [row.prompt + row.target]}
        with torch.no_grad():
            logits = model(**{key: torch.tensor(ids) for key, ids in inputs.items()}, use_cache=False).logits[0]
        logits = logits if loaded.is_encoder_decoder else logits[len(row.prompt) - 1 : -1]
        plain = torch.nn.functional.cross_entropy(logits, torch.tensor(row.target), reduction="sum")
        assert nll.nll == pytest.approx(plain.item(), rel=1e-5)
    reset(model, trainable)
