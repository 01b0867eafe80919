"""A study of plain text against the script that people copy: the same steps, the same perplexity."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from harness.study.load_study import read_study
from tests.support.study_fixture import Place, Places
from tests.support.text_study import plain_place
from tests.support.trainer_script import script

STUDY = """\
name: tiny
task: text_generation
model: {{name: {model}}}
data: {{path: train.txt, validation: {held}, test: {held}}}
tuning: [full, {{last_blocks: 1}}]
training: {{epochs: 3, batch_size: 4}}
search: {{learning_rate: {{low: {rate}, high: {high}}}, trials: 1}}
final: {{seeds: [11]}}
"""

SHARED_DATA = Path(__file__).parents[2].parent / "shared" / "data"


def compared(place: Place, model: Path, text: str, *, last: str, whole: str, held: int, size: int = 128) -> None:
    """See that a study's perplexities are the script's, with all weights and with those of the last block."""
    assert len(place.study.read_text().splitlines()) <= 10
    (place.folder / "train.txt").write_text(text, encoding="utf-8")
    place.run()
    for cell, trains in {"text/full": whole, "text/last_blocks-1": last}.items():
        (final,) = place.runs("final", cell=cell)
        steps = {"size": size, "held_out": [held, held], "epochs": 3, "batch": 4, "seed": 11}
        rate = float(final.data.params["learning_rate"])
        expected = script(model, text, trains=trains, rate=rate, out=place.folder / "out", **steps)
        found = {split: final.data.metrics[f"{split}/perplexity"] for split in expected}
        assert found == pytest.approx(expected, rel=1e-5), cell


LAST = {"gpt2": "transformer.h.2. transformer.ln_f", "llama": "model.layers.2. model.norm"}


@pytest.mark.slow
@pytest.mark.parametrize("family", LAST)
def test_a_tiny_study_equals_the_script(places: Places, family: str) -> None:
    place = plain_place(places, family=family)
    study = STUDY.format(model="model", held=2, rate=1e-3, high=2e-3)
    place.study.write_text(study.replace("batch_size: 4", "batch_size: 4, block_tokens: 32"), encoding="utf-8")
    text = (place.folder / "train.txt").read_text()
    compared(place, place.folder / "model", text, last=LAST[family], whole="transformer model lm_head", held=2, size=32)


@pytest.mark.slow
def test_a_real_study_equals_the_script(places: Places, shared_model: object) -> None:
    model = shared_model("mix-llama-5m")  # type: ignore[operator]
    if not SHARED_DATA.is_dir():
        pytest.skip("shared/data is not beside the repository")
    with gzip.open(SHARED_DATA / "scitldr_title" / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        text = "\n".join(json.loads(line)["source"] for line in lines)[:40_000]
    place = plain_place(places)
    folder = os.path.relpath(model, place.folder)
    place.study.write_text(STUDY.format(model=folder, held=8, rate=1e-4, high=3e-4), encoding="utf-8")
    compared(place, model, text, last="model.layers.5. model.norm", whole="model lm_head", held=8)


def test_the_study_is_read_in_ten_lines(places: Places) -> None:
    place = plain_place(places)
    study = read_study(place.study).study
    assert study.prompts == ()
    assert [prompt.name for prompt in study.prompt_levels()] == ["text"]
