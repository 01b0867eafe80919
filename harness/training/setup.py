"""What training and scoring of a study start from: its model on the device, its splits in token ids, its decoding.

The training and validation splits are there alone until `TrainingSetup.open_test` is called, so a search cannot reach
the test split.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import torch

from harness.core.example import Example, Split
from harness.data.tokenization import Encoded, PromptForm, Row, encode
from harness.metrics.base import Metric
from harness.metrics.evaluate_hub import resolve_all
from harness.models.hooks import eval_mode
from harness.models.last_block import block_asked_at_labels, modules_at_labels
from harness.models.load import load_study_model
from harness.study.check import Checked
from harness.study.settings import new_tokens, stop_texts, token_limits
from harness.training.answers_begin import refuse_other_beginning
from harness.training.batching import loss_batches
from harness.training.evaluation import Decoding
from harness.training.fast_matmul import install
from harness.training.loop import device
from harness.training.loss import ForwardPass

__all__ = ["TrainingSetup", "keep_freed"]

MMAP_MAX, TRIM_THRESHOLD = -4, -1
"""glibc's ``M_MMAP_MAX`` and ``M_TRIM_THRESHOLD``; see mallopt(3)."""


class TrainingSetup:
    """A study's model and data, ready to be trained and scored."""

    def __init__(self, checked: Checked, say: Callable[[str], None]) -> None:
        study, task = checked.study, checked.task
        self.study = study
        self.metrics: list[Metric] = resolve_all(checked.metrics)
        keep_freed()
        self.loaded = load_study_model(study.model)
        torch.nn.Module.to(self.loaded.model, device(study.training.device))
        if study.training.precision == "fp32":
            install(self.loaded.model)
        self.limits = token_limits(study, task)
        self.decoding = Decoding(
            max_new_tokens=new_tokens(study, task),
            num_beams=study.generation.num_beams,
            stop=stop_texts(study, task, is_encoder_decoder=self.loaded.is_encoder_decoder),
            batch_size=study.generation.batch_size,
        )
        self._examples: dict[Split, list[Example]] = dict(checked.examples)
        self._encoded: dict[tuple[PromptForm, Split], Encoded] = {}
        self.whole_forward = ForwardPass(self.loaded.model, precision=study.training.precision)
        """The model's way to its loss with nothing left out and nothing replayed."""
        self.forward = replace(
            self.whole_forward,
            at_labels=modules_at_labels(self.loaded.model),
            asked_at_labels=block_asked_at_labels(self.loaded.model),
        )
        """The way to its loss as it stands, for any rows: nothing is replayed."""
        rows = self.encoded(checked.prompts[0], "validation").rows
        refuse_other_beginning(study.model.name, self.loaded, rows[0])
        if not self._is_exact(rows):
            self.forward = self.whole_forward
            say("the last block is computed at all positions: its losses on these rows were others without")

    def open_test(self, examples: Sequence[Example]) -> None:
        """Hand the test split in; done once, when the searches are over."""
        self._examples["test"] = list(examples)

    def examples(self, split: Split) -> list[Example]:
        """Return a split's examples."""
        return self._examples[split]

    def encoded(self, prompt: PromptForm, split: Split) -> Encoded:
        """Return a split in token ids, as one prompt has it."""
        key = (prompt, split)
        if key not in self._encoded:
            self._encoded[key] = encode(
                self._examples[split], prompt, self.loaded, limits=self.limits, drop_long_targets=split == "train"
            )
        return self._encoded[key]

    def _is_exact(self, rows: Sequence[Row]) -> bool:
        """Return whether losses of the longest rows are the same with parts of the last block left out."""
        whole = self.whole_forward
        batches = loss_batches(rows, self.loaded, batch_size=self.study.training.batch_size)
        longest = max(batches, key=lambda batch: batch.inputs["input_ids"].size(1)).to(whole.model.device)
        with torch.no_grad(), eval_mode(whole.model):
            live, short = whole.token_nlls(longest), self.forward.token_nlls(longest)
        low = whole.precision == "bf16" or whole.model.dtype.itemsize < 4
        return bool((short - live).abs().max() <= (2e-2 if low else 1e-5) * live.abs().max())  # false for nan


def keep_freed() -> None:
    """Let large arrays come from memory that the process has already, where the allocator is glibc's."""
    with suppress(OSError, AttributeError):
        glibc = ctypes.CDLL("libc.so.6")
        glibc.mallopt(MMAP_MAX, 0)
        glibc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
