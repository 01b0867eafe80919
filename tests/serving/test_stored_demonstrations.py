"""Stored models show the demonstrations that their studies did: row by row the same ids, whatever they go by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from harness.core.errors import DataError
from harness.serving.generator import Generator
from harness.serving.recipe import recipe_of_run
from harness.serving.stored_model import save_model
from harness.study.check import check
from harness.study.load_study import read_study
from harness.testing import tiny_model
from harness.training.setup import TrainingSetup
from tests.support.chat_models import chat_model
from tests.support.study_fixture import WORDS, write_rows

STUDY = """\
name: shown
task: ./task.py
model: {{name: model}}
data: {{path: data, columns: {{topic: theme}}}}
prompts:
  - {prompt}
tuning: [full]
final: {{seeds: [1], store: {store}}}
training: {{max_source_tokens: 300}}
"""

TASK = """\
from harness import Task, Template

task = Task("t", data="data", prompts=[Template("bare", "{{ topic }}")], metrics=["chrf"], max_target_tokens=12)
"""

PROMPTS = {
    "source": '{name: p, text: "{{ source }} of {{ topic }}:", shots: 3, pick: bm25}',
    "not shown": '{name: p, text: "{{ topic }}:", shots: 2, pick: bm25, shot: "{{ size }} {{ target }}"}',
    "random": '{name: p, text: "{{ topic }}:", shots: 2, pick: random}',
    "similar": '{name: p, text: "{{ source }}:", shots: 2, pick: similar}',
}
CHAT = '{name: p, system: "Be brief.", user: "{{ source }}", assistant: "So:", shots: 2, pick: similar}'


def rows(split: int, *, source: str) -> list[dict[str, Any]]:
    sizes = range(split * 100, split * 100 + 30)
    return [
        {
            "theme": WORDS[number % 11],
            source: " ".join([*WORDS[number % 5 :: 2 + number % 3], f"x{number}"]),
            "size": number % 3,
            "target": f"answer {number}",
        }
        for number in sizes
    ]


def setup_of(folder: Path, prompt: str, store: str, source: str = "source") -> tuple[Any, TrainingSetup]:
    (folder / "data").mkdir()
    for number, split in enumerate(("train", "validation", "test")):
        write_rows(folder / "data" / f"{split}.jsonl", rows(number, source=source))
    (folder / "task.py").write_text(TASK)
    (folder / "study.yaml").write_text(STUDY.format(prompt=prompt, store=store))
    checked = check(read_study(folder / "study.yaml"))
    return checked.cells[-1], TrainingSetup(checked, print)


def moved(setup: TrainingSetup) -> None:
    """Move all weights, as training would."""
    with torch.no_grad():
        for parameter in setup.loaded.model.parameters():
            parameter.add_(torch.linspace(-1, 1, parameter.numel()).view_as(parameter))


def assert_alike(folder: Path, cell: Any, setup: TrainingSetup, source: str = "source") -> Generator:
    expected = setup.encoded(cell.prompt, "validation").rows
    moved(setup)
    save_model(folder / "stored", setup.loaded, recipe_of_run(cell, setup), setup.demonstrations)
    stored = Generator(folder / "stored")
    asked = rows(1, source=source)
    assert [stored.row("x", row).prompt for row in asked] == [row.prompt for row in expected]
    assert all(row.shots > 0 for row in expected)
    return stored


@pytest.mark.parametrize("store", ["full", "delta"])
@pytest.mark.parametrize("name", PROMPTS)
def test_a_stored_model_shows_what_its_study_did(name: str, store: str, tmp_path: Path) -> None:
    tiny_model("gpt2", tmp_path / "model", max_position_embeddings=512)
    cell, setup = setup_of(tmp_path, PROMPTS[name], store)
    stored = assert_alike(tmp_path, cell, setup)
    assert "source" in stored.fields
    with pytest.raises(DataError, match="column 'source' is missing"):
        stored.row("x", {"theme": "room"})


def test_rows_without_a_source_are_compared_by_all_their_fields(tmp_path: Path) -> None:
    tiny_model("gpt2", tmp_path / "model", max_position_embeddings=512)
    cell, setup = setup_of(tmp_path, '{name: p, text: "{{ topic }}:", shots: 2, pick: bm25}', "full", "passage")
    stored = assert_alike(tmp_path, cell, setup, "passage")
    assert stored.fields == ("passage", "size", "theme", "topic")


@pytest.mark.parametrize("store", ["full", "delta"])
def test_a_stored_chat_shows_what_its_study_did(store: str, tmp_path: Path) -> None:
    chat_model("smollm2", tmp_path / "model")
    cell, setup = setup_of(tmp_path, CHAT, store)
    assert_alike(tmp_path, cell, setup)
