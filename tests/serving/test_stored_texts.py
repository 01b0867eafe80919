"""Stored models of plain text: they go on with a text as transformers does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.core.errors import DataError
from harness.data.plain_text import PlainText
from harness.models.load import Loaded
from harness.serving.generator import Generator
from tests.support.model_folders import folder_of


@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_it_goes_on_with_a_text(tiny: Callable[..., Loaded], tmp_path: Path, family: str) -> None:
    loaded = tiny(family)
    generator = Generator(folder_of(loaded, tmp_path / "stored", PlainText(block_tokens=32)))
    texts = ["a note about the meeting", "the room is booked and it moved to Tuesday"]
    for text, said in zip(texts, generator([{"text": text} for text in texts]), strict=True):
        ids = loaded.tokenizer(text, return_tensors="pt").input_ids
        with torch.no_grad():
            written = loaded.model.eval().generate(ids, max_new_tokens=8, do_sample=False)[0, ids.size(1) :]
        assert said == loaded.tokenizer.decode(written, skip_special_tokens=True).strip()


def test_a_row_without_a_text_is_told(tiny: Callable[..., Loaded], tmp_path: Path) -> None:
    generator = Generator(folder_of(tiny("gpt2"), tmp_path / "stored", PlainText(block_tokens=32)))
    with pytest.raises(DataError, match="column 'text' is missing"):
        generator([{"source": "a note"}, {"words": "a note"}])
