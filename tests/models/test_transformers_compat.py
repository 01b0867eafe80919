"""The private parts of transformers that are used: that they are there, and what happens where they are not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import GenerationConfig

from harness.core.example import Example
from harness.data.template import Template
from harness.data.tokenization import Limits, encode
from harness.models import transformers_compat
from harness.models.find_blocks import blocks
from harness.models.frozen.capture import kv_capture_points
from harness.models.load import Loaded
from harness.models.transformers_compat import attention_implementation, has_generation_steps, pad_token
from harness.training.batching import loss_batches
from harness.training.decoding import greedy, greedy_options
from harness.training.evaluation import Decoding, likelihoods, predict
from harness.training.loss import ForwardPass

EXAMPLES = [Example(str(size), {"source": "a note " * size}, "note") for size in (1, 3, 2, 6)]


def without_steps(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(transformers_compat, "GENERATION_STEPS", ("of_another_version",))


def test_this_version_has_what_our_loop_stands_on() -> None:
    assert has_generation_steps()
    assert greedy_options()["custom_generate"] is greedy


def test_a_version_without_is_told_by_its_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    without_steps(monkeypatch)
    assert not has_generation_steps()
    assert greedy_options() == {}


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_plain_generate_says_the_same(
    tiny: Callable[..., Loaded], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = tiny(family, tie_word_embeddings=False)
    generator = torch.Generator().manual_seed(0)
    for parameter in loaded.model.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    rows = encode(EXAMPLES, Template("t", "Read {{ source }}:"), loaded, limits=Limits(60, 20, 8)).rows
    nlls = likelihoods(ForwardPass(loaded.model), loss_batches(rows, loaded, batch_size=4))
    own = predict(loaded, rows, nlls, decoding=Decoding(8, batch_size=2))
    without_steps(monkeypatch)
    assert predict(loaded, rows, nlls, decoding=Decoding(8, batch_size=2)) == own
    assert len({prediction.text for prediction in own}) > 1


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_without_the_steps_no_start_of_generation_is_replayed(
    tiny: Callable[..., Loaded], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny(family).model
    cut = len(blocks(model))
    assert kv_capture_points(model, cut)
    without_steps(monkeypatch)
    assert kv_capture_points(model, cut) == []


def test_attention_s_name_is_read_and_may_be_missing(tiny: Callable[..., Loaded]) -> None:
    assert attention_implementation(tiny("llama").model.config) == "sdpa"
    assert attention_implementation(object()) is None


def test_a_generation_that_has_begun_knows_its_padding(tiny: Callable[..., Loaded]) -> None:
    model = tiny("llama").model
    seen: list[int] = []

    def loop(model: object, input_ids: torch.Tensor, generation_config: GenerationConfig, **_: object) -> torch.Tensor:
        seen.append(int(pad_token(generation_config)))
        return input_ids

    model.generate(torch.ones(1, 2, dtype=torch.long), custom_generate=loop, pad_token_id=7, max_new_tokens=1)
    assert seen == [7]
