"""Tokenizers that do not read back every text: made like T5's, BERT's and those with special tokens of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.support.study_fixture import WORDS

SPECIALS = ["<pad>", "<s>", "</s>", "<unk>", "<sep>"]
NAMED = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
TEXT = [" ".join(WORDS), "Nina: boat, Monday. (red) room's"]


def like_t5() -> Tokenizer:
    """NFKC, white space folded, characters that it lacks become the unknown token."""
    core = Tokenizer(models.Unigram())
    core.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(r"\s+"), " ")])
    core.pre_tokenizer, core.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIALS, unk_token="<unk>", show_progress=False)
    core.train_from_iterator(TEXT, trainer)
    return core


def like_bert() -> Tokenizer:
    """Lower case, accents stripped, punctuation on its own."""
    core = Tokenizer(models.WordPiece(unk_token="<unk>"))
    core.normalizer, core.pre_tokenizer = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    core.decoder = decoders.WordPiece(cleanup=False)
    core.train_from_iterator(
        TEXT, trainers.WordPieceTrainer(vocab_size=200, special_tokens=SPECIALS, show_progress=False)
    )
    return core


def like_gpt2() -> Tokenizer:
    """Any byte; of special tokens alone nothing is read back."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(TEXT, trainer)
    return core


Marks = bool | None

MADE: dict[str, Callable[[], Tokenizer]] = {"like_t5": like_t5, "like_bert": like_bert, "like_gpt2": like_gpt2}


def write_tokenizer(name: str, folder: Path, *, marks: Marks = True, **settings: Any) -> Path:
    """Write a tokenizer's two files; its tokens may be marked as special, as not, or in no way."""
    fast = PreTrainedTokenizerFast(
        tokenizer_object=MADE[name](), additional_special_tokens=["<sep>"], **{**NAMED, **settings}
    )
    fast.save_pretrained(folder)
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content["added_tokens"] = (
        [] if marks is None else [{**token, "special": marks} for token in content["added_tokens"]]
    )
    file.write_text(json.dumps(content), encoding="utf-8")
    return folder
