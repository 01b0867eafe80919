"""The tiny models that task authors test with."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer

from harness.models.load import load
from harness.testing import FAMILIES, tiny_model

TEXT = "Zwei Schlüssel, 東京 & 3 boxes.\nTL;DR:  the   train"


def test_a_seed_decides_the_weights_and_nothing_else_moves(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    folders = [tiny_model("gpt2", tmp_path / name, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert torch.equal(torch.random.get_rng_state(), before)
    first, again, other = (load(str(folder)).digest for folder in folders)
    assert first == again != other
    assert len({(folder / "tokenizer.json").read_bytes() for folder in folders}) == 1


@pytest.mark.parametrize("style", ["byte-level", "sentencepiece-style"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_tokenizer_gives_any_text_back(tmp_path: Path, family: str, style: str) -> None:
    folder = tiny_model(family, tmp_path, tokenizer=style)  # type: ignore[arg-type]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(TEXT).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == TEXT
    assert tokenizer.unk_token_id not in ids
    around = [tokenizer.convert_ids_to_tokens(end) for end in (ids[0], ids[-1])]
    starts = {"llama": "<s>", "mistral": "<s>", "gemma3": "<s>", "bart": "<s>", "opt": "</s>"}
    assert (around[0] in {"<s>", "</s>"}) == (family in starts)
    assert around[0] == starts.get(family, around[0])
    assert (around[1] == "</s>") == (family in {"t5", "bart", "marian"})


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_generates(tmp_path: Path, family: str) -> None:
    loaded = load(str(tiny_model(family, tmp_path)))
    ids = torch.tensor([loaded.tokenizer("A short note").input_ids])
    out = loaded.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=4, do_sample=False, pad_token_id=0
    )
    assert out.shape[1] > (1 if loaded.is_encoder_decoder else ids.shape[1])


def test_configurations_can_be_overridden(tmp_path: Path) -> None:
    model = load(str(tiny_model("llama", tmp_path, num_hidden_layers=5, tie_word_embeddings=True))).model
    assert model.config.num_hidden_layers == 5
    assert model.lm_head.weight is model.model.embed_tokens.weight


def test_an_unknown_family(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown family 'zork'; known: gpt2, llama"):
        tiny_model("zork", tmp_path)
