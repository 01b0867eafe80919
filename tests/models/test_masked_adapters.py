"""Adapters on masked models: what trains and where, merged, stored as PEFT stores them, and taken off again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForMaskedLM

from harness.core.errors import ModelError
from harness.core.example import Example
from harness.data.template import Template
from harness.data.tokenization import Limits, encode
from harness.models.adapters.stored_adapter import save_adapter
from harness.models.apply_tuning import apply, reset
from harness.models.content_digests import weights_digest
from harness.models.delta import whole_model
from harness.models.frozen.replay import first_trained, refusal
from harness.models.load import Loaded, load
from harness.models.tuning_adapter import Start
from harness.study.axes import Tuning, tuning_of
from harness.testing import MASKED_FAMILIES
from harness.training.batching import Batch, rows_together
from harness.training.loss import ForwardPass
from tests.support.first_of_kind import first_of_kind

KINDS: list[Any] = ["lora", {"lora": {"blocks": "last-1"}, "with": ["head"]}, "dora"]
CLOZE = Template("cloze", "{{ source }} It was {{ mask }}.")


def read(value: Any) -> Tuning:
    return Tuning.model_validate(tuning_of(value))


def cloze(loaded: Loaded) -> Batch:
    examples = [
        Example(str(at), {"source": f"A note of {at} boxes."}, word) for at, word in enumerate(("late", "short"))
    ]
    return rows_together(encode(examples, CLOZE, loaded, limits=Limits(60, 20)).rows, loaded)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # which PEFT asks
@pytest.mark.parametrize("value", KINDS, ids=lambda value: read(value).name)
@pytest.mark.parametrize("family", first_of_kind(MASKED_FAMILIES))
def test_an_adapter_trains_is_stored_and_taken_off(
    tiny_folder: Callable[..., Path], family: str, value: Any, tmp_path: Path
) -> None:
    folder, tuning = tiny_folder(family), read(value)
    loaded = load(str(folder))
    model, batch = loaded.model, cloze(loaded)
    trainable = apply(model, tuning, Start(3))
    assert (first_trained(model), refusal(model, trainable) is None) == ((0, False) if value != KINDS[1] else (2, True))
    first = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    optimizer = torch.optim.AdamW([weight for weight in model.parameters() if weight.requires_grad], lr=1e-2)
    for _ in range(3):
        ForwardPass(model).total_nll(batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    moved = {name for name, weight in model.named_parameters() if not torch.equal(first[name], weight)}
    assert moved == set(trainable.names)
    inputs = {name: batch.inputs[name] for name in ("input_ids", "attention_mask")}
    model.eval()
    with torch.no_grad():
        tuned = model(**inputs).logits
        save_adapter(tmp_path, trainable, str(folder))
        merged = whole_model(loaded, tuning)
        assert torch.allclose(merged(**inputs).logits, tuned, atol=1e-5)
        if not tuning.parts:  # a head of its own stands beside the adapter, untied where plain PEFT ties it
            plain = PeftModel.from_pretrained(
                AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32), tmp_path
            )
            assert torch.allclose(plain.eval()(**inputs).logits, tuned, atol=1e-5)
    reset(model, trainable)
    assert weights_digest(model) == loaded.digest


@pytest.mark.parametrize("kind", ["prompt_tuning", "prefix_tuning", "p_tuning"])
def test_virtual_tokens_are_refused(tiny: Callable[..., Loaded], kind: str) -> None:
    loaded = tiny("bert")
    with pytest.raises(
        ModelError, match=f"tuning {kind}.*: BertForMaskedLM takes no such adapter: virtual tokens would"
    ):
        apply(loaded.model, read({kind: {"tokens": 3}}))
    assert weights_digest(loaded.model) == loaded.digest
