"""What the benchmarks share: a random model with data that fits it exactly, the real command on it, and tables."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).parents[1]
OUT = ROOT / "benchmarks" / "out"
SPECIALS = ("<pad>", "</s>", "<unk>")
STATES = 400
"""Words that texts are made of; a target is learned from few rows."""

TASK = """\
from harness.study.task import Task
from harness.data.template import Template

task = Task(
    name="chain",
    data="data",
    prompts=[Template("bare", "{{ source }}", shorten="source")],
    metrics=["chrf"],
    max_target_tokens=%d,
)
"""


class Shape(NamedTuple):
    """A causal model of random weights, and the length of every example."""

    family: str = "llama"
    """``llama`` or ``gpt2``."""
    blocks: int = 6
    width: int = 288
    inner: int = 768
    """Of the feed-forward part."""
    heads: int = 6
    key_heads: int | None = None
    """Of keys and values; ``None``: as many."""
    vocabulary: int = 32_000
    source: int = 224
    """Tokens of every prompt."""
    target: int = 32
    """Tokens of every target, its end token among them."""

    @property
    def key_width(self) -> int:
        """Of keys and values."""
        return self.width * (self.key_heads or self.heads) // self.heads

    @property
    def tokens(self) -> int:
        """Tokens of an example."""
        return self.source + self.target


class Finished(NamedTuple):
    """A process that ended well."""

    seconds: float
    """From its start to its end."""
    peak_mib: float
    """The most memory that it held."""


class Cell(NamedTuple):
    """What the store says of one cell's search."""

    seconds: float
    """From the end of the cell before it; of the first cell, from the start of the search phase. Nothing is left out:
    recordings, drawing and logging are in it."""
    losses: dict[float, float]
    """Learning rates to the last epoch's validation loss."""


def write_place(folder: Path, shape: Shape, rows: Mapping[str, int], *, data: str = "data") -> None:
    """Write a model with its tokenizer, a task and its data.

    Args:
        folder: Where ``model``, ``task.py`` and the data's folder go.
        shape: Sizes; a word is a token, so lengths are exact.
        rows: Splits to their number of examples.
        data: Name of the data's folder.
    """
    save_model(folder / "model", shape)
    (folder / "task.py").write_text(TASK % (shape.target - 1), encoding="utf-8")
    (folder / data).mkdir()
    for seed, (split, number) in enumerate(rows.items()):
        lines = [json.dumps(row) for row in _texts(split, number, shape, random.Random(seed))]
        (folder / data / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_study(folder: Path, name: str, **sections: Any) -> Path:
    """Write a study that tunes by validation loss and ends without final runs; return its file."""
    study = {
        "name": name,
        "task": "./task.py",
        "model": {"name": "model"},
        "data": {"path": "data"},
        "prompts": ["bare"],
        "final": {"seeds": []},
        **sections,
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return file


def finish(command: Sequence[str | Path], folder: Path, **environment: str) -> Finished:
    """Run a process to its end, with its output in a file beside it.

    Raises:
        RuntimeError: It failed; the message ends with its last output.
    """
    log = folder / "log.txt"
    settings = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
    with log.open("w") as output:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env={**settings, **environment}, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    return Finished(seconds, usage.ru_maxrss / 1024)


def run_harness(study: Path) -> Finished:
    """Run a study with the command that users run."""
    return finish([Path(sys.executable).with_name("harness"), "run", study.name], study.parent)


def searches(folder: Path, name: str) -> dict[str, Cell]:
    """Return what the store in a folder says of a study's searches, by tuning, in the order in which they ran."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=5000, order_by=["attributes.start_time"])
    before = max(run.info.start_time for run in runs if run.data.tags["phase"] == "cell")
    trials: dict[str, list[Any]] = {}
    for run in runs:
        if run.data.tags["phase"] == "search":
            trials.setdefault(run.data.params["tuning"], []).append(run)
    found = {}
    for tuning, members in trials.items():
        end = max(run.info.end_time for run in members)
        losses = {float(run.data.params["learning_rate"]): run.data.metrics["validation/loss"] for run in members}
        found[tuning] = Cell((end - before) / 1000, losses)
        before = end
    return found


def write_json(name: str, content: Any) -> None:
    """Write what a benchmark found."""
    OUT.mkdir(exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def print_table(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows of one set of columns, numbers on the right."""
    cells = [[_shown(value) for value in row.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(rows[0], *cells, strict=True)]
    for line in (list(rows[0]), *cells):
        print("  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)))
    print(flush=True)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.4g}"


def _texts(split: str, number: int, shape: Shape, random: random.Random) -> Iterator[dict[str, str]]:
    """Yield walks through a fixed chain of words, in which a target goes on from where its source ends.

    Four times in five a word is followed by the same one, so there is something to learn; the loss has a floor.
    """
    for index in range(number):
        state, words = random.randrange(STATES), []
        for _ in range(shape.tokens - 1):
            state = (state * 7 + 3) % STATES if random.random() < 0.8 else random.randrange(STATES)
            words.append(f"w{state}")
        source, target = " ".join(words[: shape.source]), " ".join(words[shape.source :])
        yield {"id": f"{split}-{index}", "source": source, "target": target}


def save_model(folder: Path, shape: Shape) -> None:
    """Write a random model with its tokenizer, to which a word is a token."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig, PreTrainedTokenizerFast
    from transformers.utils import logging

    logging.disable_progress_bar()
    words = [*SPECIALS, *(f"w{number}" for number in range(shape.vocabulary - len(SPECIALS)))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    ids = {"vocab_size": shape.vocabulary, "pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    config: Any
    if shape.family == "gpt2":
        dropout = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}
        sizes = {"n_embd": shape.width, "n_inner": shape.inner, "n_head": shape.heads, "n_layer": shape.blocks}
        config = GPT2Config(**ids, **sizes, **dropout)
    else:
        config = LlamaConfig(
            **ids,
            hidden_size=shape.width,
            intermediate_size=shape.inner,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.key_heads or shape.heads,
            num_hidden_layers=shape.blocks,
            max_position_embeddings=1024,
        )
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
