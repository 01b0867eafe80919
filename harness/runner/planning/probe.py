"""A short measurement of what a study's training runs will take, on a sample of its rows.

It goes the way of every run, through `harness.training.trainer.Trainer`, so that whatever makes runs faster or slower
is in it. What it takes is divided by the work that it did; the whole study's work is counted, and the two multiplied.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import NamedTuple

from harness.core.example import Example, Split
from harness.data.encode_split import encode_split
from harness.data.tokenization import PromptForm, Row
from harness.runner.planning.workload import Load, load_of
from harness.study.checked_study import Checked
from harness.study.grid import Cell, cell_space
from harness.study.search_space import Hyperparameters
from harness.study.settings import token_limits
from harness.study.tokenizer_without_model import light_reader
from harness.study.written_space import RATE
from harness.training.evaluation import Decoding
from harness.training.trainer import Trainer

__all__ = ["SCORED", "Speed", "longest_prompt", "longest_rows", "probe_trainer", "sample", "speed_of"]

TRAINED, SCORED = 4, 3
"""Batches of training and of scored rows in a sample."""

TOKENS = 8
"""Generated at a time; a step takes about as long wherever it stands."""


class Speed(NamedTuple):
    """What the parts of one tuning's runs take, in seconds."""

    opening: float
    """A training run's beginning and end: what trains is set up, recordings are verified, weights are put back."""
    recording: float
    """Per token of training and validation rows; 0 where nothing was left to record."""
    training: float
    """Per token and epoch."""
    loss: float
    """Per token scored."""
    prefill: float
    """Generation's first tokens and all that is done once, per token of prompts."""
    step: float
    """Per further call of the model."""

    def scoring(self, load: Load, *, generate: bool) -> float:
        """Return what it takes to score some rows."""
        made = load.prompts * self.prefill + load.steps * self.step if generate else 0.0
        return load.tokens * self.loss + made


def longest_prompt(checked: Checked, prompts: Sequence[PromptForm]) -> PromptForm:
    """Return the prompt whose rows are longest; a probe of it sees the most memory that the study needs."""
    if len(prompts) == 1:
        return prompts[0]
    return max(prompts, key=lambda prompt: sum(map(_length, _rows(checked, prompt, "validation"))))


def sample(checked: Checked, prompt: PromptForm, *, brief: bool = False) -> dict[Split, list[Example]]:
    """Return a few batches' worth of training and validation examples, from the shortest to the longest row.

    A brief sample is one batch of each, of rows of middle length.
    """
    study, counts = checked.study, (1, 1) if brief else (TRAINED, SCORED)
    return {
        "train": _spread(checked, prompt, "train", study.training.batch_size, counts[0]),
        "validation": _spread(checked, prompt, "validation", study.first_generation.batch_size, counts[1]),
    }


def longest_rows(checked: Checked, prompt: PromptForm) -> dict[Split, list[Example]]:
    """Return a batch's worth of training and validation examples, those of the longest rows."""
    study = checked.study
    sizes: dict[Split, int] = {"train": study.training.batch_size, "validation": study.first_generation.batch_size}
    found = {}
    for split, size in sizes.items():
        wanted = {row.id for row in sorted(_rows(checked, prompt, split), key=_length)[-size:]}
        found[split] = [example for example in checked.examples[split] if example.id in wanted]
    return found


def _spread(checked: Checked, prompt: PromptForm, split: Split, size: int, count: int) -> list[Example]:
    if checked.text:  # all blocks are alike
        return list(checked.examples[split][: size * count])
    rows = sorted(_rows(checked, prompt, split), key=_length)
    chunks = [rows[start : start + size] for start in range(0, len(rows), size)]
    parts = [part / (count - 1) for part in range(count)] if count > 1 else [0.5]
    places = sorted({round(part * (len(chunks) - 1)) for part in parts})
    wanted = {row.id for place in places for row in chunks[place]}
    return [example for example in checked.examples[split] if example.id in wanted]


def _rows(checked: Checked, prompt: PromptForm, split: Split) -> Sequence[Row]:
    reader = light_reader(checked.description, checked.study.model.target_language)
    limits = token_limits(checked.study, checked.task)
    dropping = split == "train"
    examples = checked.demonstrations.attached(prompt, checked.examples[split], of_train=dropping)
    return encode_split(examples, prompt, reader, limits=limits, of_train=dropping).rows


def _length(row: Row) -> int:
    return len(row.prompt) + len(row.target)


def probe_trainer(checked: Checked, examples: Mapping[Split, list[Example]], *, replay: bool) -> Trainer:
    """Return a trainer with a sample alone, where a training run is one epoch and nothing is recorded on disk."""
    study = checked.study
    engine = study.engine.model_copy(update={"replay": replay, "memory_mib": None, "disk_mib": 0})
    training = study.training.model_copy(update={"epochs": 1, "steps": None, "evaluate_every": None})
    brief = study.model_copy(update={"engine": engine, "training": training})
    return Trainer(replace(checked, file=replace(checked.file, study=brief), examples=dict(examples), parts={}))


def speed_of(trainer: Trainer, cell: Cell, *, generate: bool) -> Speed:
    """Measure one tuning: train and score the sample twice, the second time with all recorded and warm.

    The model is afterwards as it was. Without ``generate``, no predictions are made.
    """
    whole = trainer.setup.decoding
    size, tokens = trainer.setup.study.training.batch_size, min(TOKENS, whole.max_new_tokens)
    # One token in the first pass: the difference between the two is what the others take.
    cold = _pass(trainer, cell, _with_tokens(whole, 1), generate=generate)
    warm = _pass(trainer, cell, _with_tokens(whole, tokens), generate=generate)
    trainer.setup.decoding = whole
    train, scored = (
        load_of(trainer.setup.encoded(cell.prompt, split).rows, trainer.setup.loaded, batch_size=size, decoding=whole)
        for split in ("train", "validation")
    )
    steps = scored.starts * (tokens - 1)
    return Speed(
        opening=warm.rest,
        recording=max(0.0, cold.rest - warm.rest) / (train.tokens + scored.tokens) if cold.is_replayed else 0.0,
        training=warm.training / train.tokens,
        loss=warm.loss / scored.tokens,
        prefill=cold.generation / scored.prompts if scored.prompts else 0.0,
        step=max(0.0, warm.generation - cold.generation) / steps if steps else 0.0,
    )


def _with_tokens(decoding: Decoding, most: int) -> Decoding:
    return decoding._replace(max_new_tokens=most, min_new_tokens=min(most, decoding.min_new_tokens))


class _Pass(NamedTuple):
    """Seconds of a training run with its scoring."""

    training: float
    loss: float
    generation: float
    rest: float
    is_replayed: bool


def _pass(trainer: Trainer, cell: Cell, decoding: Decoding, *, generate: bool) -> _Pass:
    trainer.setup.decoding = decoding
    start, training = time.perf_counter(), 0.0
    rates = cell_space(trainer.setup.study, cell).find(RATE)
    lowest = Hyperparameters({RATE: rates.lowest} if rates else {})  # all else is the sample's own
    with trainer.run(cell) as run:
        if not cell.tuning.trains:
            scored = run.score("validation", generate=generate)
        else:
            with closing(run.epochs(lowest, seed=0)) as epochs:
                for epoch in epochs:
                    training = epoch.seconds
                    scored = run.score("validation", generate=generate)
    generation = scored.generation_seconds
    loss = scored.seconds - generation
    rest = time.perf_counter() - start - training - loss - generation
    return _Pass(training, loss, generation, rest, run.is_replayed)
