"""The work of a study, counted prompt by prompt: batches, padded tokens, decoding steps, bytes of recordings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from harness.core.example import Split
from harness.data.tokenization import PromptForm, Row, encode
from harness.models.apply_tuning import first_block
from harness.models.load import Loaded
from harness.runner.planning.memory_footprint import Footprint, Sizes
from harness.study.check import Checked
from harness.training.batching import loss_batches
from harness.training.evaluation import Decoding, prompts_of
from harness.training.trainer import Trainer

__all__ = ["Load", "Work", "cuts_of", "load_of", "works"]

NOTHING = Sizes({}, 0)


class Load(NamedTuple):
    """The work that some rows are."""

    batches: int
    """Of their loss, per epoch."""
    tokens: int
    """Numbers in these batches, padding included."""
    prompts: int
    """Numbers in the batches of their generation, padding included."""
    steps: int
    """Calls of the model behind those for the first tokens, if predictions become as long as their targets."""
    starts: int
    """Batches of their generation."""


class Work(NamedTuple):
    """What there is to do with one prompt."""

    train: Load
    validation: Load
    recorded: tuple[Sizes, Sizes, Sizes]
    """For training losses, for validation losses, and for the start of generation."""


def works(prompts: Sequence[PromptForm], checked: Checked, trainer: Trainer) -> dict[PromptForm, Work]:
    """Count the work of whole splits.

    Args:
        prompts: Of the study.
        checked: The study.
        trainer: Its model and settings; its rows may be fewer.
    """
    study, loaded = checked.study, trainer.setup.loaded
    footprint = Footprint(loaded, sorted(cuts_of(trainer)), study.training.precision)
    replays_starts = (checked.objective != "loss" or study.final.seeds) and study.generation.num_beams == 1
    found = {}
    for prompt in prompts:
        train, validation = (_rows(split, prompt, checked, trainer) for split in ("train", "validation"))
        recorded = (NOTHING, NOTHING, NOTHING)
        if footprint.cuts:
            starts = footprint.of_prefill(validation, trainer.setup.decoding) if replays_starts else NOTHING
            recorded = (footprint.of_losses(train), footprint.of_losses(validation), starts)
        loads = [
            load_of(rows, loaded, batch_size=study.training.batch_size, decoding=trainer.setup.decoding)
            for rows in (train, validation)
        ]
        found[prompt] = Work(loads[0], loads[1], recorded)
    return found


def cuts_of(trainer: Trainer) -> dict[int, list[str]]:
    """Return the names of the tunings that make each cut, if the trainer's study replays."""
    found: dict[int, list[str]] = {}
    for tuning in trainer.setup.study.tuning if trainer.setup.study.engine.replay else ():
        if (cut := first_block(trainer.setup.loaded.model, tuning)) is not None:
            found.setdefault(cut, []).append(tuning.name)
    return found


def load_of(rows: Sequence[Row], loaded: Loaded, *, batch_size: int, decoding: Decoding) -> Load:
    """Count the work that some rows are.

    Args:
        rows: A split, as one prompt has it.
        loaded: The model.
        batch_size: Of losses.
        decoding: With the most new tokens, and generation's batch size.
    """
    losses, prompts = loss_batches(rows, loaded, batch_size=batch_size), prompts_of(rows, loaded, decoding)
    return Load(
        batches=len(losses),
        tokens=sum(tensor.numel() for batch in losses for tensor in batch.inputs.values()),
        prompts=sum(tensor.numel() for batch in prompts for tensor in batch.inputs.values()),
        steps=sum(_longest(rows, batch.indices, decoding) - 1 for batch in prompts),
        starts=len(prompts),
    )


def _longest(rows: Sequence[Row], indices: Sequence[int], decoding: Decoding) -> int:
    """Return how many tokens a batch generates: until the last of its rows is finished."""
    return min(decoding.max_new_tokens, max(len(rows[index].target) for index in indices))


def _rows(split: Split, prompt: PromptForm, checked: Checked, trainer: Trainer) -> list[Row]:
    examples, dropping = checked.examples[split], split == "train"
    return encode(examples, prompt, trainer.setup.loaded, limits=trainer.setup.limits, drop_long_targets=dropping).rows
