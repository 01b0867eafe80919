"""A tiny study whose answers are labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.core.errors import StudyError
from harness.study.check import check
from harness.study.checked_study import Checked
from harness.study.load_study import read_study
from tests.support.study_fixture import SIZES, Place, Places, write_rows

LABELS = ("early", "late", "cold")
WORDS = {
    "early": ("train", "noon", "left"),
    "late": ("dinner", "guests", "came"),
    "cold": ("room", "keys", "boxes"),
}

STUDY = """\
# Which label?
name: tiny
task: ./task.py
model: {name: model}
data: {path: data}
answers: likelihood
prompts: [bare, {name: cue, text: "{{ source }}\\nIt was"}]
tuning: [none, head, {last_blocks: 1}]
training: {epochs: 2, batch_size: 8, max_source_tokens: 48}
search:
  learning_rate: {low: 1.0e-3, high: 1.0e-1}
  trials: 2
  sampler: random
final: {seeds: [11, 12]}
"""

TASK = """\
from harness import Task, Template

task = Task(
    name="labelled",
    data="data",
    prompts=[Template("bare", "{{ source }}\\n", shorten="source")],
    metrics=["accuracy", "macro_f1", "calibration_error"],
    max_target_tokens=12,
)
"""


def rows(split: str) -> list[dict[str, Any]]:
    """Return rows with a word that tells the label, another label for each of three."""
    made = []
    for number in range(SIZES[split]):
        label = LABELS[number % len(LABELS)]
        source = f"the {WORDS[label][number // 3 % 3]} of {split} {number} is on its way"
        made.append({"id": f"{split}-{number}", "source": source, "target": label})
    return made


def labelled_place(places: Places, family: str = "gpt2", *, store: bool = True) -> Place:
    """Return a place with a study of labels."""
    place = places(family, store=store)
    place.study.write_text(STUDY, encoding="utf-8")
    (place.folder / "task.py").write_text(TASK, encoding="utf-8")
    for split in SIZES:
        write_rows(data(place, split), rows(split))
    return place


def data(place: Place, split: str) -> Path:
    """Return the file of a split."""
    return place.folder / "data" / f"{split}.jsonl"


def checked(place: Place, *overrides: str) -> Checked:
    """Check the place's study with some keys set."""
    return check(read_study(place.study, overrides))


def refused(place: Place, *overrides: str) -> str:
    """Return what the check of the place's study says against it."""
    with pytest.raises(StudyError) as caught:
        checked(place, *overrides)
    return str(caught.value)
