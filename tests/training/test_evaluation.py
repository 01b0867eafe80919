"""Likelihoods and predictions against plain transformers, one row at a time and without padding."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from harness.core.errors import MetricError
from harness.core.example import Example, Prediction
from harness.data.template import Template
from harness.data.tokenization import Limits, Row, encode
from harness.metrics.base import Metric
from harness.models.content_digests import generation_digest
from harness.models.load import Loaded
from harness.training.batching import loss_batches, prompt_batches
from harness.training.evaluation import Decoding, generate, likelihoods, mean_loss, predict, score
from harness.training.loss import ForwardPass
from tests.support.plain_decoding import decode_plainly

FAMILIES = ("llama", "gpt2", "opt", "bloom", "t5", "bart", "marian")
NEW = 12
WORDS = ["a", "short", "note", "about", "the", "meeting", "it", "moved", "to", "Tuesday", "and", "room", "is", "booked"]
EXAMPLES = [
    Example(str(i), {"source": " ".join(WORDS[i % 5 : 5 + i * 2 % 11])}, " ".join(WORDS[i % 7 : i % 7 + 1 + i % 3]))
    for i in range(11)
]


def rows_for(loaded: Loaded) -> list[Row]:
    template = Template("t", "Read {{ source }}.\nSummary:", shorten="source")
    return encode(EXAMPLES, template, loaded, limits=Limits(60, 20, NEW)).rows


def talkative(tiny: Callable[..., Loaded], family: str, **options: Any) -> Loaded:
    """Return a tiny model whose answers depend on the prompt; with a tied head it would repeat its own input."""
    loaded = tiny(family, tie_word_embeddings=False, **options)
    generator = torch.Generator().manual_seed(0)
    for parameter in loaded.model.parameters():
        if parameter.ndim > 1:
            parameter.normal_(0, 0.3, generator=generator)
    return loaded


def nll_of(loaded: Loaded, row: Row) -> float:
    """Return a row's likelihood from one unpadded forward pass, token by token."""
    if loaded.is_encoder_decoder:
        decoder = [loaded.model.config.decoder_start_token_id, *row.target[:-1]]
        inputs = {"input_ids": torch.tensor([row.prompt]), "decoder_input_ids": torch.tensor([decoder])}
        logits = loaded.model(**inputs).logits[0]
    else:
        logits = loaded.model(input_ids=torch.tensor([row.prompt + row.target])).logits[0, len(row.prompt) - 1 : -1]
    logarithms = logits.double().log_softmax(dim=-1)
    return -sum(logarithms[i, token].item() for i, token in enumerate(row.target))


def greedy(loaded: Loaded, row: Row, tokens: int = NEW) -> list[int]:
    """Return what repeated forward passes over the whole sequence choose: no padding, no cache, no ``generate``."""
    said: list[int] = []
    while len(said) < tokens and said[-1:] != [loaded.tokenizer.eos_token_id]:
        if loaded.is_encoder_decoder:
            decoder = [loaded.model.config.decoder_start_token_id, *said]
            inputs = {"input_ids": torch.tensor([row.prompt]), "decoder_input_ids": torch.tensor([decoder])}
        else:
            inputs = {"input_ids": torch.tensor([[*row.prompt, *said]])}
        said.append(int(loaded.model(**inputs).logits[0, -1].argmax()))
    return said


def decoded(loaded: Loaded, ids: list[int]) -> str:
    return decode_plainly(loaded.tokenizer, ids)


def say(loaded: Loaded, rows: list[Row], decoding: Decoding) -> list[str]:
    prompts = prompt_batches(rows, loaded, batch_size=decoding.batch_size, room=decoding.max_new_tokens)
    return generate(loaded, prompts, decoding)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.mark.parametrize("family", FAMILIES)
def test_likelihoods_are_those_of_single_rows(tiny: Callable[..., Loaded], family: str) -> None:
    loaded = tiny(family)
    rows = rows_for(loaded)
    loaded.model.train()
    found = likelihoods(ForwardPass(loaded.model), loss_batches(rows, loaded, batch_size=4))
    assert not loaded.model.training
    assert [row.tokens for row in found] == [len(row.target) for row in rows]
    assert [row.nll for row in found] == pytest.approx([nll_of(loaded, row) for row in rows], rel=1e-5)
    assert mean_loss(found) == pytest.approx(sum(r.nll for r in found) / sum(len(r.target) for r in rows))


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_companions_do_not_change_a_rows_likelihood(tiny: Callable[..., Loaded], family: str) -> None:
    """Equal up to the last bits: kernels may sum in another order for another number of rows."""
    loaded = tiny(family)
    rows = rows_for(loaded)
    together = likelihoods(ForwardPass(loaded.model), loss_batches(rows, loaded, batch_size=8))
    alone = [likelihoods(ForwardPass(loaded.model), loss_batches([row], loaded, batch_size=8))[0] for row in rows]
    assert [row.nll for row in together] == pytest.approx([row.nll for row in alone], rel=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_predictions_are_those_of_plain_greedy_decoding(tiny: Callable[..., Loaded], family: str) -> None:
    loaded = talkative(tiny, family)
    rows = rows_for(loaded)
    assert loaded.model.generation_config.bad_words_ids is None
    expected = [decoded(loaded, greedy(loaded, row)).strip() for row in rows]
    assert say(loaded, rows, Decoding(NEW, batch_size=4)) == expected
    assert len(set(expected)) > 1


@pytest.mark.parametrize("family", ["gpt2", "bart"])
def test_beams_are_those_of_single_prompts(tiny: Callable[..., Loaded], family: str) -> None:
    loaded = talkative(tiny, family)
    rows = rows_for(loaded)
    expected = []
    for row in rows:
        ids = torch.tensor([row.prompt])
        options = {"num_beams": 3, "do_sample": False, "max_new_tokens": NEW, "forced_eos_token_id": None}
        model: Any = loaded.model
        (output,) = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), pad_token_id=loaded.tokenizer.pad_token_id, **options
        )
        expected.append(decoded(loaded, output[0 if loaded.is_encoder_decoder else len(row.prompt) :].tolist()).strip())
    found = say(loaded, rows, Decoding(NEW, num_beams=3, batch_size=4))
    assert found == expected
    assert found != say(loaded, rows, Decoding(NEW))


def test_published_generation_settings_do_not_leak(tiny: Callable[..., Loaded]) -> None:
    loaded = talkative(tiny, "bart")
    rows = rows_for(loaded)
    plain = say(loaded, rows, Decoding(NEW))
    settings = loaded.model.generation_config
    settings.update(do_sample=True, temperature=9.0, min_length=9, no_repeat_ngram_size=2, num_beams=2)
    settings.update(forced_eos_token_id=2, max_length=5, repetition_penalty=9.0, eos_token_id=[3])
    before = settings.to_dict()
    assert say(loaded, rows, Decoding(NEW)) == plain
    assert loaded.model.generation_config is settings
    assert settings.to_dict() == before


BANS: dict[str, Callable[[list[int]], object]] = {
    "bad_words_ids": lambda tokens: [[token] for token in tokens],
    "suppress_tokens": lambda tokens: tokens,
    "begin_suppress_tokens": lambda tokens: tokens,
    "sequence_bias": lambda tokens: [[[token], -1e4] for token in tokens],
}


@pytest.mark.parametrize("ban", BANS)
@pytest.mark.parametrize("family", ["marian", "gpt2"])
def test_banned_tokens_are_not_said(tiny: Callable[..., Loaded], family: str, ban: str) -> None:
    """As ``generate`` itself has it, one row at a time."""
    loaded = talkative(tiny, family)
    rows = rows_for(loaded)[:3]
    usual = generation_digest(loaded.model)
    setattr(loaded.model.generation_config, ban, BANS[ban]([greedy(loaded, row, 1)[0] for row in rows]))
    assert generation_digest(loaded.model) != usual
    model: Any = loaded.model
    for row, said in zip(rows, say(loaded, rows, Decoding(NEW)), strict=True):
        ids = torch.tensor([row.prompt])
        options = {"max_new_tokens": NEW, "pad_token_id": loaded.tokenizer.pad_token_id}
        (output,) = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options)
        expected = output[1 if loaded.is_encoder_decoder else len(row.prompt) :].tolist()
        assert said == decoded(loaded, expected).strip()
        assert expected[0] not in {greedy(loaded, other, 1)[0] for other in rows}


def test_a_forced_start_stays(tiny: Callable[..., Loaded]) -> None:
    loaded = talkative(tiny, "marian")
    loaded.model.generation_config.forced_bos_token_id = 300
    assert say(loaded, rows_for(loaded)[:3], Decoding(1)) == [decoded(loaded, [300]).strip()] * 3


@pytest.mark.parametrize("tokenizer", ["byte-level", "sentencepiece-style"])
@pytest.mark.parametrize("family", ["llama", "t5"])
@pytest.mark.parametrize("beams", [1, 2])
def test_a_prediction_ends_before_a_stop_text(
    tiny: Callable[..., Loaded], family: str, tokenizer: str, beams: int
) -> None:
    loaded = talkative(tiny, family, tokenizer=tokenizer)
    rows = rows_for(loaded)
    whole = say(loaded, rows, Decoding(NEW, beams))
    pairs = re.findall("[A-Za-z]{2}", "\n".join(whole))
    stop = (pairs[1], pairs[-1], "never said")
    found = say(loaded, rows, Decoding(NEW, beams, stop))
    if beams == 1:
        assert found == [min((text.split(each)[0] for each in stop), key=len).strip() for text in whole]
    assert not any(each in text for each in stop for text in found)
    assert found != whole


def test_the_prompt_is_no_part_of_a_stop_text(tiny: Callable[..., Loaded]) -> None:
    loaded = talkative(tiny, "llama")
    rows = encode(EXAMPLES, Template("t", "{{ source }}\n\nX"), loaded, limits=Limits(60, 20, NEW)).rows
    assert say(loaded, rows, Decoding(NEW, stop=("\n\nX", "X"))) == say(loaded, rows, Decoding(NEW))


def test_generation_ends_when_every_row_has_and_may_say_nothing(tiny: Callable[..., Loaded]) -> None:
    loaded = talkative(tiny, "llama")
    rows = rows_for(loaded)[:1]
    (whole,) = say(loaded, rows, Decoding(NEW))
    start = decoded(loaded, greedy(loaded, rows[0], 1))
    passes: list[object] = []
    handle = loaded.model.register_forward_hook(lambda *_: passes.append(None))
    assert say(loaded, rows, Decoding(NEW, stop=(start,))) == [""]
    assert len(passes) == 1
    assert say(loaded, rows, Decoding(NEW, stop=("never said",))) == [whole]
    assert len(passes) == 1 + NEW
    handle.remove()


def recite(loaded: Loaded, script: list[int]) -> list[int]:
    """Make a model say one token after the other, whatever it reads; return the list of those asked for so far."""
    said: list[int] = []

    def overwrite(module: object, args: object, output: Any) -> None:
        said.append(script[len(said)])
        output.logits[:, -1, said[-1]] = 1e9

    loaded.model.register_forward_hook(overwrite)
    return said


@pytest.mark.parametrize("tokenizer", ["byte-level", "sentencepiece-style"])
@pytest.mark.parametrize(("stop", "before"), [("好吗", "说你 "), (" 吗", "说你 好吗"), ("吗", "说你 好")])
def test_a_stop_text_made_of_single_bytes_ends_generation_at_its_last(
    tiny: Callable[..., Loaded], tokenizer: str, stop: str, before: str
) -> None:
    loaded = tiny("llama", tokenizer=tokenizer)
    script = loaded.tokenizer("说你 好吗 吗 nothing more", add_special_tokens=False)["input_ids"]
    needed = loaded.tokenizer(before + stop, add_special_tokens=False)["input_ids"]
    assert len(needed) >= len((before + stop).encode()), "every byte is a token"
    said = recite(loaded, script)
    assert say(loaded, rows_for(loaded)[:1], Decoding(30, stop=(stop,))) == [before.strip()]
    assert said == needed


def test_predict_composes_and_score_reduces(tiny: Callable[..., Loaded]) -> None:
    loaded = tiny("t5")
    rows = rows_for(loaded)
    nlls = likelihoods(ForwardPass(loaded.model), loss_batches(rows, loaded, batch_size=3))
    predictions = predict(loaded, rows, nlls, decoding=Decoding(NEW))
    texts = say(loaded, rows, Decoding(NEW))
    assert predictions == [Prediction(e.id, t, s.nll, s.tokens) for e, t, s in zip(EXAMPLES, texts, nlls, strict=True)]
    length = Metric("length", True, lambda p, e: len(p.text) + len(e.target), max, lambda: "length")
    assert score(predictions, EXAMPLES, [length]) == {
        "loss": mean_loss(predictions),
        "length": max(len(t) + len(e.target) for t, e in zip(texts, EXAMPLES, strict=True)),
    }
    with pytest.raises(MetricError, match="same ids in the same order"):
        score(predictions, EXAMPLES[::-1], [length])


@pytest.mark.parametrize("name", ["stories260K", "mix-llama-5m", "mix-t5-6m"])
def test_real_models_say_and_expect_the_same_in_batches(pretrained: Callable[[str], Loaded], name: str) -> None:
    loaded = pretrained(name)
    rows = rows_for(loaded)[:6]
    assert say(loaded, rows, Decoding(NEW)) == [decoded(loaded, greedy(loaded, row)).strip() for row in rows]
    found = likelihoods(ForwardPass(loaded.model), loss_batches(rows, loaded, batch_size=4))
    assert [row.nll for row in found] == pytest.approx([nll_of(loaded, row) for row in rows], rel=1e-5)
