"""One Optuna study per cell: samplers, pruner, storage, seeds; see `docs/decisions/draws.md`.

A trial's index counts finished trials; Optuna's own number also counts interrupted ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from harness.runner.search.ended_trial import DIVERGED, INDEX, EndedTrial, Outcome, has_ended
from harness.runner.search.samplers import apart_from, distribution_of, pruner_of, sampler_of, startup_points
from harness.runner.search.widening import MOST, Decade, decade_beyond, drawn
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.study.spec import Search

__all__ = ["Best", "CellSearch", "OpenTrial", "known_search"]

IDENTITY = "identity"
"""What Optuna keeps beside a search."""


class Best(NamedTuple):
    """The winner of a cell."""

    hyperparameters: Hyperparameters
    value: float
    trial: int
    """Which trial it was."""


@dataclass(frozen=True)
class OpenTrial:
    """A trial that was drawn and has not ended; what a process that trains must know of it is its hyperparameters."""

    index: int
    """Which trial of the cell, counted over those that ended."""
    hyperparameters: Hyperparameters
    optuna: Trial
    """Its number is another one when a trial is drawn again after a kill."""


def known_search(studies: Sequence[Any], prefix: str, identity: str) -> str | None:
    """Return what the name of the newest of Optuna's studies with an identity has behind a prefix, if there is one."""
    names = [study.study_name for study in studies if study.user_attrs.get(IDENTITY) == identity]
    return next((name.removeprefix(prefix) for name in reversed(names) if name.startswith(prefix)), None)


class CellSearch:
    """The search for one cell's hyperparameters, under a name that no other search in the storage has.

    What it is given as ``first`` is tried before anything is drawn. Its identity, if it is given one, is what
    `known_search` finds it by.
    """

    def __init__(
        self,
        storage: optuna.storages.BaseStorage,
        name: str,
        *,
        spec: Search,
        space: SearchSpace,
        maximize: bool,
        first: Sequence[Hyperparameters] = (),
        identity: str = "",
    ) -> None:
        self.spec, self.space, self.first = spec, space, first
        self.added: list[Decade] = []
        """What `widen` added."""
        self._maximize = maximize
        self._read: list[FrozenTrial] | None = None
        """The trials as they were last read, if nothing was written since: nobody else writes a study's searches."""
        self._study = optuna.create_study(
            storage=storage,
            study_name=name,
            direction="maximize" if maximize else "minimize",
            pruner=pruner_of(spec, space),
            load_if_exists=True,
        )
        if identity and self._study.user_attrs.get(IDENTITY) != identity:
            self._study.set_user_attr(IDENTITY, identity)

    def finished(self) -> list[FrozenTrial]:
        """Return the trials that ended by themselves, by their index; one that a kill cut short is none."""
        return sorted(filter(has_ended, self._trials()), key=lambda trial: int(trial.user_attrs[INDEX]))

    def next_index(self) -> int:
        """Return the first index that no finished trial has."""
        taken = self.ended()
        return next(index for index in range(len(taken) + 1) if index not in taken)

    def ended(self) -> set[int]:
        """Return the indexes of the finished trials; where several are under way at once, a kill leaves gaps."""
        return {int(trial.user_attrs[INDEX]) for trial in self.finished()}

    @property
    def draws_in_turn(self) -> bool:
        """Whether what a trial draws, or whether it is given up, depends on the trials before it."""
        return self.spec.sampler in ("tpe", "gp") or self.spec.pruner != "none"

    def drawn(self, number: int) -> Mapping[str, str]:
        """Return a trial's hyperparameters as the params of a run."""
        params = self._trials()[number].params
        return self.space.format({d.name: d.typed(params[d.name]) for d in self.space.dimensions if d.name in params})

    def add(self, index: int, hyperparameters: Hyperparameters, ended: EndedTrial, shown: Mapping[str, Any]) -> int:
        """Add a finished trial that was drawn elsewhere, with its `trial_facts`; return Optuna's number of it."""
        states = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "diverged": TrialState.FAIL}
        diverged = {DIVERGED: ended.error} if ended.outcome == "diverged" else {}
        trial = optuna.trial.create_trial(
            state=states[ended.outcome],
            params=dict(hyperparameters),
            distributions={d.name: distribution_of(d, hyperparameters[d.name]) for d in self.space.dimensions},
            value=ended.value if ended.outcome == "complete" else None,
            user_attrs={INDEX: index, **shown, **diverged},
            intermediate_values=dict(ended.curve),
        )
        self._read = None
        self._study.add_trial(trial)
        return self._trials()[-1].number

    def recover(self, ended: Callable[[int], tuple[Outcome, float | None] | None]) -> None:
        """Settle the trials that a killed process left open.

        Args:
            ended: Optuna's number of a trial -> how the tracking store says that it ended, ``None`` if it did not.
        """
        if any(trial.state == TrialState.WAITING for trial in self._trials()):
            self._read = None
            self._study.ask()  # the kill came between enqueuing a grid point and asking for it
        for trial in [trial for trial in self._trials() if trial.state == TrialState.RUNNING]:
            known = ended(trial.number)
            if known is None:
                self._fail(trial.number)
            else:
                self.tell(trial.number, *known)

    def ask(self, start: Hyperparameters | None = None, index: int | None = None) -> OpenTrial | None:
        """Return a trial, ``None`` when the budget is spent.

        Args:
            start: The first trial's, the same at every call; left out: that one is drawn as well. A grid then has one
                point less, and a Gaussian process begins with two other thirds of the range.
            index: Which trial; left out: the next one.
        """
        index = self.next_index() if index is None else index
        if index >= self.budget(start):
            return None
        point, self._read = self._point(index, start), None
        if point is not None:
            self._study.enqueue_trial(dict(point))
        self._study.sampler = sampler_of(self.spec, index)
        space = {d.name: distribution_of(d, point[d.name] if point else None) for d in self.space.dimensions}
        trial = self._study.ask(space)
        trial.set_user_attr(INDEX, index)
        return OpenTrial(index, self.space.take(trial.params), trial)

    def _point(self, index: int, start: Hyperparameters | None) -> Hyperparameters | None:
        """Return a trial's point, ``None`` where the sampler draws it."""
        decade = next((decade for decade in reversed(self.added) if index >= decade.begin), None)
        if decade is None:
            known = self._known(start)
            return known[index] if index < len(known) else None
        ended = [trial for trial in self.finished() if decade.begin <= trial.user_attrs[INDEX] < index]
        return drawn(decade, self.spec, index, ended, maximize=self._maximize)

    @property
    def reach(self) -> SearchSpace:
        """What the search draws from by now."""
        return self.added[-1].reach if self.added else self.space

    def widen(self, winner: Best | None, start: Hyperparameters | None = None) -> bool:
        """Add a decade of learning rates, and trials for it, where the study says so and the winner lies at an end.

        Args:
            winner: Of the trials that count so far, all of which have ended.
            start: As for `ask`.
        """
        if self.spec.edges == "warn" or winner is None or len(self.added) == MOST:
            return False
        decade = decade_beyond(self.reach, winner.hyperparameters, self.spec, self.budget(start))
        self.added += [decade] if decade else []
        return decade is not None

    def budget(self, start: Hyperparameters | None = None) -> int:
        """Return how many trials the search has, ended ones included, if `ask` is given this start.

        Fewer than the study's where a grid has fewer points: several ranges cannot use every number of trials.
        """
        own = len(self._known(start)) if self.spec.sampler == "grid" else self.spec.trials
        return own + sum(decade.trials for decade in self.added)

    def _known(self, start: Hyperparameters | None) -> list[Hyperparameters]:
        """Return the points that no sampler draws, from the first trial on; a start lies in the space of its cell."""
        start = None if start is None else self.space.nearest(start)
        first = [setting for setting in self.first if setting != start]
        if self.spec.sampler == "grid":
            return self.space.grid_beside(first, self.spec.trials, start)
        given = [*([] if start is None else [start]), *first]
        if self.spec.sampler == "gp":
            given += apart_from(given, startup_points(self.space, self.spec.seed), self.space)
        return given

    def tell(self, number: int, outcome: Outcome, value: float | None = None) -> None:
        """Record how a trial of this number of Optuna's ended, with its objective if it is complete."""
        self._read = None
        if outcome == "complete":
            self._study.tell(number, value)
        else:
            self._study.tell(number, state=TrialState.PRUNED)

    def fail(self, trial: OpenTrial, reason: str) -> None:
        """Record a trial that diverged; it counts as finished."""
        trial.optuna.set_user_attr(DIVERGED, reason)
        self._fail(trial.optuna.number)

    def abandon(self, trial: OpenTrial) -> None:
        """Record that a trial did not end; its index is drawn again."""
        self._fail(trial.optuna.number)

    def _fail(self, number: int) -> None:
        self._read = None
        self._study.tell(number, state=TrialState.FAIL)

    def _trials(self) -> list[FrozenTrial]:
        if self._read is None:
            self._read = self._study.get_trials(deepcopy=False)
        return self._read

    def last_failure(self) -> str:
        """Return why the last trial that diverged did; empty where none did."""
        return next((t.user_attrs[DIVERGED] for t in reversed(self.finished()) if DIVERGED in t.user_attrs), "")

    def counted(self) -> list[FrozenTrial]:
        """Return the trials that the cell's result is made of: the first of the budget, whatever more were run once."""
        last = self.added[-1] if self.added else None
        most = last.begin + last.trials if last else self.spec.trials
        return [trial for trial in self.finished() if trial.user_attrs[INDEX] < most]

    def best(self, losses: Mapping[int, float] = MappingProxyType({})) -> Best | None:
        """Return the winner among the trials that count; ``None`` where none of them completed.

        Args:
            losses: Validation losses by Optuna's number, which decide among equals; without them the earliest wins.
        """
        complete = [trial for trial in self.counted() if trial.state == TrialState.COMPLETE]
        if not complete:
            return None
        winner = max(
            complete, key=lambda t: (self._merit(t.value), -losses.get(t.number, math.inf), -t.user_attrs[INDEX])
        )
        return Best(self.space.take(winner.params), float(winner.value or 0.0), int(winner.user_attrs[INDEX]))

    def among_best(self, value: float, count: int) -> bool:
        """Return whether a trial that ends with this value is among the best few of those that completed so far."""
        complete = [trial for trial in self.finished() if trial.state == TrialState.COMPLETE]
        return sum(self._merit(trial.value) >= self._merit(value) for trial in complete) < count

    def _merit(self, value: float | None) -> float:
        assert value is not None
        return value if self._maximize else -value
