"""Results of a study of any number of axes that was never run: the more it trains on, the more of a target it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from harness.metrics import get
from harness.results.collect import Results
from harness.stats.answers import Answered, Answers
from tests.support.made_up_results import case, cell, losses, said, study

__all__ = ["grid", "share_known"]


def share_known(levels: Mapping[str, str]) -> float:
    """Return which share of a target's words a cell says: less by a power of how many rows it was trained on."""
    prompt, size = int(levels["prompt"][-1]), int(levels.get("train_size", 200))
    rows = size * (1.0 + 1.5 * prompt) * (2.0 if levels["tuning"] == "full" else 1.0)
    if levels["tuning"] == "none":
        return 0.2 + 0.05 * prompt
    larger = 0.08 if levels.get("model", "").endswith("b") else 0.0
    return min(0.97, 0.9 + larger - 4.0 * rows**-0.5)


def grid(
    axes: Mapping[str, Sequence[str]] | None = None,
    *,
    prompts: int = 2,
    tunings: Sequence[str] = ("none", "last_blocks-1", "full"),
    seeds: int = 3,
    examples: int = 40,
    trials: int = 2,
) -> Results:
    """Return results with further axes behind prompts and tunings, each with its levels."""
    generator, metric, further = np.random.default_rng(0), get("rougeL"), axes or {}
    cases = tuple(case(number, generator) for number in range(examples))
    answered, cells, names = {}, [], [f"prompt{p}" for p in range(prompts)]
    for number, levels in enumerate(product(names, tunings, *further.values())):
        factors = dict(zip(("prompt", "tuning", *further), levels, strict=True))
        trains = factors["tuning"] != "none"
        runs = tuple(
            said(cases, share_known(factors), np.random.default_rng([number, seed]))
            for seed in range(seeds if trains else 1)
        )
        name = "/".join(levels)
        answered[name] = Answered(runs, seeded=trains)
        scores = [metric.reduce([metric.statistics(*pair) for pair in zip(run, cases, strict=True)]) for run in runs]
        cells.append(replace(cell(levels[0], levels[1], scores, trials if trains else 0), id=name, factors=factors))
    first = study(prompts=prompts, tunings=2, trials=trials, seeds=1, examples=4)
    last = [levels[0] for levels in further.values()]
    return replace(
        first,
        cells=tuple(cells),
        answers=Answers(cases, answered, {}),
        baseline="/".join(["prompt0", tunings[-1], *last]),
        depths=tuple(tunings),
        curves={one.id: tuple(losses(seed) for seed in range(seeds)) for one in cells if one.trials},
    )
