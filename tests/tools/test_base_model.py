"""The embedded base model: lossless tokens, small, loadable offline, and no stranger to its world."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from tools.world.corpus import corpus
from tools.world.pretrain import BASE_MODEL, CONTEXT, build_tokenizer, pack

ROOT = Path(__file__).parents[2]


def test_the_tokenizer_is_lossless_and_adds_nothing() -> None:
    tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL, local_files_only=True)
    assert tokenizer.convert_tokens_to_ids(["<pad>", "<bos>", "<eos>"]) == [0, 1, 2]
    assert (len(tokenizer), tokenizer.model_max_length) == (4096, CONTEXT)

    @settings(max_examples=200)
    @given(st.text(st.characters(exclude_characters="<>", exclude_categories=["Cs"])))
    def check(text: str) -> None:
        ids = tokenizer(text)["input_ids"]
        assert tokenizer.decode(ids) == text
        assert not set(ids) & {0, 1, 2}

    check()


def test_the_same_texts_give_the_same_tokenizer() -> None:
    documents = [text for _, text in corpus(300)]
    vocabularies = [build_tokenizer(documents).get_vocab() for _ in range(2)]
    assert vocabularies[0] == vocabularies[1]
    assert len(vocabularies[0]) > 1000


def test_packing_loses_no_document() -> None:
    documents = [f"Document {i} is about {'tea ' * (i % 40)}and more." for i in range(200)]
    tokenizer = build_tokenizer(documents)
    rows = pack(documents, tokenizer)
    assert rows.shape[1] == CONTEXT
    pieces = tokenizer.decode(rows.flatten()).split("<eos>")
    assert pieces[0] == "<bos>" + documents[0]
    assert [piece.removeprefix("<bos>") for piece in pieces[:-1]] == documents[: len(pieces) - 1]
    assert len(documents) - len(pieces) < CONTEXT


def test_the_base_model_is_small_and_loads_offline() -> None:
    assert sum(file.stat().st_size for file in BASE_MODEL.iterdir()) <= 8 * 2**20
    model = AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype="auto", local_files_only=True)
    assert model.dtype == torch.bfloat16
    assert model.num_parameters() == 2_516_000
    assert model.config.tie_word_embeddings
    assert model.generation_config.eos_token_id == 2


def test_the_base_model_knows_unseen_documents() -> None:
    tokenizer = AutoTokenizer.from_pretrained(BASE_MODEL, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32, local_files_only=True).eval()
    total = count = 0.0
    for _, text in corpus(40, seed="unseen by the model"):
        ids = torch.tensor([[1, *tokenizer(text)["input_ids"], 2][:CONTEXT]])
        with torch.no_grad():
            total += model(input_ids=ids, labels=ids).loss.item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
    assert total / count < 2.0  # nats a token; a uniform guess has 8.3


@pytest.mark.slow
def test_pretraining_runs_from_nothing(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "tools.world.pretrain",
        "--steps",
        "30",
        "--documents",
        "3000",
        "--out",
        str(tmp_path),
    ]
    subprocess.run(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=ROOT, check=True)
    model = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    assert model.num_parameters() == 2_516_000
    assert "Perplexity" in (tmp_path / "README.md").read_text(encoding="utf-8")
