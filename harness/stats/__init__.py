"""To change what may be claimed, open `verdicts`; a correction, `multiple_comparisons`; an interval, `contrasts`.

Intervals, tests and corrections, from statistics per example; `docs/statistics.md` shows their use elsewhere.

=========================  ============================================================================
file                       what it answers
=========================  ============================================================================
`summary`                  mean and spread of a handful of values
`resampling`               the score of any resample of the examples, fast
`intervals`                bootstrap intervals of one set of predictions: percentile and BCa
`paired`                   two sets of predictions as sacreBLEU compares them
`trained_cells`            final runs made ready, and all cells scored on the same resamples
`seed_variance`            how far other seeds would move a cell: its own, and the mean over trained cells
`shared_seeds`             the same, of cells whose runs have the same weights
`contrasts`                any cell, any difference between cells: interval and test
`multiple_comparisons`     families: with a baseline, with the best, all pairs, effects
`step_down`                their adjusted p-values
`power`                    how many examples it would take
`expected_best`            what so many trials of a search could be expected to find
`answers`                  what cells said to the same examples, and how it scores
`verdicts`                 what a study may claim
=========================  ============================================================================

A comparison of cells takes three steps: `runs` makes each cell's statistics ready, `resample` scores all cells on the
same resamples, and `to_baseline`, `all_pairs`, `effects` or `estimate` reads the result as often as needed.
"""

from __future__ import annotations

from harness.stats.contrasts import Estimate, Target, estimate
from harness.stats.expected_best import expected_best
from harness.stats.intervals import Interval, bootstrap
from harness.stats.multiple_comparisons import (
    Comparison,
    Effects,
    Verdict,
    all_pairs,
    effects,
    not_distinguishable,
    selection_luck,
    some_pairs,
    to_baseline,
    with_best,
)
from harness.stats.paired import Paired, approximate_randomization, paired_bootstrap
from harness.stats.power import examples_needed, power
from harness.stats.resampling import RESAMPLES
from harness.stats.step_down import holm
from harness.stats.summary import mean, spread
from harness.stats.trained_cells import Runs, Trained, resample, runs

__all__ = [
    "RESAMPLES",
    "Comparison",
    "Effects",
    "Estimate",
    "Interval",
    "Paired",
    "Runs",
    "Target",
    "Trained",
    "Verdict",
    "all_pairs",
    "approximate_randomization",
    "bootstrap",
    "effects",
    "estimate",
    "examples_needed",
    "expected_best",
    "holm",
    "mean",
    "not_distinguishable",
    "paired_bootstrap",
    "power",
    "resample",
    "runs",
    "selection_luck",
    "some_pairs",
    "spread",
    "to_baseline",
    "with_best",
]
