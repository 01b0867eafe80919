"""What `harness init` writes: a study, a task and a little data that run as they are."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

from harness.core.errors import UserError
from harness.core.example import SPLITS
from harness.core.named_path import named_path
from harness.core.whole_files import write_whole
from harness.data.readers import read_rows
from harness.study.packaged_files import packaged

__all__ = ["write_starter"]

SIZES = {"train": 200, "validation": 50, "test": 50}

STUDY = """\
# Does an instruction help, and how much of the network must train for that?
# (This opening comment is the study's question; the report repeats it.)

name: starter                     # the MLflow experiment, and the folder under reports/
task: ./my_task.py                # a task file of your own, or the name of a packaged one: `harness tasks`

model:
  name: embedded                  # a Hub id or a local folder; `embedded` is a small model that comes with the harness
  # revision: <commit>            # pins a Hub model
  dtype: float32

data:                             # left out, the task's own data is used
  path: data                      # a file, or a folder with train, validation and test as jsonl, csv, parquet or txt
  # columns: {source: article, target: summary}    # where your file calls them otherwise
  # train: 100                    # sizes; left out, all rows are used

prompts:
  - bare                          # named in the task
  - {name: polite, text: "Please sum up this note.\\n\\n{{ source }}\\n\\nSummary:", shorten: source}

tuning: [none, head, {last_blocks: 2}, full]       # what trains; `none` is zero-shot

training: {epochs: 2, batch_size: 16, max_source_tokens: 128}

search:                           # every cell gets the same budget
  learning_rate: {low: 1.0e-4, high: 1.0e-2}
  trials: 3
  sampler: gp                     # grid | random | tpe | gp
  seed: 0

final:
  seeds: [11, 12, 13]             # the winner of each cell is retrained on these and scored on test, once
"""

TASK = '''\
"""Sum up a note in one line.

A row of data/train.jsonl:

    {row}
"""

import numpy as np

from harness import Example, Metric, Task, Template


def example(row, id):
    """A row of the data and an id for it where it has none -> an example. Further fields are there for prompts."""
    return Example(id=row.get("id", id), fields={{"source": row["source"]}}, target=row["target"])


def few_words(prediction, example):
    """What one prediction contributes to a metric of our own: 1 if it has at most ten words."""
    return np.array([float(len(prediction.text.split()) <= 10)])


def share(contributions):
    return float(np.mean(contributions)) if len(contributions) else float("nan")


def signature():
    return "few_words|limit:10|version:1"  # quoted beside the number; another one makes other cells


task = Task(
    name="my_task",
    data="data",                  # used where a study names no data
    prompts=[
        # `shorten` names the one field that may be cut when a prompt is too long.
        Template("bare", "{{{{ source }}}}\\n", shorten="source"),
        Template("cue", "{{{{ source }}}}\\nTL;DR:", shorten="source"),
    ],
    metrics=[                     # the first one leads; harness.metrics.names() lists them
        "rougeL",
        "token_f1",
        "length_ratio",
        Metric("few_words", True, few_words, share, signature),
    ],
    max_target_tokens=32,
    stop=["\\n"],                  # ends a prediction
    example=example,              # left out, columns `source` and `target` are read, all others are fields
)
'''


def write_starter(folder: Path) -> list[Path]:
    """Write the starter files and return their paths.

    Raises:
        UserError: One of them is there already; nothing is written then.
    """
    folder, source = named_path(folder), packaged() / "data" / "summarization"
    data = {split: list(islice(read_rows(source / f"{split}.jsonl.gz"), SIZES[split])) for split in SPLITS}
    lines = {split: [json.dumps(row, ensure_ascii=False) for row in rows] for split, rows in data.items()}
    files = {
        folder / "study.yaml": STUDY,
        folder / "my_task.py": TASK.format(row=lines["train"][0]),
        **{folder / "data" / f"{split}.jsonl": "\n".join(rows) + "\n" for split, rows in lines.items()},
    }
    for file, text in files.items():
        if file.exists() and file.read_bytes() != text.encode():  # else an earlier command was cut short
            raise UserError(f"{file} is there already; run `harness init` in an empty folder, or name one")
    for file, text in files.items():
        write_whole(file, text)
    return list(files)
