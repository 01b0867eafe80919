"""Sampling: tokens that are drawn, each row by a generator of its own.

A row's generator is seeded by the study's seed and the row's own prompt, and drawn from once a token: whatever rows
stand beside it, in whatever order and wherever it is answered, its draws are the same ones. They are made on the CPU,
where they are those of ``generate(do_sample=True)`` on that row alone, after ``torch.manual_seed(row_seed(...))``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopPLogitsWarper

from harness.core.example import digest
from harness.study.decoding_settings import Decoding

__all__ = ["RowSampler", "row_seed"]


def row_seed(seed: int, prompt: Sequence[int]) -> int:
    """Return what seeds a row's generator.

    Args:
        seed: The study's.
        prompt: The row's token ids, without padding.
    """
    return int(digest([seed, list(prompt)]), 16)


class RowSampler(LogitsProcessor):  # type: ignore[misc]  # transformers is skipped
    """A logits processor that draws each row's next token, and leaves no other one possible; the last of all."""

    def __init__(self, decoding: Decoding, inputs: Mapping[str, Tensor]) -> None:
        """Take the settings, and prompts: ``input_ids`` and ``attention_mask``, each of shape (rows, tokens)."""
        self._warpers = [
            *([TemperatureLogitsWarper(decoding.temperature)] if decoding.temperature != 1 else []),
            *([TopPLogitsWarper(decoding.top_p)] if decoding.top_p < 1 else []),
        ]
        rows = zip(inputs["input_ids"], inputs["attention_mask"].bool(), strict=True)
        prompts = [ids[read].tolist() for ids, read in rows]
        self._generators = [torch.Generator().manual_seed(row_seed(decoding.seed, prompt)) for prompt in prompts]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Return scores of shape (rows, vocabulary): 0 for the token that was drawn, -inf for all others."""
        shaped = scores
        for warper in self._warpers:
            shaped = warper(input_ids, shaped)
        rows = torch.tensor_split(shaped.softmax(dim=-1).cpu(), len(shaped))  # (1, vocabulary) each
        drawn = [torch.multinomial(row, 1, generator=own) for row, own in zip(rows, self._generators, strict=True)]
        return torch.full_like(scores, -torch.inf).scatter(1, torch.cat(drawn).to(scores.device), 0.0)

    def keep(self, order: Tensor) -> None:
        """Go on with these rows, in this order."""
        self._generators = [self._generators[place] for place in order.tolist()]
