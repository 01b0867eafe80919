"""What `harness init` writes: a study, its schema, a task and a little data that run as they are."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from pathlib import Path

from harness.core.errors import DataError, TemplateError, UserError
from harness.core.example import SPLITS
from harness.core.named_path import named_path
from harness.core.plain_json import json_text
from harness.core.whole_files import write_whole
from harness.data.chat import Chat
from harness.data.chat_writing import THINKING, turn_of
from harness.data.prompt_forms import written_keys
from harness.data.readers import format_of, read_rows
from harness.data.split_files import split_files
from harness.study.json_schema import study_schema
from harness.study.model_config import describe
from harness.study.packaged_files import model_location, packaged
from harness.study.tokenizer_without_model import light_reader

__all__ = ["write_starter", "write_text_study"]

SIZES = {"train": 200, "validation": 50, "test": 50}

SCHEMA = "study.schema.json"
"""Where the study's first line leads an editor."""

STUDY = """\
# yaml-language-server: $schema=study.schema.json
# Does an instruction help, and how much of the network must train for that?

# The comment above is the study's question; the report repeats it.
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
        Metric("few_words", True, few_words, share, signature, range=(0, 1)),
    ],
    max_target_tokens=32,
    stop=["\\n"],                  # ends a prediction
    example=example,              # left out, columns `source` and `target` are read, all others are fields
)
'''


TEXT_STUDY = """\
# yaml-language-server: $schema=study.schema.json
# How deep must a model learn this text?
name: {name}
task: text_generation
model: {{name: {model}}}
data: {{path: {text}}}
tuning: [{{last_blocks: 2}}, full]
training: {{epochs: 3, batch_size: 4, block_tokens: {block_tokens}, checkpoint: {{every: 10000, keep: 2}}}}
search: {{trials: 4}}
final: {{seeds: [11, 12]}}
"""

BLOCK = 128
"""Tokens of a block, where a model can read as many."""


CHAT = Chat("chat", user="Please sum up this note in one line.\n\n{{ source }}", shorten="source")
"""The prompt of a model that has a chat template."""

EMBEDDED_NAME = "embedded"

POLITE = re.compile(r"^  - \{name: polite.*\n", re.MULTILINE)


def write_starter(folder: Path, model: str | None = None) -> list[Path]:
    """Write the starter files and return their paths.

    Args:
        folder: Where.
        model: A Hub id or a local folder; left out, the embedded one.

    Raises:
        UserError: One of them is there already, or there is no such model; nothing is written then.
    """
    folder, source = named_path(folder), packaged() / "data" / "summarization"
    data = {split: list(islice(read_rows(source / f"{split}.jsonl.gz"), SIZES[split])) for split in SPLITS}
    lines = {split: [json.dumps(row, ensure_ascii=False) for row in rows] for split, rows in data.items()}
    files = {
        folder / "study.yaml": _study_of(model, folder) if model else STUDY,
        folder / SCHEMA: json_text(study_schema()) + "\n",
        folder / "my_task.py": TASK.format(row=lines["train"][0]),
        **{folder / "data" / f"{split}.jsonl": "\n".join(rows) + "\n" for split, rows in lines.items()},
    }
    return _written(files)


def write_text_study(folder: Path, text: Path, model: str | None = None) -> list[Path]:
    """Write a study of plain text, and return the files.

    Args:
        folder: Where.
        text: A file of text, or a folder with files of splits.
        model: A Hub id or a local folder; left out, the embedded one.

    Raises:
        UserError: There is no such text or model, or a study already; nothing is written then.
    """
    folder, text = named_path(folder), named_path(text)
    _refuse_text(text)
    context = describe(model_location(model or EMBEDDED_NAME)).context or BLOCK
    study = TEXT_STUDY.format(
        name=_quoted(_name_of(text)),
        model=_quoted(_from(folder, named_path(model), model) if model else EMBEDDED_NAME),
        text=_quoted(_from(folder, text, str(text))),
        block_tokens=min(BLOCK, context),
    )
    return _written({folder / "study.yaml": study, folder / SCHEMA: json_text(study_schema()) + "\n"})


def _name_of(text: Path) -> str:
    """Return what a study of a text is called: what the file or the folder is, as far as studies can be called so."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text.resolve().name.partition(".")[0]).strip("-_.") or "text"


def _refuse_text(text: Path) -> None:
    """See that a text is there.

    Raises:
        DataError: It is not, or is of a form that holds no text alone.
    """
    if text.is_dir():
        train = split_files(text).files["train"][0]
    elif text.is_file():
        train = text
    else:
        raise DataError(f"no such text: {text}; name a .txt file, or a folder with train.txt")
    if format_of(train) != "txt":
        raise DataError(f"{train} is no .txt file; write data.path into a study file yourself where rows are documents")


def _written(files: Mapping[Path, str]) -> list[Path]:
    """Write files of which none is there, or only as it would be written.

    Raises:
        UserError: One is there, and another one.
    """
    for file, text in files.items():
        if file.exists() and file.read_bytes() != text.encode():  # else an earlier command was cut short
            raise UserError(f"{file} is there already; run `harness init` in an empty folder, or name one")
    for file, text in files.items():
        write_whole(file, text)
    return list(files)


def _from(folder: Path, place: Path, name: str) -> str:
    """Return how a study in a folder names a path; a name that is none of a path that is there stays as it is."""
    return os.path.relpath(place, folder) if place.exists() and not place.is_absolute() else name


def _study_of(model: str, folder: Path) -> str:
    """Return the study of a model, with a chat where it has a chat template.

    Raises:
        ModelError: There is no such model.
    """
    name = _from(folder, named_path(model), model)
    text = STUDY.replace("name: embedded ", f"name: {_quoted(name)} ")
    chat = _chat_of(model)
    line = f"  - {{{', '.join(f'{key}: {_quoted(value)}' for key, value in chat.items())}}}\n" if chat else ""
    return POLITE.sub(lambda polite: polite[0] + line, text)


def _quoted(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return value if isinstance(value, str) and re.fullmatch(r"[A-Za-z./][\w./-]*", value) else text


def _chat_of(model: str) -> dict[str, object]:
    """Return the keys of a chat that goes with a model's chat template, thoughts left out if need be; else none."""
    description = describe(model_location(model))
    if description.tokenizer_file is None:
        return {}
    reader = light_reader(description)
    for chat in (CHAT, replace(CHAT, template_args={THINKING: False})):
        with suppress(TemplateError):
            turn_of(chat, reader)
            return written_keys(chat)
    return {}
