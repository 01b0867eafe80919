"""Sentinels: the answer fills the place that T5's pretraining would ask for, and the next sentinel ends it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from harness.core.errors import TemplateError
from harness.core.example import Example
from harness.data.template import Template
from harness.data.tokenization import Limits, encode
from harness.models.load import Loaded, load
from harness.study.decoding_settings import Decoding
from harness.study.model_config import describe
from harness.study.tokenizer_without_model import light_reader
from harness.testing import tiny_model
from harness.training.batching import prompt_batches
from harness.training.evaluation import generate

CLOZE = Template("cloze", "{{ source }} In short: {{ sentinel }}.")
LIMITS = Limits(100, 20, 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny T5 whose tokenizer has sentinels."""
    folder = tiny_model("t5", tmp_path_factory.mktemp("t5"))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<extra_id_0>", "<extra_id_1>"]})
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def t5(folder: Path) -> Loaded:
    return load(str(folder))


def test_prompt_and_target_are_those_of_pretraining(folder: Path, t5: Loaded) -> None:
    example = Example("1", {"source": "A short note."}, " It moved. ")
    for reader in (t5, light_reader(describe(str(folder)))):
        (row,) = encode([example], CLOZE, reader, limits=LIMITS).rows
        expected = t5.tokenizer("A short note. In short: <extra_id_0>.")["input_ids"]
        assert list(row.prompt) == expected
        told = t5.tokenizer(text_target="<extra_id_0> It moved. <extra_id_1>", add_special_tokens=False)["input_ids"]
        assert [token for token in row.target if token in told] == list(row.target)
        first, second = t5.tokenizer.convert_tokens_to_ids(["<extra_id_0>", "<extra_id_1>"])
        assert (row.target[0], row.target[-1]) == (first, second)
        assert t5.tokenizer.decode(row.target[1:-1]) == "It moved."
    assert CLOZE.names() == {"source"}
    assert CLOZE.ends(t5) == (second,)


def test_the_next_sentinel_ends_an_answer(t5: Loaded) -> None:
    """Greedy answers equal plain ``generate`` with that end token, whose text leaves sentinels out."""
    examples = [Example(str(n), {"source": f"Note {n} is short."}, "x") for n in range(4)]
    rows = encode(examples, CLOZE, t5, limits=LIMITS).rows
    said = generate(t5, prompt_batches(rows, t5, batch_size=2, room=8), Decoding(8), ends=CLOZE.ends(t5))
    ends = [t5.tokenizer.eos_token_id, *CLOZE.ends(t5)]
    for row, text in zip(rows, said, strict=True):
        ids = torch.tensor([row.prompt])
        with torch.no_grad():
            plain = t5.model.generate(input_ids=ids, max_new_tokens=8, num_beams=1, do_sample=False, eos_token_id=ends)
        assert text == t5.tokenizer.decode(plain[0], skip_special_tokens=True).strip()


def test_a_demonstration_is_filled_in() -> None:
    shown = Template("cloze", CLOZE.text, shots=1)
    shot = Example("2", {"source": "Another."}, "It left.")
    assert shown.render({"source": "A note."}, [shot]) == (
        "Another. In short: It left..\n\nA note. In short: <extra_id_0>."
    )


@pytest.mark.parametrize(
    ("family", "why"), [("gpt2", "it is no encoder-decoder"), ("bart", "tokenizer has no <extra_i")]
)
def test_a_model_without_sentinels_is_refused(family: str, why: str, tiny: Callable[..., Loaded]) -> None:
    with pytest.raises(TemplateError, match=f"prompt 'cloze' uses {{{{ sentinel }}}}, which is for T5-type.*{why}"):
        CLOZE.tokenize(Example("1", {"source": "A note."}, "x"), tiny(family), limit=50)
