"""What final models keep under other prompts than the one that they trained with.

Each final model answers the same examples under every prompt, so that its own score and those under the others are
paired by example and by run: their difference is taken within each run, on each resample of the examples, before seeds
enter as a variance component (`harness.stats.contrasts`). That a tuned model hangs on the wording of its prompt is
known from prompts for untuned ones (Sclar et al. 2024, "Quantifying Language Models' Sensitivity to Spurious Features
in Prompt Design") and from instruction tuning (Sun et al. 2024, "Evaluating the Zero-shot Robustness of
Instruction-tuned Language Models").
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from harness.stats.contrasts import Estimate, estimate
from harness.stats.resampling import RESAMPLES, Floats, Rescore
from harness.stats.trained_cells import Runs, resample

__all__ = ["Asked", "Transferred", "transferred"]


class Asked(NamedTuple):
    """The final runs of one cell, scored under several prompts; all over the same examples in the same order."""

    own: Runs
    """Under the prompt that they trained with."""
    others: Sequence[Runs]
    """Under each other prompt; run by run the same models."""
    untrained: tuple[Runs, Sequence[Runs]] | None = None
    """The untrained model under the same prompts, one run each; ``None`` where the study has it not under all."""


class Transferred(NamedTuple):
    """What is estimated of one cell, in units of the metric."""

    change: Estimate
    """Mean score under the other prompts, minus that under its own."""
    gain: Estimate | None = None
    """Its score minus the untrained model's, under its own prompt."""
    gain_elsewhere: Estimate | None = None
    """The same under the other prompts, on average: what of the gain is the weights'."""


def transferred(cells: Mapping[str, Asked], *, seed: int, resamples: int = RESAMPLES) -> dict[str, Transferred]:
    """Return what each cell's models keep under other prompts, with 95% intervals, each by itself.

    Args:
        cells: By name; each with one other prompt or more.
        seed: Of the resamples.
        resamples: How many.

    Raises:
        ValueError: Fewer than two examples, or groups of them.
    """
    compared = {name: cell for name, cell in cells.items() if cell.untrained}
    change = _estimates({name: _change(cell) for name, cell in cells.items()}, seed, resamples)
    own = _estimates({name: _gain(cell, elsewhere=False) for name, cell in compared.items()}, seed, resamples)
    other = _estimates({name: _gain(cell, elsewhere=True) for name, cell in compared.items()}, seed, resamples)
    return {name: Transferred(change[name], own.get(name), other.get(name)) for name in cells}


def _estimates(differences: Mapping[str, Runs], seed: int, resamples: int) -> dict[str, Estimate]:
    if not differences:
        return {}
    drawn = resample(differences, generator=np.random.default_rng(seed), resamples=resamples)
    return {name: estimate({name: 1.0}, drawn) for name in drawn}


def _change(cell: Asked) -> Runs:
    return _weighed(cell.own, [(-1.0, cell.own), *((1.0 / len(cell.others), other) for other in cell.others)])


def _gain(cell: Asked, *, elsewhere: bool) -> Runs:
    assert cell.untrained is not None
    own, others = cell.untrained
    if not elsewhere:
        return _weighed(cell.own, [(1.0, cell.own), (-1.0, own)])
    share = 1.0 / len(others)
    return _weighed(
        cell.own, [(sign * share, one) for sign, some in ((1.0, cell.others), (-1.0, others)) for one in some]
    )


def _weighed(like: Runs, parts: Sequence[tuple[float, Runs]]) -> Runs:
    """Return the runs of a cell with a weighted sum in place of their scores; what has one run counts with each."""

    def scorer(place: int) -> Rescore:
        chosen = [(weight, part.scorers[place if len(part.scorers) > 1 else 0]) for weight, part in parts]

        def score(counts: Floats) -> Floats:
            total: Floats = np.sum([weight * one(counts) for weight, one in chosen], axis=0)
            return total

        return score

    return like._replace(scorers=tuple(scorer(place) for place in range(len(like.scorers))), binary=False)
