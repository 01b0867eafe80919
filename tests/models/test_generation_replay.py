"""Generation with its first call replayed, against ``model.generate`` on the whole model: token for token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import GenerationConfig

from harness.data.tokenization import Row
from harness.models.apply_tuning import apply, reset
from harness.models.find_blocks import blocks
from harness.models.frozen.capture import kv_capture_points
from harness.models.frozen.replay import Trunk, first_trained
from harness.models.load import Loaded, load
from harness.study.axes import Tuning
from harness.testing import FAMILIES
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.memory import ActivationMemory
from harness.training.batching import Prompts
from harness.training.decoding import greedy, prefill
from harness.training.evaluation import Decoding, generate, prompts_of
from harness.training.loss import prompt_rows
from tests.support.first_of_kind import first_of_kind

Tiny = Callable[..., Path]

HALVES = ("t5", "bart", "marian")
CAUSAL = tuple(family for family in FAMILIES if family not in HALVES)
TUNINGS = [*(Tuning(kind="last_blocks", blocks=count) for count in (1, 2)), Tuning(kind="head")]
LENGTHS = (3, 40, 17, 9, 33, 24, 8, 21, 2, 12)
"""Of the prompts; Mistral's and Gemma's window is 16."""
NEW = 9
DECODING = Decoding(max_new_tokens=NEW, batch_size=4)


def pretrained(folder: Path) -> Loaded:
    """Return a model whose answers depend on all it reads."""
    loaded = load(str(folder))
    drawn = torch.Generator().manual_seed(0)
    for name, parameter in loaded.model.named_parameters():
        if parameter.ndim > 1 and "embed_positions" not in name:
            parameter.data.normal_(0, 0.3, generator=drawn)
    return loaded


def rows() -> list[Row]:
    drawn = torch.Generator().manual_seed(1)
    ids = [tuple(torch.randint(5, 300, (length,), generator=drawn).tolist()) for length in LENGTHS]
    return [Row(str(at), prompt, (7, 2), False) for at, prompt in enumerate(ids)]


@contextmanager
def counting(modules: Sequence[nn.Module]) -> Iterator[list[str]]:
    calls: list[str] = []
    inside = [each for module in modules for each in module.modules() if each is not module]
    hooks = [each.register_forward_hook(lambda module, *_: calls.append(type(module).__name__)) for each in inside]
    try:
        yield calls
    finally:
        for hook in hooks:
            hook.remove()


def settings(loaded: Loaded) -> GenerationConfig:
    start = loaded.model.config.decoder_start_token_id if loaded.is_encoder_decoder else None
    return GenerationConfig(max_new_tokens=NEW, pad_token_id=0, eos_token_id=2, decoder_start_token_id=start)


def live(loaded: Loaded, batches: Sequence[Prompts]) -> list[list[list[int]]]:
    """Return the ids of transformers' own loop on the whole model."""
    return [loaded.model.generate(**batch.inputs, generation_config=settings(loaded)).tolist() for batch in batches]


def replayed(
    loaded: Loaded, batches: Sequence[Prompts], trunk: Trunk, frozen: Sequence[nn.Module]
) -> list[list[list[int]]]:
    """Return the ids of our loop with the first call replayed; see that nothing frozen runs in it."""
    found = []
    for batch in batches:
        with counting(frozen) as calls:
            ids = spoken(loaded, batch, watched(trunk, batch, calls))
        assert bool(calls) != loaded.is_encoder_decoder, "behind the prefill all blocks run, but no encoder"
        found.append(ids.tolist())
    return found


def spoken(loaded: Loaded, batch: Prompts, first: AbstractContextManager[None]) -> Tensor:
    """Generate as `harness.training.evaluation.generate` does: the encoder is called before the loop."""
    options = {**batch.inputs, "generation_config": settings(loaded), "custom_generate": greedy}
    if not loaded.is_encoder_decoder:
        return loaded.model.generate(**options, prefill=first)
    with first:
        return loaded.model.generate(**options)


@contextmanager
def watched(trunk: Trunk, batch: Prompts, calls: list[str]) -> Iterator[None]:
    with trunk.replaying(prompt_rows(batch, trunk.model.device)):
        yield
    assert calls == []


def opened(loaded: Loaded, batches: Sequence[Prompts]) -> Trunk | str:
    owner = ActivationCache(loaded, ActivationMemory(2**28, None), batch_size=3, precision="fp32", say=print)
    count = len(blocks(loaded.model))
    return owner.open_prefill(
        ("prompt", "train"), rows(), batches, first_trained(loaded.model), cuts=[count, count - 1, count - 2]
    )


def take_steps(loaded: Loaded) -> None:
    """Move what trains, far enough to be heard."""
    model = loaded.model
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=0.1)
    ids = torch.randint(5, 300, (3, 12), generator=torch.Generator().manual_seed(3))
    for _ in range(3):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


@pytest.mark.parametrize("tuning", first_of_kind(TUNINGS), ids=lambda tuning: tuning.name)
@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_ids_before_and_after_training(tiny_folder: Tiny, family: str, tuning: Tuning) -> None:
    loaded = pretrained(tiny_folder(family))
    batches = prompts_of(rows(), loaded, DECODING)
    assert len({batch.inputs["input_ids"].size(1) for batch in batches}) > 2, "mixed lengths"
    trainable = apply(loaded.model, tuning)
    trunk = opened(loaded, batches)
    assert isinstance(trunk, Trunk), trunk
    both = loaded.is_encoder_decoder
    frozen = (
        [loaded.model.get_encoder()]
        if both
        else [b.module for b in blocks(loaded.model)[: first_trained(loaded.model)]]
    )
    loaded.model.eval()
    with torch.no_grad():
        before = live(loaded, batches)
        assert replayed(loaded, batches, trunk, frozen) == before
    take_steps(loaded)
    with torch.no_grad():
        after = live(loaded, batches)
        assert replayed(loaded, batches, trunk, frozen) == after
    assert after != before, "training was heard"
    reset(loaded.model, trainable)
    assert not any("forward" in vars(module) for module in loaded.model.modules())


@pytest.mark.parametrize("family", ["llama", "gemma3", "t5"])
def test_predictions_through_the_front_door(tiny_folder: Tiny, family: str) -> None:
    loaded = pretrained(tiny_folder(family))
    decoding = DECODING._replace(stop=("e",))
    batches = prompts_of(rows(), loaded, decoding)
    trainable = apply(loaded.model, TUNINGS[1])
    trunk = opened(loaded, batches)
    assert isinstance(trunk, Trunk), trunk
    expected = generate(loaded, batches, decoding)
    assert generate(loaded, batches, decoding, trunk=trunk) == expected
    assert len(set(expected)) > 1
    reset(loaded.model, trainable)


@pytest.mark.parametrize("family", ["llama", "opt"])
def test_a_checkpoint_that_asks_for_no_cache(tiny_folder: Tiny, family: str) -> None:
    """As those do that were saved from training; generation keeps keys and values all the same."""
    loaded = pretrained(tiny_folder(family))
    loaded.model.config.use_cache = loaded.model.generation_config.use_cache = False
    batches = prompts_of(rows(), loaded, DECODING)
    apply(loaded.model, TUNINGS[1])
    trunk = opened(loaded, batches)
    expected = generate(loaded, batches, DECODING)
    assert isinstance(trunk, Trunk), trunk
    assert generate(loaded, batches, DECODING, trunk=trunk) == expected


@pytest.mark.parametrize(
    "settings",
    [{"cache_implementation": "static"}, {"num_beams": 3, "do_sample": True}, {"temperature": 0.3, "use_cache": False}],
    ids=str,
)
def test_a_checkpoints_own_settings_change_nothing(tiny_folder: Tiny, settings: dict[str, Any]) -> None:
    loaded = pretrained(tiny_folder("llama"))
    batches = prompts_of(rows(), loaded, DECODING)
    apply(loaded.model, TUNINGS[1])
    expected = generate(loaded, batches, DECODING)
    for name, value in settings.items():
        setattr(loaded.model.generation_config, name, value)
    trunk = opened(loaded, batches)
    assert isinstance(trunk, Trunk), trunk
    assert generate(loaded, batches, DECODING, trunk=trunk) == expected


@pytest.mark.parametrize("family", HALVES)
def test_an_encoder_that_trains_runs(tiny_folder: Tiny, family: str) -> None:
    loaded = pretrained(tiny_folder(family))
    apply(loaded.model, Tuning(kind="last_blocks", blocks=4))
    assert opened(loaded, prompts_of(rows(), loaded, DECODING)) == "a part of the encoder trains"


@pytest.mark.parametrize("family", FAMILIES)
def test_recording_and_replay_leave_the_model_whole(tiny_folder: Tiny, family: str) -> None:
    loaded = pretrained(tiny_folder(family))
    batches = prompts_of(rows(), loaded, DECODING)
    apply(loaded.model, TUNINGS[0])
    modes = [module.training for module in loaded.model.modules()]
    trunk = opened(loaded, batches)
    assert isinstance(trunk, Trunk)
    each = prompt_rows(batches[0], loaded.model.device)
    with pytest.raises(ZeroDivisionError), trunk.replaying(each):
        raise ZeroDivisionError
    with pytest.raises(KeyError), trunk.replaying(each._replace(indices=(99,) * len(each.indices))):
        pass
    assert [module.training for module in loaded.model.modules()] == modes
    for module in loaded.model.modules():
        assert "forward" not in vars(module)
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


@pytest.mark.parametrize("family", CAUSAL)
def test_the_first_calls_logits_are_the_same_in_other_company(tiny_folder: Tiny, family: str) -> None:
    """Rows of a bucket, recorded in batches of four, are asked for in others."""
    loaded = pretrained(tiny_folder(family))
    batches = prompts_of(rows(), loaded, DECODING)
    for tuning in TUNINGS:
        trainable = apply(loaded.model, tuning)
        trunk = opened(loaded, batches)
        assert isinstance(trunk, Trunk), trunk
        loaded.model.eval()
        for batch in prompts_of(rows(), loaded, DECODING._replace(batch_size=3)):
            with torch.no_grad():
                expected = prefill(loaded.model, batch.inputs)
                found = prefill(loaded.model, batch.inputs, trunk.replaying(prompt_rows(batch, loaded.model.device)))
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))
        reset(loaded.model, trainable)


def test_a_cache_holds_what_it_would(tiny_folder: Tiny) -> None:
    """Keys and values of a sliding window too, of which the cache keeps the end."""
    loaded = pretrained(tiny_folder("gemma3"))
    batch = max(prompts_of(rows(), loaded, DECODING), key=lambda each: each.inputs["input_ids"].size(1))
    trainable = apply(loaded.model, TUNINGS[1])
    trunk = opened(loaded, prompts_of(rows(), loaded, DECODING))
    assert isinstance(trunk, Trunk), trunk
    loaded.model.eval()

    def caches(replay: AbstractContextManager[None] | None = None) -> list[Tensor]:
        found: list[Any] = []
        hook = loaded.model.register_forward_hook(lambda module, args, output: found.append(output.past_key_values))
        with torch.no_grad():
            prefill(loaded.model, batch.inputs, replay)
        hook.remove()
        return [each for layer in found[0].layers for each in (layer.keys, layer.values)]

    expected = caches()
    found = caches(trunk.replaying(prompt_rows(batch, loaded.model.device)))
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert expected[0].size(2) < batch.inputs["input_ids"].size(1), "the prompt is longer than the window"
    reset(loaded.model, trainable)


def test_no_places_are_given_where_an_encoder_trains(tiny_folder: Tiny) -> None:
    model = load(str(tiny_folder("t5"))).model
    assert [len(kv_capture_points(model, cut)) for cut in (1, 2, 3, 4, 5)] == [0, 0, 1, 1, 1]
