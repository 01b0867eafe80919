"""What the golden studies run on: tiny random models and rows, the same whichever tree of the harness runs them.

Nothing of the harness is imported here.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    GPT2Config,
    PreTrainedTokenizerFast,
    T5Config,
)
from transformers.utils import logging

__all__ = ["FAMILIES", "rows", "write_csv", "write_jsonl", "write_model"]

PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"
IDS = {"bos_token_id": 1, "eos_token_id": 2}
WORDS = (
    *("the", "short", "note", "about", "meeting", "on", "Tuesday", "and", "small", "room", "is", "booked", "Paul"),
    *("wants", "printer", "repaired", "before", "noon", "train", "left", "early", "so", "guests", "came", "late"),
    *("Lena", "is", "back", "with", "twelve", "boxes", "of", "cold", "dinner", "tomorrow", "evening", "in", "Rome"),
)
"""Texts are made of these, and tokenizers are trained on them."""

FAMILIES: dict[str, Any] = {
    "gpt2": lambda size: GPT2Config(
        vocab_size=size, n_embd=32, n_head=4, n_layer=3, n_positions=128, pad_token_id=None, **IDS, **_dropout(0.0)
    ),
    "gpt2-dropout": lambda size: GPT2Config(
        vocab_size=size, n_embd=32, n_head=4, n_layer=2, n_positions=128, pad_token_id=None, **IDS, **_dropout(0.1)
    ),
    "gpt2-one-block": lambda size: GPT2Config(
        vocab_size=size, n_embd=16, n_head=2, n_layer=1, n_positions=64, pad_token_id=None, **IDS, **_dropout(0.0)
    ),
    "t5": lambda size: T5Config(
        vocab_size=size,
        d_model=32,
        d_ff=48,
        d_kv=8,
        num_heads=4,
        num_layers=3,
        num_decoder_layers=2,
        dropout_rate=0.0,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=2,
    ),
}


def _dropout(rate: float) -> dict[str, float]:
    return {"attn_pdrop": rate, "resid_pdrop": rate, "embd_pdrop": rate}


def write_model(family: str, folder: Path, *, seed: int = 0) -> None:
    """Write a random model of one of `FAMILIES` and its tokenizer, as ``from_pretrained`` reads them."""
    words = _tokenizer()
    is_t5 = family == "t5"
    if is_t5:
        words.post_processor = processors.TemplateProcessing(single=f"$A {EOS}", special_tokens=[(EOS, 2)])
    pad = {"pad_token": PAD} if is_t5 else {}
    fast = PreTrainedTokenizerFast(tokenizer_object=words, bos_token=BOS, eos_token=EOS, unk_token=UNK, **pad)
    fast.save_pretrained(folder)
    auto: Any = AutoModelForSeq2SeqLM if is_t5 else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto.from_config(FAMILIES[family](words.get_vocab_size()), dtype=torch.float32)
    logging.disable_progress_bar()
    model.save_pretrained(folder)


def _tokenizer() -> Tokenizer:
    """Return a byte-level BPE of about 300 tokens."""
    words = Tokenizer(models.BPE())
    words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    words.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=[PAD, BOS, EOS, UNK],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    words.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    return words


def rows(split: str, count: int, *, repeated: int = 0) -> list[dict[str, str]]:
    """Return rows whose target is two words of the source.

    Args:
        split: Its rows differ from every other split's.
        count: How many.
        repeated: How many rows of ``train`` stand in it as well, first.
    """
    shift = {"train": 0, "validation": 11, "test": 23}[split]
    made = [_row(split, number, shift) for number in range(count - repeated)]
    return [*(_row("train", number, 0) | {"id": f"{split}-again-{number}"} for number in range(repeated)), *made]


def _row(split: str, number: int, shift: int) -> dict[str, str]:
    step, length = 1 + number % 5, 5 + number % 7
    words = [WORDS[(number * 7 + shift + i * step) % len(WORDS)] for i in range(length)]
    return {
        "id": f"{split}-{number}",
        "source": " ".join(words),
        "target": f"{words[0]} {words[2]}",
        "tone": ("kind", "short")[number % 2],
    }


def write_jsonl(file: Path, content: Sequence[Mapping[str, str]]) -> None:
    """Write rows as JSON, one a line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")


def write_csv(file: Path, content: Sequence[Mapping[str, str]], columns: Mapping[str, str]) -> None:
    """Write some of the rows' columns under other names."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(columns.values())
        writer.writerows([row[name] for name in columns] for row in content)
