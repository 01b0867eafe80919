"""Model folders whose files say what no model has, or are none."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.hostile_commands import Yard, cases, see
from tests.support.hostile_files import NO_FILES, instead_of

ODD: dict[str, Any] = {
    "a thousand million": 10**9,
    "a million million": 10**12,
    "below nothing": -1,
    "no number": float("nan"),
    "a text": "12",
    "an escape sequence": "\x1b[2J",
    "a list": [1, 2],
    "an object": {"a": 1},
    "null": None,
}

SIZES = ("n_layer", "vocab_size", "n_embd", "n_head", "n_positions", "n_inner", "eos_token_id", "layer_norm_epsilon")
KINDS = (
    "model_type",
    "architectures",
    "torch_dtype",
    "tie_word_embeddings",
    "activation_function",
    "is_encoder_decoder",
    "num_labels",
)
SETTINGS = (
    "eos_token_id",
    "pad_token_id",
    "bos_token_id",
    "decoder_start_token_id",
    "max_length",
    "stop_strings",
    "num_beams",
)
TOKENS = (
    "eos_token",
    "pad_token",
    "additional_special_tokens",
    "model_max_length",
    "tokenizer_class",
    "added_tokens_decoder",
    "chat_template",
)

FILES = {
    "config.json": SIZES + KINDS,
    "generation_config.json": SETTINGS,
    "tokenizer_config.json": TOKENS,
    "tokenizer.json": ("model", "added_tokens", "pre_tokenizer", "post_processor", "decoder", "normalizer", "version"),
}

VALUES = {f"{file}, {key}": (file, key) for file, keys in FILES.items() for key in keys}


def header(text: bytes, size: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if size is None else size) + text


CONTENTS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "noise": lambda: bytes(range(256)) * 64,
    "an object": lambda: b"{}",
    "a list": lambda: b"[]",
    "a number": lambda: b"1",
    "null": lambda: b"null",
    "lists without an end": lambda: b"[" * 200_000,
    "lists a thousand deep": lambda: b'{"a":' + b"[" * 900 + b"]" * 900 + b"}",
    "objects a hundred thousand deep": lambda: b'{"text_config":' * 100_000,
    "text parts within text parts": lambda: b'{"text_config":' * 60 + b"{}" + b"}" * 60,
    "5,000 digits": lambda: b'{"n_layer":' + b"9" * 5000 + b"}",
    "half of a pair": lambda: b'{"model_type": "\\ud800"}',
    "no UTF-8": lambda: b'{"model_type": "\xff"}',
    "20 MiB of lists": lambda: b'{"a": [' + b"[]," * (7 * 2**20) + b"[]]}",
    "200 MiB": lambda: b'{"a": "' + b"x" * (200 * 2**20) + b'"}',
    "a million keys": lambda: json.dumps({f"k{n}": n for n in range(400_000)}).encode(),
    "cut short": lambda: b'{"model_type": "gpt2", "n_layer',
}
JSONS = ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json")

WEIGHTS: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "seven bytes": lambda: b"\0" * 7,
    "a header beyond the end": lambda: header(b"{}", 2**40),
    "a header beyond 64 bits": lambda: header(b"{}", 2**64 - 1),
    "a header of nothing": lambda: header(b""),
    "a header of lists": lambda: header(b"[" * 100_000),
    "a deep header": lambda: header(b'{"a":' * 100_000),
    "a header of numbers": lambda: header(b'{"a": 1}'),
    "offsets beyond the end": lambda: header(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[0,9999999999]}}'),
    "offsets below nothing": lambda: header(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":[-8,-4]}}') + bytes(64),
    "offsets that are texts": lambda: (
        header(b'{"a":{"dtype":"F32","shape":[4],"data_offsets":["0","16"]}}') + bytes(64)
    ),
    "a shape of a million million": lambda: (
        header(b'{"a":{"dtype":"F32","shape":[1000000,1000000],"data_offsets":[0,16]}}') + bytes(64)
    ),
    "a type of nobody": lambda: header(b'{"a":{"dtype":"F99","shape":[4],"data_offsets":[0,16]}}') + bytes(64),
    "a type that is a list": lambda: header(b'{"a":{"dtype":["F32"],"shape":[4],"data_offsets":[0,16]}}') + bytes(64),
    "an escape sequence": lambda: (
        header(b'{"\\u001b[2J":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}}') + b"\xff" * 16
    ),
    "a pointer": lambda: b"version https://git-lfs.github.com/spec/v1\n",
}


@pytest.mark.parametrize("where", cases(VALUES))
def test_a_value_that_no_model_has(where: str, tmp_path: Path) -> None:
    """By `check`, and by `show`, which loads the model, where `check` has nothing against it."""
    file, key = VALUES[where]
    for value in ODD.values():
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        yard = Yard(folder)
        path = yard.work / "model" / file
        said = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**said, key: value}), encoding="utf-8")
        ended = yard.run("check", "study.yaml")
        see(ended)
        if ended.status == 0:
            see(yard.run("show", "study.yaml"))


@pytest.mark.parametrize("case", cases(CONTENTS))
@pytest.mark.parametrize("name", JSONS)
def test_a_file_that_no_model_has(name: str, case: str, tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    (yard.work / "model" / name).write_bytes(CONTENTS[case]())
    ended = yard.run("check", "study.yaml")
    see(ended)
    if ended.status == 0:
        see(yard.run("show", "study.yaml"))


@pytest.mark.parametrize("case", cases(WEIGHTS))
def test_weights_that_are_none(case: str, tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    (yard.work / "model" / "model.safetensors").write_bytes(WEIGHTS[case]())
    see(yard.run("check", "study.yaml"))
    see(yard.run("show", "study.yaml"), 2)


@pytest.mark.parametrize("kind", cases(NO_FILES))
@pytest.mark.parametrize("name", ["model.safetensors", "adapter_model.safetensors", *JSONS])
def test_what_is_no_file_in_a_model_s_folder(name: str, kind: str, tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    path = yard.work / "model" / name
    path.touch()
    instead_of(path, kind)
    ended = yard.run("check", "study.yaml")
    see(ended)
    if ended.status == 0:
        see(yard.run("show", "study.yaml"))


@pytest.mark.parametrize("kind", cases(NO_FILES))
def test_what_is_no_file_as_a_model(kind: str, tmp_path: Path) -> None:
    yard = Yard(tmp_path)
    NO_FILES[kind](yard.work / "odd")
    see(yard.run("check", "study.yaml", "--set", "model.name=./odd"), 2)
