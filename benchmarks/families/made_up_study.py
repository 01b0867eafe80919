"""The study that every family runs: rows of made-up words, in batches of several lengths."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from .random_family import WORDS

BATCH, NEW_TOKENS = 4, 6
LENGTHS = {"train": (16, 19, 17, 18, 18, 16, 19, 17, 33, 40, 36, 42), "validation": (17, 20, 25, 30, 43), "test": (18,)}
"""Words of each prompt: three batches of four, the first two of one bucket, and validation in three buckets."""
TUNINGS: tuple[Any, ...] = ("none", "head", {"last_blocks": 1}, "full")

TASK = """\
from harness import Task, Template

task = Task(
    name="families",
    data="data",
    prompts=[Template("bare", "{{ source }}", shorten="source")],
    metrics=["token_f1"],
    max_target_tokens=6,
)
"""


def write_data() -> dict[str, list[tuple[str, str]]]:
    """Write a task and its rows into the current folder; return sources and targets by split."""
    drawn = random.Random(0)
    Path("data").mkdir()
    Path("task.py").write_text(TASK)
    texts = {}
    for split, lengths in LENGTHS.items():
        texts[split] = [
            (" ".join(drawn.choices(WORDS, k=length)), " ".join(drawn.choices(WORDS, k=1 + number % 4)))
            for number, length in enumerate(lengths)
        ]
        rows = [
            {"id": f"{split}-{number}", "source": source, "target": target}
            for number, (source, target) in enumerate(texts[split])
        ]
        Path("data", f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return texts


def write_study(*, replay: bool, tunings: Sequence[Any]) -> Path:
    """Write a study of the folder ``model``; with replay its models are stored whole, without it as deltas."""
    file = Path(f"replay-{replay}.yaml".lower())
    study = {
        "name": file.stem,
        "task": "./task.py",
        "model": {"name": "model"},
        "data": {"path": "data"},
        "prompts": ["bare"],
        "tuning": list(tunings),
        "training": {"epochs": 1, "batch_size": BATCH, "max_source_tokens": 48},
        "generation": {"max_new_tokens": NEW_TOKENS, "stop": []},
        "engine": {"replay": replay, "disk_mib": 0},
        "final": {"seeds": [11], "store": "full" if replay else "delta"},
    }
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    return file
