"""Decoding settings against plain ``generate`` with the same values: in batches, alone, and with the start replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from harness.data.tokenization import Row
from harness.models.apply_tuning import apply, reset
from harness.models.find_blocks import blocks
from harness.models.frozen.replay import Trunk, first_trained
from harness.models.load import Loaded
from harness.study.axes import Tuning
from harness.training.activation_cache.cache import ActivationCache
from harness.training.activation_cache.memory import ActivationMemory
from harness.training.evaluation import Decoding, generate, prompts_of
from harness.training.sampling import row_seed
from tests.support.plain_decoding import decode_plainly

NEW = 10
LENGTHS = (3, 20, 7, 12, 24)
FAMILIES = ("llama", "gpt2", "t5", "bart")
SETTINGS: dict[str, dict[str, Any]] = {
    "repetition_penalty": {"repetition_penalty": 1.7},
    "repetition_encouraged": {"repetition_penalty": 0.6},
    "no_repeat_ngram_size": {"repetition_penalty": 0.6, "no_repeat_ngram_size": 2},
    "min_new_tokens": {"min_new_tokens": 8},
    "beams": {"num_beams": 3},
    "length_penalty": {"num_beams": 3, "length_penalty": -9.0},
    "all_of_beams": {"num_beams": 2, "length_penalty": 3.0, "no_repeat_ngram_size": 2, "repetition_penalty": 1.9},
    "sample": {"sample": True},
    "seed": {"sample": True, "seed": 3},
    "temperature": {"sample": True, "temperature": 0.4},
    "top_p": {"sample": True, "seed": 3, "top_p": 0.5},
    "all_of_sampling": {"sample": True, "temperature": 1.6, "seed": 5}
    | {"repetition_penalty": 1.2, "no_repeat_ngram_size": 3, "min_new_tokens": 4, "top_p": 0.9},
}


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def talkers(tiny: Callable[..., Loaded]) -> Callable[[str], Loaded]:
    """Return ``talkers(family)``: a tiny model whose answers depend on all it reads and end at different lengths."""
    made: dict[str, Loaded] = {}

    def make(family: str) -> Loaded:
        if family not in made:
            loaded = made[family] = tiny(family, tie_word_embeddings=False)
            drawn = torch.Generator().manual_seed(0)
            for parameter in loaded.model.parameters():
                if parameter.ndim > 1:
                    parameter.data.normal_(0, 0.3, generator=drawn)
            said = _plain(loaded, rows()[1], {})
            loaded.model.generation_config.eos_token_id = [loaded.tokenizer.eos_token_id, said[5]]
        return made[family]

    return make


def rows() -> list[Row]:
    drawn = torch.Generator().manual_seed(1)
    ids = [tuple(torch.randint(5, 300, (length,), generator=drawn).tolist()) for length in LENGTHS]
    return [Row(str(at), prompt, (7, 2), False) for at, prompt in enumerate(ids)]


def _plain(loaded: Loaded, row: Row, settings: dict[str, Any]) -> list[int]:
    """Return the ids that ``generate`` makes of one row alone, by its own loop; drawn ones after a seed of torch's."""
    options = {name: value for name, value in settings.items() if name not in ("sample", "seed")}
    model: Any = loaded.model
    own = model.generation_config.eos_token_id
    ends = sorted({*([own] if isinstance(own, int) else own), loaded.tokenizer.eos_token_id})
    options |= {"max_new_tokens": NEW, "eos_token_id": ends, "pad_token_id": loaded.tokenizer.pad_token_id}
    options |= {"do_sample": settings.get("sample", False), "top_k": 0, "forced_eos_token_id": None}
    ids = torch.tensor([row.prompt])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(row_seed(settings.get("seed", 0), row.prompt))
        (output,) = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options)
    said: list[int] = output[1 if loaded.is_encoder_decoder else len(row.prompt) :].tolist()
    ending = [at for at, token in enumerate(said) if token in ends]
    return said[: ending[0] + 1] if ending else said


@pytest.fixture(scope="module")
def expected(talkers: Callable[[str], Loaded]) -> Callable[[str, str], list[str]]:
    """Return ``expected(family, name)``: what plain ``generate`` says to each row alone."""
    made: dict[tuple[str, str], list[str]] = {}

    def make(family: str, name: str) -> list[str]:
        loaded = talkers(family)
        if (family, name) not in made:
            made[family, name] = [_text(loaded, _plain(loaded, row, SETTINGS[name])) for row in rows()]
        return made[family, name]

    return make


def _text(loaded: Loaded, ids: list[int]) -> str:
    spoken = [number for number in ids if number == 2 or loaded.tokenizer.decode([number], skip_special_tokens=True)]
    return decode_plainly(loaded.tokenizer, spoken).strip()


def say(loaded: Loaded, some: list[Row], decoding: Decoding) -> list[str]:
    return generate(loaded, prompts_of(some, loaded, decoding), decoding)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_are_those_of_plain_generate(
    talkers: Callable[[str], Loaded], expected: Callable[[str, str], list[str]], family: str, name: str
) -> None:
    loaded, settings = talkers(family), SETTINGS[name]
    for size in (1, 4):
        assert say(loaded, rows(), Decoding(NEW, batch_size=size, **settings)) == expected(family, name)
    without = dict(list(settings.items())[:-1])
    assert say(loaded, rows(), Decoding(NEW, **without)) != expected(family, name), "the last setting is heard"


@pytest.mark.parametrize("name", [name for name, each in SETTINGS.items() if "num_beams" not in each])
@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
def test_with_the_start_replayed(
    talkers: Callable[[str], Loaded], expected: Callable[[str, str], list[str]], family: str, name: str
) -> None:
    loaded = talkers(family)
    decoding = Decoding(NEW, batch_size=4, **SETTINGS[name])
    batches = prompts_of(rows(), loaded, decoding)
    trainable = apply(loaded.model, Tuning(kind="last_blocks", blocks=1))
    owner = ActivationCache(loaded, ActivationMemory(2**28, None), batch_size=3, precision="fp32", say=print)
    count = len(blocks(loaded.model))
    trunk = owner.open_prefill(("p", "train"), rows(), batches, first_trained(loaded.model), cuts=[count, count - 1])
    assert isinstance(trunk, Trunk), trunk
    assert generate(loaded, batches, decoding, trunk=trunk) == expected(family, name)
    reset(loaded.model, trainable)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_draws_are_a_row_s_own(talkers: Callable[[str], Loaded], family: str) -> None:
    """The same in any order, company and number; others with another seed; torch's own generator is left alone."""
    loaded = talkers(family)
    decoding = Decoding(NEW, sample=True, temperature=1.5, batch_size=3)
    before = torch.random.get_rng_state()
    whole = say(loaded, rows(), decoding)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert say(loaded, rows()[::-1], decoding._replace(batch_size=5)) == whole[::-1]
    assert [say(loaded, [row], decoding)[0] for row in rows()] == whole
    assert say(loaded, rows(), decoding._replace(seed=1)) != whole
    assert len(set(whole)) == len(whole)


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_a_prediction_that_is_drawn_ends_before_a_stop_text(talkers: Callable[[str], Loaded], family: str) -> None:
    loaded = talkers(family)
    decoding = Decoding(NEW, sample=True, temperature=1.5)
    whole = say(loaded, rows(), decoding)
    stop = next(character for text in whole for character in text[2:-2] if character.isalpha())
    assert say(loaded, rows(), decoding._replace(stop=(stop,))) == [text.split(stop)[0].strip() for text in whole]


def test_what_is_drawn_follows_the_probabilities(talkers: Callable[[str], Loaded]) -> None:
    """Over many seeds a first token comes as often as the model says, within four standard errors."""
    loaded = talkers("llama")
    row = rows()[0]
    logits = loaded.model(input_ids=torch.tensor([row.prompt])).logits[0, -1]
    likeliest = int(logits.argmax())
    share = float((logits / 0.5).softmax(dim=-1)[likeliest])
    text = decode_plainly(loaded.tokenizer, [likeliest]).strip()
    draws = 400
    decoding = Decoding(1, sample=True, temperature=0.5)
    said = [say(loaded, [row], decoding._replace(seed=seed))[0] for seed in range(draws)]
    assert 0.02 < share < 0.98
    assert abs(said.count(text) / draws - share) < 4 * (share * (1 - share) / draws) ** 0.5


def test_settings_that_are_left_out_are_no_part_of_a_digest() -> None:
    """What was written before there were more than four stays what it was."""
    plain = Decoding(8, 2, ("x",), 16)
    assert plain.identity() == [8, 2, ("x",), 16]
    assert plain.as_json() == {"max_new_tokens": 8, "num_beams": 2, "stop": ("x",), "batch_size": 16}
    drawn = plain._replace(num_beams=1, sample=True, seed=4)
    assert drawn.identity() == [8, 1, ("x",), 16, {"sample": True, "seed": 4}]
    assert Decoding(**drawn.as_json()) == drawn
