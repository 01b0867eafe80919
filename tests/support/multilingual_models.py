"""Tiny random models of the families whose vocabularies have language codes, in folders like published ones."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import sentencepiece
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from tests.support.study_fixture import WORDS

__all__ = ["MULTILINGUAL", "Multilingual", "write_multilingual"]

TEXT = [" ".join(WORDS), "TL;DR: a b c d e f g h i j k l m n o p q r s t u v w x y z 0 1 2 . ,"]
SIZES = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "max_position_embeddings": 128,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
    "bos_token_id": 0,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "forced_eos_token_id": None,
}


class Multilingual(NamedTuple):
    """How a family writes its languages."""

    tokenizer: Callable[[Path], Any]
    """Makes one that has never been told a target language, from files in a folder."""
    config: str
    start: int | None
    """What its published generation settings start the decoder with; ``None``: nothing is said."""
    source: str
    target: str
    """Codes of two of its languages."""
    begins: tuple[str, ...]
    """What an answer in the second one begins with."""


def _unigram() -> list[tuple[str, float]]:
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    core.train_from_iterator(
        TEXT, trainers.UnigramTrainer(vocab_size=150, special_tokens=special, unk_token="<unk>", show_progress=False)
    )
    return [tuple(pair) for pair in json.loads(core.to_str())["model"]["vocab"]]


def _bpe() -> tuple[dict[str, int], list[tuple[str, str]]]:
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    core.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=150, special_tokens=special, show_progress=False))
    model = json.loads(core.to_str())["model"]
    return model["vocab"], [tuple(pair) for pair in model["merges"]]


def _sentencepiece(folder: Path, size: int = 60) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXT * 4), model_writer=model, vocab_size=size, hard_vocab_limit=False, minloglevel=2
    )
    file = folder / "sentencepiece.bpe.model"
    file.write_bytes(model.getvalue())
    return file


def _mbart(folder: Path) -> Any:
    from transformers.models.mbart.tokenization_mbart import FAIRSEQ_LANGUAGE_CODES as CODES

    vocabulary = [*_unigram(), *((code, 0.0) for code in CODES), ("<mask>", 0.0)]
    return transformers.MBartTokenizer(vocab=vocabulary)


def _mbart50(folder: Path) -> Any:
    from transformers.models.mbart50.tokenization_mbart50 import FAIRSEQ_LANGUAGE_CODES as CODES

    vocabulary = [*_unigram(), *((code, 0.0) for code in CODES), ("<mask>", 0.0)]
    return transformers.MBart50Tokenizer(vocab=vocabulary)


def _nllb(folder: Path) -> Any:
    vocabulary, merges = _bpe()
    return transformers.NllbTokenizer(vocab=vocabulary, merges=merges)


def _m2m100(folder: Path) -> Any:
    file = _sentencepiece(folder)
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(file))
    names = ["<s>", "<pad>", "</s>", "<unk>", *(pieces.id_to_piece(i) for i in range(3, len(pieces)))]
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    made = transformers.M2M100Tokenizer(str(folder / "vocab.json"), str(file), num_madeup_words=0)
    languages = list(made.lang_token_to_id)  # special, as the published files say
    return transformers.M2M100Tokenizer(
        str(folder / "vocab.json"), str(file), num_madeup_words=0, additional_special_tokens=languages
    )


def _plbart(folder: Path) -> Any:
    return transformers.PLBartTokenizer(str(_sentencepiece(folder)), language_codes="multi")


MULTILINGUAL = {
    "mbart": Multilingual(_mbart, "MBartConfig", None, "en_XX", "ro_RO", ("ro_RO",)),
    "mbart50": Multilingual(_mbart50, "MBartConfig", 2, "en_XX", "ro_RO", ("</s>", "ro_RO")),
    "nllb": Multilingual(_nllb, "M2M100Config", 2, "eng_Latn", "ron_Latn", ("</s>", "ron_Latn")),
    "m2m100": Multilingual(_m2m100, "M2M100Config", 2, "en", "ro", ("</s>", "__ro__")),
    "plbart": Multilingual(_plbart, "PLBartConfig", None, "java", "en_XX", ("__en_XX__",)),
}


def write_multilingual(family: str, folder: Path, **settings: Any) -> Path:
    """Write a model whose tokenizer and configuration name no target language, as ``from_pretrained`` reads it.

    Args:
        family: One of `MULTILINGUAL`.
        folder: Where to write.
        **settings: Changes of the generation settings.
    """
    made = MULTILINGUAL[family]
    tokenizer = made.tokenizer(folder)
    config = getattr(transformers, made.config)(**SIZES, vocab_size=len(tokenizer), decoder_start_token_id=made.start)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = transformers.AutoModelForSeq2SeqLM.from_config(config, dtype=torch.float32)
    model.generation_config.update(**settings)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
