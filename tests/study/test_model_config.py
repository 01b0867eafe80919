"""Descriptions from published configurations' key names, without torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import ModelError
from harness.study.model_config import describe

# The keys as the families' published files have them, shortened to what counts.
PUBLISHED: dict[str, tuple[dict[str, Any], tuple[str, bool, int, int | None]]] = {
    "gpt2": (
        {"architectures": ["GPT2LMHeadModel"], "n_ctx": 1024, "n_layer": 12, "n_positions": 1024},
        ("GPT2LMHeadModel", False, 12, 1024),
    ),
    "bloom": (
        {"architectures": ["BloomForCausalLM"], "n_layer": 24, "n_embed": 1024},
        ("BloomForCausalLM", False, 24, None),
    ),
    "mpt": (
        {"architectures": ["MPTForCausalLM"], "n_layers": 32, "max_seq_len": 2048},
        ("MPTForCausalLM", False, 32, 2048),
    ),
    "gpt_neo": (
        {"architectures": ["GPTNeoForCausalLM"], "num_layers": 12, "max_position_embeddings": 2048},
        ("GPTNeoForCausalLM", False, 12, 2048),
    ),
    "t5": (
        {
            "architectures": ["T5ForConditionalGeneration"],
            "model_type": "t5",
            "is_encoder_decoder": True,
            "n_positions": 512,
            "num_layers": 6,
            "num_decoder_layers": 8,
        },
        ("T5ForConditionalGeneration", True, 14, None),
    ),
    "t5 with equal halves": (
        {"model_type": "t5", "is_encoder_decoder": True, "num_layers": 6},
        ("t5", True, 12, None),
    ),
    # num_hidden_layers is the encoder's count there.
    "bart": (
        {
            "architectures": ["BartModel"],
            "is_encoder_decoder": True,
            "encoder_layers": 12,
            "decoder_layers": 6,
            "num_hidden_layers": 12,
            "max_position_embeddings": 1024,
        },
        ("BartModel", True, 18, 1024),
    ),
}


@pytest.mark.parametrize("family", PUBLISHED)
def test_key_names_of_published_files(tmp_path: Path, family: str) -> None:
    config, said = PUBLISHED[family]
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert describe(str(tmp_path))[:4] == said


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"num_hidden_layers": 6}, r"names neither architectures nor model_type"),
        ({"architectures": "LlamaForCausalLM", "num_hidden_layers": 6}, r"names neither architectures nor model_type"),
    ],
)
def test_a_configuration_that_does_not_say(tmp_path: Path, config: dict[str, Any], message: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=message):
        describe(str(tmp_path))


GREAT = {
    "blocks": {"model_type": "llama", "num_hidden_layers": 10**9},
    "a pattern of blocks": {"model_type": "gpt_neo", "num_layers": 2, "attention_types": [[["global"], 10**9]]},
    "rows": {"model_type": "llama", "num_hidden_layers": 2, "vocab_size": 10**12},
    "labels": {"model_type": "llama", "num_hidden_layers": 2, "num_labels": 10**9},
}


@pytest.mark.parametrize("size", GREAT)
def test_sizes_of_no_model_are_refused(tmp_path: Path, size: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(GREAT[size]))
    with pytest.raises(ModelError, match=r"config\.json says .*0000"):
        describe(str(tmp_path))


SMALL = {"num_hidden_layers": 2, "max_position_embeddings": 64, "vocab_size": 90}

# Of several parts, or of half of an architecture: number of blocks, context, rows of both embeddings.
IN_PARTS: dict[str, tuple[dict[str, Any], tuple[int | None, int | None, tuple[int | None, int | None]]]] = {
    "t5gemma": (
        {"is_encoder_decoder": True, "encoder": SMALL, "decoder": {**SMALL, "num_hidden_layers": 3}},
        (5, 64, (90, 90)),
    ),
    "t5gemma2": (
        {
            "is_encoder_decoder": True,
            "encoder": {"text_config": SMALL, "vision_config": {"num_hidden_layers": 27}},
            "decoder": {**SMALL, "max_position_embeddings": 32},
        },
        (4, 32, (90, 90)),
    ),
    "encoder-decoder": (
        {
            "is_encoder_decoder": True,
            "encoder": SMALL,
            "decoder": {"n_layer": 4, "n_positions": 256, "vocab_size": 70},
        },
        (6, 64, (90, 70)),
    ),
    "gemma3": ({"text_config": SMALL, "vision_config": {"num_hidden_layers": 27}}, (2, 64, (90, 90))),
    "fuyu": ({"text_config": SMALL, "num_hidden_layers": 36, "vocab_size": 7}, (2, 64, (90, 90))),
    "bart, decoder alone": (
        {"is_decoder": True, "encoder_layers": 2, "decoder_layers": 3, "num_hidden_layers": 2, "vocab_size": 90},
        (3, None, (90, 90)),
    ),
    "marian": (
        {
            "is_encoder_decoder": True,
            "encoder_layers": 2,
            "decoder_layers": 3,
            "vocab_size": 90,
            "decoder_vocab_size": 80,
        },
        (5, None, (90, 80)),
    ),
    "fsmt": (
        {
            "is_encoder_decoder": True,
            "encoder_layers": 2,
            "decoder_layers": 3,
            "src_vocab_size": 90,
            "tgt_vocab_size": 80,
        },
        (5, None, (90, 80)),
    ),
    "modernbert-decoder": ({**SMALL, "model_type": "modernbert-decoder"}, (2, 64, (90, 90))),
    "blt": ({"encoder_config": SMALL, "decoder_config": SMALL}, (None, None, (None, None))),
    "zork": ({"is_encoder_decoder": True, "num_hidden_layers": "six"}, (None, None, (None, None))),
}


@pytest.mark.parametrize("family", IN_PARTS)
def test_what_a_configuration_of_parts_says_of_text(tmp_path: Path, family: str) -> None:
    config, expected = IN_PARTS[family]
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["Some"], **config}))
    said = describe(str(tmp_path))
    assert (said.blocks, said.context, said.embedding_rows) == expected


def test_describing_imports_neither_torch_nor_transformers(tiny_folder: Callable[..., Path]) -> None:
    code = (
        "import sys; from harness.study.model_config import describe; describe(sys.argv[1]); "
        "print([name for name in ('torch', 'transformers', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tiny_folder("gpt2"))],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"
