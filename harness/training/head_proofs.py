"""Proofs of a classification head: what must hold of a study's rows under one, tried before anything trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.data.tokenization import Row
from harness.models.hooks import MISFIT, eval_mode
from harness.models.load import Loaded
from harness.training.batching import rows_together
from harness.training.loss import ForwardPass
from harness.training.proofs import is_close

__all__ = ["scores_depend_on_others"]


def scores_depend_on_others(loaded: Loaded, forward: ForwardPass, rows: Sequence[Row]) -> bool:
    """Return whether the scores of labels are others where rows share a batch, and are padded, than alone.

    Args:
        loaded: The model under its head.
        forward: Its way to the scores.
        rows: Prompts in token ids; of these, the shortest and the longest are tried.
    """
    ordered = sorted(rows, key=lambda row: len(row.prompt))
    batch = rows_together([ordered[0], ordered[-1]], loaded).to(forward.model.device)
    with eval_mode(forward.model):
        expected = replace(forward, alone=True).label_scores(batch)
        try:
            return not is_close(loaded, forward.precision, replace(forward, alone=False).label_scores(batch), expected)
        except MISFIT:  # padding may lead beyond the last position
            return True
