"""Broken weights are refused by `check`, by name, and intact ones of every type pass."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from harness.core.errors import ModelError
from harness.models.load import load
from harness.study.weights_on_disk import refuse_broken_weights
from harness.testing import tiny_model
from tests.support.study_fixture import Places

NAME = "transformer.h.0.mlp.c_fc.weight"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf], ids=str)
def test_check_and_run_name_the_tensor(value: float, places: Places) -> None:
    place = places(store=False)
    file = place.folder / "model" / "model.safetensors"
    weights = load_file(file)
    weights[NAME][3, 5] = value
    save_file(weights, file, metadata={"format": "pt"})
    for command in ("check", "run"):
        shown = place.command(command, "study.yaml")
        assert shown.status == 2
        assert NAME in shown.err
        assert "study.yaml:" in shown.err
    assert not (place.folder / ".harness").exists()


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int32], ids=str)
def test_weights_that_are_whole_numbers_are_quantized_ones(dtype: torch.dtype, places: Places) -> None:
    """Without a word in config.json, and without their scale: transformers reads them as they stand."""
    place = places(store=False)
    file = place.folder / "model" / "model.safetensors"
    weights = load_file(file)
    save_file({**weights, NAME: (100 * weights[NAME]).to(dtype)}, file, metadata={"format": "pt"})
    shown = place.command("check", "study.yaml")
    assert shown.status == 2
    assert f"weights that are whole numbers in {NAME}: they are quantized" in shown.err
    with pytest.raises(ModelError, match="whole numbers in transformer"):
        load(str(file.parent))
    masks = {"transformer.h.0.attn.bias": torch.ones(1, 1, 4, 4, dtype=torch.uint8)}
    save_file({**weights, **masks}, file, metadata={"format": "pt"})
    assert load(str(file.parent)).model is not None, "a mask that older versions stored is no weight"


@settings(deadline=None)
@given(
    values=st.lists(st.floats(width=16) | st.sampled_from([65504.0, -65504.0, 6e-8, -0.0]), min_size=2, max_size=9),
    dtype=st.sampled_from([torch.float64, torch.float32, torch.float16, torch.bfloat16]),
)
def test_torch_agrees_on_what_is_finite(
    values: list[float], dtype: torch.dtype, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder, tensor = tmp_path_factory.mktemp("weights"), torch.tensor(values, dtype=torch.float64).to(dtype)
    save_file({"first": torch.zeros(3), "second": tensor, "whole": torch.tensor([2**30])}, folder / "m.safetensors")
    if torch.isfinite(tensor).all():
        refuse_broken_weights(folder)
    else:
        with pytest.raises(ModelError, match="second"):
            refuse_broken_weights(folder)


def test_a_bound_is_no_weight(tmp_path: Path) -> None:
    """As Gemma 4 holds those of its quantized kin."""
    tensors = {"tower.input_max": torch.tensor(math.inf), "tower.weight": torch.ones(2)}
    save_file(tensors, tmp_path / "m.safetensors")
    refuse_broken_weights(tmp_path)
    save_file(tensors | {"tower.weight": torch.tensor([1.0, math.inf])}, tmp_path / "m.safetensors")
    with pytest.raises(ModelError) as refused:
        refuse_broken_weights(tmp_path)
    assert ("tower.weight" in str(refused.value), "input_max" in str(refused.value)) == (True, False)


@pytest.mark.parametrize("content", [b"", b"\x00" * 4, b"\xff" * 40, b"\x02\x00\x00\x00\x00\x00\x00\x00[]"], ids=repr)
def test_a_file_of_something_else_is_left_to_the_loader(content: bytes, tmp_path: Path) -> None:
    tiny_model("llama", tmp_path)
    (tmp_path / "model.safetensors").write_bytes(content)
    refuse_broken_weights(tmp_path)  # no sentence about tensors that nobody can read
    with pytest.raises(ModelError, match="cannot load its weights"):
        load(str(tmp_path))
