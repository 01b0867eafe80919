"""Rows learned by heart are said: training and generation begin alike, whatever a family shifts its labels by."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.core.example import Example
from harness.data.template import Template
from harness.data.tokenization import Limits, encode
from harness.models.load import Loaded, load
from harness.training.batching import loss_batches
from harness.training.evaluation import Decoding, generate, likelihoods, mean_loss, prompts_of
from harness.training.loss import ForwardPass
from tests.support.multilingual_models import MULTILINGUAL, write_multilingual

WORDS = ["note", "meeting", "room", "booked", "moved", "short"]
EXAMPLES = [Example(word, {"source": f"the {word} is"}, f"{word} it {word[::-1][:2]}") for word in WORDS]


def learned(loaded: Loaded) -> tuple[float, list[str]]:
    """Train on a few rows; return the loss, and what is then said."""
    rows = encode(EXAMPLES, Template("t", "{{ source }} ="), loaded, limits=Limits(40, 20, 16)).rows
    batches, forward = loss_batches(rows, loaded, batch_size=8), ForwardPass(loaded.model)
    optimizer = torch.optim.AdamW(loaded.model.parameters(), lr=3e-3)
    for _ in range(200):
        for batch in batches:
            optimizer.zero_grad()
            forward.total_nll(batch).backward()
            torch.nn.utils.clip_grad_norm_(loaded.model.parameters(), 1.0)
            optimizer.step()
    decoding = Decoding(16)
    said = generate(loaded, prompts_of(rows, loaded, decoding), decoding)
    return mean_loss(likelihoods(forward, batches)), said


@pytest.mark.slow
@pytest.mark.parametrize("family", ["mbart", "mbart50", "m2m100", "plbart"])
def test_in_a_language(family: str, tmp_path: Path) -> None:
    made = MULTILINGUAL[family]
    write_multilingual(family, tmp_path)
    loss, said = learned(load(str(tmp_path), source_language=made.source, target_language=made.target))
    assert loss < 0.1
    assert said == [example.target for example in EXAMPLES]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["bart", "marian", "t5"])
def test_behind_a_forced_token(tiny_folder: Callable[..., Path], family: str, tmp_path: Path) -> None:
    for file in tiny_folder(family).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    settings = json.loads((tmp_path / "generation_config.json").read_text())
    (tmp_path / "generation_config.json").write_text(json.dumps({**settings, "forced_bos_token_id": 3}))
    loss, said = learned(load(str(tmp_path)))
    assert loss < 0.1
    assert said == [example.target for example in EXAMPLES]
