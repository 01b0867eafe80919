"""Models that bring code of their own: in their configuration, their tokenizer, beside their weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from tests.support.canary import Canaries

__all__ = ["bring_code", "bring_pickles", "bring_tokenizer_code", "sign_again"]

OWN = """
from transformers import GPT2Config, GPT2LMHeadModel
class OwnConfig(GPT2Config):
    model_type = "own"
class OwnModel(GPT2LMHeadModel):
    config_class = OwnConfig
"""

OWN_TOKENIZER = """
from transformers import PreTrainedTokenizerFast
class OwnTokenizer(PreTrainedTokenizerFast):
    pass
"""


def _change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def bring_code(folder: Path, canaries: Canaries) -> None:
    """Make a GPT-2 one that only its own code can load."""
    kinds = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"}
    _change(folder / "config.json", model_type="own", architectures=["OwnModel"], auto_map=kinds)
    (folder / "own.py").write_text(canaries.python("model") + OWN)


def bring_tokenizer_code(folder: Path, canaries: Canaries) -> None:
    """Give a model a tokenizer that only its own code can load."""
    kinds = {"AutoTokenizer": [None, "own_tokenizer.OwnTokenizer"]}
    _change(folder / "tokenizer_config.json", tokenizer_class="OwnTokenizer", auto_map=kinds)
    (folder / "own_tokenizer.py").write_text(canaries.python("tokenizer") + OWN_TOKENIZER)


def bring_pickles(folder: Path, canaries: Canaries) -> None:
    """Have a model's weights pickled."""
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def sign_again(folder: Path, **base: Any) -> None:
    """Write into a stored model's settings that its files are as they are now, and what they say of its base."""
    file = folder / "harness.json"
    settings = json.loads(file.read_text())
    settings.pop("files", None)  # as older folders, which are taken at their word
    settings["base"].update(base)
    file.write_text(json.dumps(settings))
