"""Our greedy loop against transformers' own: every id of every row, where rows end at different times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    DynamicCache,
    GenerationConfig,
    Lfm2Config,
    MambaConfig,
    StoppingCriteriaList,
    StopStringCriteria,
)

from harness.models.load import Loaded
from harness.testing import FAMILIES
from harness.training.decoding import greedy

HALVES = ("t5", "bart", "marian")
LENGTHS = (3, 20, 7, 12, 24, 1)
NEW = 12
PAD = 0


class Spoken(NamedTuple):
    """What a run of `generate` returned, and what it asked of the model."""

    ids: Tensor
    calls: list[tuple[int, int]]
    """Shape (rows, tokens) of the ids in each call."""


def randomized(model: Any) -> Any:
    """Return a model whose answers depend on all it reads."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.3, generator=generator)
    return model.eval()


@pytest.fixture(scope="module")
def talkers(tiny: Callable[..., Loaded]) -> Callable[[str], Loaded]:
    """Return ``talkers(family)``: a tiny model that is not to be changed."""
    made: dict[str, Loaded] = {}

    def make(family: str) -> Loaded:
        if family not in made:
            made[family] = tiny(family, tie_word_embeddings=False)
            randomized(made[family].model)
        return made[family]

    return make


def prompts(*, left: bool, lengths: tuple[int, ...] = LENGTHS) -> dict[str, Tensor]:
    ids = torch.randint(5, 300, (len(lengths), max(lengths)), generator=torch.Generator().manual_seed(1))
    places = torch.arange(max(lengths)).expand_as(ids)
    mask = (places.flip(1) if left else places) < torch.tensor(lengths)[:, None]
    return {"input_ids": ids.masked_fill(~mask, PAD), "attention_mask": mask.long()}


def prompts_for(loaded: Loaded) -> dict[str, Tensor]:
    return prompts(left=not loaded.is_encoder_decoder)


def say(model: Any, inputs: dict[str, Tensor], *, stop: Any = (), loop: Any = None, **options: Any) -> Spoken:
    """Generate with transformers' loop, or with ours; nothing of the model's own settings holds."""
    start = model.config.decoder_start_token_id if model.config.is_encoder_decoder else None
    chosen = {"eos_token_id": None, "max_new_tokens": NEW, **options}
    cache = chosen.pop("past_key_values", None)
    calls: list[tuple[int, int]] = []

    def note(module: object, args: object, kwargs: dict[str, Any]) -> None:
        ids = kwargs["decoder_input_ids" if model.config.is_encoder_decoder else "input_ids"]
        calls.append(tuple(kwargs["inputs_embeds"].shape[:2] if ids is None else ids.shape))

    published, model.generation_config = model.generation_config, GenerationConfig()
    hook = model.register_forward_pre_hook(note, with_kwargs=True)
    try:
        ids = model.generate(
            **inputs,
            **({} if cache is None else {"past_key_values": cache}),
            generation_config=GenerationConfig(pad_token_id=PAD, decoder_start_token_id=start, **chosen),
            stopping_criteria=StoppingCriteriaList(stop),
            custom_generate=loop,
        )
    finally:
        hook.remove()
        model.generation_config = published
    return Spoken(ids, calls)


def same(model: Any, inputs: dict[str, Tensor], **options: Any) -> Spoken:
    """Generate with both loops; they must agree."""
    expected = say(model, inputs, **options)
    found = say(model, inputs, loop=greedy, **options)
    assert found.ids.tolist() == expected.ids.tolist()
    assert len(found.calls) == len(expected.calls)
    assert [tokens for _, tokens in found.calls] == [tokens for _, tokens in expected.calls]
    return found


def some_ends(model: Any, inputs: dict[str, Tensor], **options: Any) -> list[int]:
    """Return tokens that end some rows early."""
    said = say(model, inputs, **options).ids[:, -NEW:]
    return sorted({int(said[row, step]) for row, step in [(0, 2), (1, 5), (2, 5), (3, 8)]})


class Ends:
    """A stopping criterion: each row, known by what it started with, ends after its own number of tokens."""

    def __init__(self, start: Tensor, after: list[int]) -> None:
        self._length = start.shape[1]
        self._after = {tuple(row): steps for row, steps in zip(start.tolist(), after, strict=True)}

    def __call__(self, input_ids: Tensor, scores: object, **kwargs: object) -> Tensor:
        said = input_ids.shape[1] - self._length
        return torch.tensor([said >= self._after[tuple(row)] for row in input_ids[:, : self._length].tolist()])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_says_the_same(talkers: Callable[[str], Loaded], family: str) -> None:
    loaded = talkers(family)
    inputs = prompts_for(loaded)
    found = same(loaded.model, inputs, eos_token_id=some_ends(loaded.model, inputs))
    rows = [rows for rows, _ in found.calls]
    assert rows == sorted(rows, reverse=True)
    assert len(set(rows)) > 2, "rows left at different times"
    assert len({tuple(row) for row in found.ids[:, -NEW:].tolist()}) > 2, "rows differ"


@pytest.mark.parametrize("family", ["llama", "gemma3", "bart"])
def test_all_rows_run_to_the_last_token(talkers: Callable[[str], Loaded], family: str) -> None:
    loaded = talkers(family)
    found = same(loaded.model, prompts_for(loaded), eos_token_id=511, max_new_tokens=40)
    assert [rows for rows, _ in found.calls] == [len(LENGTHS)] * 40


@pytest.mark.parametrize("family", ["llama", "opt"])
@pytest.mark.parametrize("lengths", [(9, 9, 9), (9,)])
def test_prompts_without_padding(talkers: Callable[[str], Loaded], family: str, lengths: tuple[int, ...]) -> None:
    loaded = talkers(family)
    inputs = prompts(left=True, lengths=lengths)
    said = say(loaded.model, inputs).ids[:, -NEW:]
    same(loaded.model, inputs, eos_token_id=[int(said[0, 3]), int(said[-1, 6])])


@settings(max_examples=15, deadline=None)
@given(family=st.sampled_from(["llama", "mistral", "bloom", "gpt2"]), data=st.data())
def test_rows_may_end_whenever_they_like(talkers: Callable[[str], Loaded], family: str, data: st.DataObject) -> None:
    loaded = talkers(family)
    inputs = prompts_for(loaded)
    after = data.draw(st.lists(st.integers(1, NEW), min_size=len(LENGTHS), max_size=len(LENGTHS)))
    found = same(loaded.model, inputs, eos_token_id=511, stop=[Ends(inputs["input_ids"], after)])
    early = (found.ids[:, -max(after) :] != PAD).sum(dim=1)
    assert early.tolist() == after
    assert [rows for rows, _ in found.calls] == [sum(steps > step for steps in after) for step in range(max(after))]


def test_without_an_end_token_finished_rows_talk_on(talkers: Callable[[str], Loaded]) -> None:
    loaded = talkers("llama")
    inputs = prompts_for(loaded)
    found = same(loaded.model, inputs, stop=[Ends(inputs["input_ids"], [1, 2, 3, 4, 5, 6])])
    assert [rows for rows, _ in found.calls] == [len(LENGTHS)] * 6
    assert (found.ids[:, -6:] != PAD).all()


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_stop_texts(talkers: Callable[[str], Loaded], family: str) -> None:
    loaded = talkers(family)
    inputs = prompts_for(loaded)
    said = loaded.tokenizer.batch_decode(say(loaded.model, inputs).ids[:, -NEW:])
    stop = StopStringCriteria(loaded.tokenizer, [said[0][5:8], said[1][9:12], said[2][-4:]])
    found = same(loaded.model, inputs, eos_token_id=2, stop=[stop])
    assert len({rows for rows, _ in found.calls}) > 1


@pytest.mark.parametrize("family", HALVES)
def test_banned_and_forced_tokens(talkers: Callable[[str], Loaded], family: str) -> None:
    loaded = talkers(family)
    inputs = prompts_for(loaded)
    said = say(loaded.model, inputs).ids
    banned = sorted({int(token) for token in said[:, 1:4].flatten()})
    changes = {"bad_words_ids": [[each] for each in banned], "forced_bos_token_id": 300, "forced_eos_token_id": 301}
    ends = some_ends(loaded.model, inputs, **changes)
    found = same(loaded.model, inputs, eos_token_id=ends, **changes)
    assert (found.ids[:, 1] == 300).all()
    assert not torch.isin(found.ids[:, 2:], torch.tensor(banned)).any()


@pytest.mark.parametrize("options", [{"use_cache": False}, {"cache_implementation": "static"}], ids=str)
def test_other_caches_are_left_alone(talkers: Callable[[str], Loaded], options: dict[str, Any]) -> None:
    loaded = talkers("llama")
    inputs = prompts_for(loaded)
    found = same(loaded.model, inputs, eos_token_id=some_ends(loaded.model, inputs), **options)
    assert {rows for rows, _ in found.calls} == {len(LENGTHS)}


def test_arguments_of_another_shape_keep_all_rows(talkers: Callable[[str], Loaded]) -> None:
    loaded = talkers("llama")
    inputs = prompts(left=True)
    inputs["inputs_embeds"] = loaded.model.get_input_embeddings()(inputs.pop("input_ids")).detach()
    found = same(loaded.model, inputs, eos_token_id=some_ends(loaded.model, inputs))
    assert {rows for rows, _ in found.calls} == {len(LENGTHS)}


SIZES = {"vocab_size": 320, "hidden_size": 32, "num_hidden_layers": 3}
RECURRENT = {
    "mamba": MambaConfig(**SIZES, state_size=4),
    "lfm2": Lfm2Config(
        **SIZES,
        intermediate_size=48,
        num_attention_heads=4,
        num_key_value_heads=2,
        layer_types=["conv", "full_attention", "conv"],
    ),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_models_with_states_of_another_kind(name: str) -> None:
    model = randomized(AutoModelForCausalLM.from_config(RECURRENT[name], dtype=torch.float32))
    inputs = prompts(left=True)
    found = same(model, inputs, eos_token_id=some_ends(model, inputs))
    assert {rows for rows, _ in found.calls} == {len(LENGTHS)}


@pytest.mark.parametrize("chunk", [None, 10])
def test_the_prefill_is_surrounded_and_nothing_else(talkers: Callable[[str], Loaded], chunk: int | None) -> None:
    model: Any = talkers("llama").model
    inputs = prompts(left=True)
    inside: list[bool] = []
    entered: list[str] = []

    @contextmanager
    def watched() -> Iterator[None]:
        entered.append("in")
        yield
        entered.append("out")

    hook = model.register_forward_pre_hook(lambda *_: inside.append(entered == ["in"]))
    options = {"max_new_tokens": 5, "prefill_chunk_size": chunk, "pad_token_id": PAD, "eos_token_id": 511}
    model.generate(**inputs, custom_generate=greedy, prefill=watched(), **options)
    hook.remove()
    calls = 1 if chunk is None else -(-max(LENGTHS) // chunk)
    assert inside == [True] * calls + [False] * 4
    assert entered == ["in", "out"]


@pytest.mark.parametrize("family", [family for family in FAMILIES if family not in HALVES])
def test_the_head_sees_the_last_position_alone(talkers: Callable[[str], Loaded], family: str) -> None:
    model: Any = talkers(family).model
    seen: list[torch.Size] = []
    hook = model.get_output_embeddings().register_forward_pre_hook(lambda _, args: seen.append(args[0].shape[:2]))
    say(model, prompts(left=True), loop=greedy)
    hook.remove()
    assert seen == [(len(LENGTHS), 1)] * NEW


@pytest.mark.parametrize("family", ["llama", "t5", "bart"])
def test_keys_and_values_are_not_copied_for_every_token(talkers: Callable[[str], Loaded], family: str) -> None:
    loaded = talkers(family)
    addresses: list[int] = []

    def note(module: object, args: object, output: Any) -> None:
        cache = output.past_key_values
        layers = (cache.self_attention_cache if loaded.is_encoder_decoder else cache).layers
        addresses.append(layers[0].keys.data_ptr())

    hook = loaded.model.register_forward_hook(note)
    say(loaded.model, prompts_for(loaded), loop=greedy)
    hook.remove()
    assert len(addresses) == NEW
    assert len(set(addresses)) == 2, "once by the prefill, once with room"


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_cache_that_went_through_our_loop_is_still_a_cache(
    talkers: Callable[[str], Loaded], data: st.DataObject
) -> None:
    """Whatever rows leave and tokens come next, it holds what transformers' own holds."""
    model: Any = talkers("llama").model
    theirs, ours = caches = DynamicCache(config=model.config), DynamicCache(config=model.config)
    for cache, loop in zip(caches, (None, greedy), strict=True):
        say(model, prompts(left=True), past_key_values=cache, max_new_tokens=4, loop=loop)
    for _ in range(5):
        rows, heads, _, width = ours.layers[0].keys.shape
        chosen = data.draw(st.lists(st.integers(0, rows - 1), min_size=1, max_size=rows))
        for cache in caches:
            cache.batch_select_indices(torch.tensor(chosen))
        new = torch.randn(2, len(chosen), heads, data.draw(st.sampled_from([1, 2, 40])), width)
        for cache in caches:
            for layer in range(len(cache)):
                cache.update(*new, layer)
        for one, other in zip(theirs.layers, ours.layers, strict=True):
            assert torch.equal(one.keys, other.keys)
            assert torch.equal(one.values, other.values)
