"""What is no model that a study can use, told by its files: quantized weights, adapters, pointers of Git LFS."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from harness.core.errors import ModelError
from harness.models.load import load
from harness.study.model_config import describe
from tests.support.study_fixture import Places

Tiny = Callable[..., Path]

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a21\nsize 12345\n"


@pytest.fixture
def folder(tiny_folder: Tiny, tmp_path: Path) -> Path:
    """A copy of a tiny Llama."""
    return shutil.copytree(tiny_folder("llama"), tmp_path / "model")


def configure(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def refusal(folder: Path) -> str:
    """Return what describing says, which is what loading says."""
    messages = []
    for read in (describe, load):
        with pytest.raises(ModelError) as caught:
            read(str(folder))
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    assert "\n" not in messages[0]
    return messages[0]


@pytest.mark.parametrize(
    ("settings", "method"),
    [
        ({"quantization_config": {"quant_method": "gptq", "bits": 4, "group_size": 128}}, "gptq, 4 bits"),
        ({"quantization_config": {"quant_method": "awq", "bits": 4, "version": "gemm"}}, "awq, 4 bits"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}, "bitsandbytes, 4 bits"),
        ({"quantization_config": {"quant_method": "bitsandbytes", "load_in_8bit": True}}, "bitsandbytes, 8 bits"),
        ({"quantization_config": {"load_in_8bit": True, "llm_int8_threshold": 6.0}}, "bitsandbytes, 8 bits"),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]}}, "fp8"),
        ({"quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}}, "mxfp4"),
        ({"quantization_config": {"quant_method": "compressed-tensors"}}, "compressed-tensors"),
        ({"compression_config": {"quant_method": "sparseml"}}, "sparseml"),
        ({"quantization_config": {"quant_algo": "NVFP4"}}, "NVFP4"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "a method that it does not name, 4 bits"),
        ({"text_config": {"quantization_config": {"quant_method": "hqq"}}}, "hqq"),
    ],
)
def test_quantized_weights_are_refused_by_their_method(folder: Path, settings: dict[str, Any], method: str) -> None:
    configure(folder, **settings)
    assert f"its weights are quantized ({method})" in refusal(folder)


@pytest.mark.parametrize("file", ["quantize_config.json", "quant_config.json", "hf_quant_config.json"])
def test_older_quantized_folders_have_a_file_of_their_own(folder: Path, file: str) -> None:
    (folder / file).write_text('{"bits": 4}')
    assert f"quantized (by its {file})" in refusal(folder)


def test_settings_that_quantize_nothing(folder: Path) -> None:
    configure(folder, quantization_config=None)
    assert load(str(folder)).embedding_rows == describe(str(folder)).embedding_rows


@pytest.mark.parametrize("whole", [True, False])
def test_an_adapter_is_no_model(folder: Path, whole: bool) -> None:
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base", "peft_type": "LORA"}')
    save_file({"base_model.model.lora_A.weight": torch.ones(2)}, folder / "adapter_model.safetensors")
    if not whole:
        (folder / "config.json").unlink()
        (folder / "model.safetensors").unlink()
    message = refusal(folder)
    assert "an adapter of org/base, by its adapter_config.json" in message
    assert "merge_and_unload" in message


@pytest.mark.parametrize("gone", ["model.safetensors", "tokenizer.json"])
def test_a_pointer_is_told_from_a_broken_file(folder: Path, gone: str) -> None:
    (folder / gone).write_bytes(POINTER)
    assert f"{gone} is a pointer of Git LFS and not the file itself; run `git lfs pull`" in refusal(folder)


def test_pointers_of_other_kinds_of_files(folder: Path) -> None:
    shard = folder / "model-00001-of-00002.safetensors"
    (folder / "model.safetensors").rename(shard)
    shard.write_bytes(POINTER)
    assert f"{shard.name} is a pointer" in refusal(folder)
    shard.rename(folder / "pytorch_model.bin")
    assert "pytorch_model.bin is a pointer" in refusal(folder)


def test_a_pointer_to_what_is_not_read_is_no_matter(folder: Path) -> None:
    for name in ("pytorch_model.bin", "consolidated.safetensors", "tokenizer.model", "tf_model.h5"):
        (folder / name).write_bytes(POINTER)
    assert load(str(folder)).context == 128


def test_check_places_it_in_the_study_file(places: Places) -> None:
    place = places(store=False)
    configure(place.folder / "model", quantization_config={"quant_method": "gptq", "bits": 4})
    for command in ("check", "run"):
        done = place.command(command, "study.yaml")
        assert done.status == 2
        assert "study.yaml:6: model model: its weights are quantized (gptq, 4 bits)" in " ".join(done.err.split())
