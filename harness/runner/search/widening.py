"""No winner on an edge, ``search.edges: extend``: a decade more of learning rates, and trials drawn in it.

What is drawn in a decade depends on the trials of that decade alone, so it is the same after a kill.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import optuna
from optuna.trial import FrozenTrial

from harness.runner.search.samplers import distribution_of, sampler_of, startup_points
from harness.study.dimension import Dimension
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.study.spec import Search
from harness.study.written_space import RATE

__all__ = ["MOST", "Decade", "decade_beyond", "drawn"]

MOST = 2
"""How many times the range of a cell is widened."""


class Decade(NamedTuple):
    """What was added at an end of a range."""

    begin: int
    """The index of its first trial."""
    trials: int
    space: SearchSpace
    """Its learning rates, and all else as it was."""
    reach: SearchSpace
    """The cell's space with the decade joined to it."""

    def in_words(self) -> str:
        """Return what is told when it is added."""
        rates = self.space.find(RATE)
        assert rates is not None
        ends = f"from {rates.low:g} to {rates.high:g}"
        return f"the best learning rate lies at an end of its range; {self.trials} further trials {ends}"


def decade_beyond(reach: SearchSpace, winner: Hyperparameters, spec: Search, begin: int) -> Decade | None:
    """Return what is added where a winner lies at an end of its learning rates, ``None`` where it does not."""
    rates = reach.find(RATE)
    wider = rates.widened(winner[RATE]) if rates else None
    if rates is None or wider is None:
        return None
    ends = (wider.low, rates.low) if wider.low < rates.low else (rates.high, wider.high)
    space = reach.replaced(Dimension(RATE, *ends, rates.scale))
    trials = len(_grid(space, reach, spec)) if spec.sampler == "grid" else spec.trials
    return Decade(begin, trials, space, reach.replaced(wider))


def drawn(decade: Decade, spec: Search, index: int, ended: Sequence[FrozenTrial], *, maximize: bool) -> Hyperparameters:
    """Return the trial of an index: a point of a grid, or what the sampler draws after those that ended here."""
    place = index - decade.begin
    if spec.sampler == "grid":
        return _grid(decade.space, decade.reach, spec)[place]
    begun = startup_points(decade.space, spec.seed) if spec.sampler == "gp" else []
    if place < len(begun):
        return begun[place]
    distributions = {d.name: distribution_of(d) for d in decade.space.dimensions}
    sampler = sampler_of(spec, index)
    study = optuna.create_study(direction="maximize" if maximize else "minimize", sampler=sampler)
    for trial in ended:
        study.add_trial(
            optuna.trial.create_trial(
                state=trial.state,
                params=trial.params,
                distributions=distributions,
                value=trial.value,
                intermediate_values=trial.intermediate_values,
            )
        )
    return decade.space.take(study.ask(distributions).params)


def _grid(space: SearchSpace, reach: SearchSpace, spec: Search) -> list[Hyperparameters]:
    """Return as many points as there are trials; the end that the decade shares with the range was tried before."""
    rates, all_rates = space.find(RATE), reach.find(RATE)
    assert rates is not None
    assert all_rates is not None
    shared = rates.high if all_rates.low == rates.low else rates.low
    found: list[Hyperparameters] = []
    for count in range(spec.trials, 2 * spec.trials + 2):
        points = [point for point in space.grid(count) if point[RATE] != shared]
        if len(found) < len(points) <= spec.trials:
            found = points
    return found
