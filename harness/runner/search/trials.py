"""The search of all cells: trials until each budget is spent, each of them one job and one child run.

Which trials of a search on ``loss`` are scored on the metrics as well, `docs/decisions/loss-as-proxy.md` says.
"""

from __future__ import annotations

import math
import time
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.core.absent_value import NONE
from harness.core.progress import Progress
from harness.runner.executors.protocol import Ended, EpochEnded, Event, Job, Lost, Measured, Reply, Scored, Trained
from harness.runner.objective import Objective
from harness.runner.resume.missing_runs import StudyRuns
from harness.runner.search.ended_trial import RECORD, Outcome, trial_facts
from harness.runner.search.failing_trials import FailureWatch
from harness.runner.search.optuna_search import Best, CellSearch, OpenTrial
from harness.runner.search.settle_trials import trial_notes
from harness.study.search_space import Hyperparameters
from harness.study.spec import PROXIED
from harness.study.written_space import RATE
from harness.tracking.run_records import TrialRecord
from harness.tracking.schema import Metrics, Tags

__all__ = ["SearchQueue"]


@dataclass
class _TakenTrial:
    """A trial that was taken."""

    cell: str
    drawn: OpenTrial
    run: str
    began: float = field(default_factory=time.perf_counter)
    value: float = math.nan
    """The objective: of the last score, at the end of the one that counts."""


class _Place(NamedTuple):
    """A trial that waits; they are done in this order."""

    order: int
    """Its cell's in the grid."""
    number: int
    """Its own in the cell."""
    cell: str


@dataclass
class SearchQueue:
    """The trials that are missing; within a cell one after the other where a draw depends on the finished ones."""

    searches: Mapping[str, CellSearch]
    """Of the cells that train, by id, in the grid's order."""
    neighbors: Mapping[str, str]
    """Cells to those whose winner their first trial is taken from, where there is a warm start."""
    objective: Objective
    runs: StudyRuns
    progress: Progress
    winners: dict[str, Best] = field(default_factory=dict, init=False)
    """Of the cells whose search is over, if any trial completed."""
    _open: dict[str, _TakenTrial] = field(default_factory=dict, init=False)
    _over: set[str] = field(default_factory=set, init=False)
    _names: list[str] = field(default_factory=list, init=False)
    """Of the trials that wait, in their order."""
    _places: dict[str, _Place] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._failures = FailureWatch(self.searches)
        self._order = {cell: order for order, cell in enumerate(self.searches)}
        self._ended = {cell: search.ended() for cell, search in self.searches.items()}
        self._begun: dict[str, set[int]] = {cell: set() for cell in self.searches}
        """The trials of each cell that wait or are under way."""
        for cell in self.searches:
            self._conclude(cell)
        for cell in self.searches:
            self._offer(cell)

    def winner(self, cell: str) -> Hyperparameters:
        """Return a cell's winner; without values where nothing trains, no trial completed or the search is not over."""
        best = self.winners.get(cell)
        return best.hyperparameters if best else Hyperparameters()

    def trials(self, cell: str) -> tuple[int, int]:
        """Return how many of a cell's trials that count are done, and how many are missing."""
        if cell not in self.searches:
            return 0, 0
        return len(self.searches[cell].counted()), len(self._missing(cell))

    def waiting(self) -> Sequence[str]:
        """Return the next trial of every cell, of one whose draws stand by themselves all that are missing."""
        return self._names

    def cell(self, name: str) -> str:
        """Return the cell of a trial that waits."""
        return self._places[name].cell

    def _missing(self, cell: str) -> list[int]:
        """Return the trials of a cell that have not ended."""
        budget = self.searches[cell].budget(self._start(cell))
        return [] if cell in self._over else [index for index in range(budget) if index not in self._ended[cell]]

    def _offer(self, cell: str) -> None:
        """Let those trials of a cell wait that may be begun now."""
        if cell in self._over or self.neighbors.get(cell) in self.searches.keys() - self._over:
            return
        # Which trials of a search on loss are scored in full depends on those before them as well.
        in_turn = self.searches[cell].draws_in_turn or self.objective.proxies
        for index in self._missing(cell)[: 1 if in_turn else None]:
            if index not in self._begun[cell]:
                name = f"{cell} trial {index}"
                self._begun[cell].add(index)
                self._places[name] = _Place(self._order[cell], index, cell)
                insort(self._names, name, key=self._places.__getitem__)

    def take(self, name: str) -> Job:
        """Ask Optuna for a trial, and start its run."""
        self._names.remove(name)
        _, index, cell = self._places.pop(name)
        search, start = self.searches[cell], self._start(cell)
        trial = search.ask(start, index)
        assert trial is not None
        record = TrialRecord(
            index=trial.index,
            optuna_trial=trial.optuna.number,
            hyperparameters=search.space.format(trial.hyperparameters),
            seed=str(search.spec.seed),
            warm_start=self.neighbors[cell] if start and trial.index == 0 else None,
        )
        params, tags = record.params(), record.tags()
        run = self.runs.start(cell, f"trial {trial.index}", phase="search", params=params, tags=tags)
        for key, value in trial_facts(self.objective.name, trial.hyperparameters, run).items():
            trial.optuna.set_user_attr(key, value)
        self._open[name] = _TakenTrial(cell, trial, run)
        self.progress.began(name, cell, final=False)
        identity = self.runs.identity(cell)
        return Job(name, cell, trial.hyperparameters, search.spec.seed, is_trial=True, identity=identity)

    def _start(self, cell: str) -> Hyperparameters | None:
        """Return what a cell's first trial is taken from, if not from the sampler."""
        neighbor = self.winners.get(self.neighbors.get(cell, ""))
        return neighbor.hyperparameters if neighbor else None

    def handle(self, event: Event) -> Reply:
        """Record an event of a trial."""
        trial = self._open[event.job]
        match event:
            case EpochEnded():
                return self._follow(event, trial)
            case Trained():
                return self._trained(event, trial)
            case Scored():
                made = {name: value for name, value in event.metrics.items() if name != Metrics.VALIDATION_LOSS}
                self.runs.tracker.metrics(trial.run, made, step=event.step)
            case Ended():
                self._end(event, self._open.pop(event.job))
            case Lost():
                self._lose(event, self._open.pop(event.job))
            case Measured():
                raise AssertionError(event)  # of final runs
        return Reply()

    def _follow(self, event: EpochEnded, trial: _TakenTrial) -> Reply:
        self.runs.tracker.metrics(trial.run, event.metrics, step=event.at)
        facts = {"epoch": event.epoch, "step": event.step, "metrics": event.metrics}
        self.progress.record("epoch", event.job, facts)
        trial.value = event.objective
        if not math.isfinite(event.objective):
            return Reply()
        trial.drawn.optuna.report(event.objective, event.at)
        return Reply(stop=not event.is_last and trial.drawn.optuna.should_prune())

    def _trained(self, event: Trained, trial: _TakenTrial) -> Reply:
        trial.value = event.objective
        if event.tags:
            self.runs.tracker.tags(trial.run, event.tags)
        if event.metrics:
            self.runs.tracker.metrics(trial.run, event.metrics, step=event.step)
        is_scored = self.objective.proxies and self.searches[trial.cell].among_best(event.objective, PROXIED)
        return Reply(score="validation" if is_scored else None)

    def _lose(self, event: Lost, trial: _TakenTrial) -> None:
        """Retire a trial's run as after a kill, and let the trial wait again."""
        self.runs.interrupt(self.runs.tracker.run(trial.run))
        self.searches[trial.cell].abandon(trial.drawn)
        self._begun[trial.cell].discard(trial.drawn.index)
        self._offer(trial.cell)

    def _end(self, event: Ended, trial: _TakenTrial) -> None:
        """Settle a trial: the tracked run first, Optuna's trial second; `settle_trials` relies on that."""
        search, state = self.searches[trial.cell], "diverged"
        if event.outcome == "diverged":
            tags = {Tags.OUTCOME: "diverged", Tags.ERROR: event.error, Tags.TRUNK: event.trunk, **event.memory}
            tags |= event.tags
            run = self.runs.end(trial.run, "FAILED", tags=tags, metrics=event.costs)
            trial.drawn.optuna.set_user_attr(RECORD, trial_notes(run))
            search.fail(trial.drawn, event.error)
            trial.value = math.nan
        else:
            is_pruned = event.outcome == "stopped"
            outcome: Outcome = "pruned" if is_pruned else "complete"
            state = outcome
            tags = {Tags.OUTCOME: outcome, Tags.TRUNK: event.trunk, **event.memory, **event.tags}
            metrics = {Metrics.OBJECTIVE: trial.value, **event.costs}
            run = self.runs.end(trial.run, "KILLED" if is_pruned else "FINISHED", tags=tags, metrics=metrics)
            trial.drawn.optuna.set_user_attr(RECORD, trial_notes(run))
            search.tell(trial.drawn.optuna.number, outcome, trial.value)
        self._ended[trial.cell].add(trial.drawn.index)
        self._begun[trial.cell].discard(trial.drawn.index)
        best, what = self._best(trial.cell), f"trial {trial.drawn.index}, {trial.drawn.hyperparameters.in_words()}"
        seconds = time.perf_counter() - trial.began
        facts = {
            "trial": trial.drawn.index,
            "state": state,
            "hyperparameters": dict(trial.drawn.hyperparameters),
            "value": trial.value,
            "best": best.value if best else None,
            "seconds": seconds,
            "error": event.error or None,
        }
        self.progress.record("trial", event.job, facts)
        self.progress.done(event.job, what, score=trial.value, best=best.value if best else math.nan, seconds=seconds)
        if event.error:
            self.progress.say(f"{event.job} failed, at {trial.drawn.hyperparameters.in_words()}: {event.error}")
            self._failures.failed(trial.cell, trial.drawn.index, trial.drawn.hyperparameters, event.error)
        else:
            self._failures.ended(trial.cell)
        self._conclude(trial.cell)
        begun_after = [cell for cell, start in self.neighbors.items() if start == trial.cell and cell in self.searches]
        for cell in (trial.cell, *begun_after):
            self._offer(cell)

    def _conclude(self, cell: str) -> None:
        """Take note of a cell's winner, if its budget is spent, and of how many trials it is the best of."""
        search, start = self.searches[cell], self._start(cell)
        if self._missing(cell):
            return
        best = self._best(cell)
        if search.widen(best, start):
            if self._missing(cell):
                self.progress.say(f"{cell}: {search.added[-1].in_words()}")
                self.progress.more(cell, len(self._missing(cell)))
            self._conclude(cell)
            return
        self._over.add(cell)
        if best:
            self.winners[cell] = best
        elif why := search.last_failure():
            self.progress.say(f"{cell}: no trial came to its end, the last one since {why}")
        winner = str(best.trial) if best else NONE
        tags = {Tags.BEST_TRIAL: winner, Tags.TRIALS: str(len(search.counted()))}
        if search.added and (rates := search.reach.find(RATE)):
            added = sum(decade.trials for decade in search.added)
            tags |= {Tags.ADDED_TRIALS: str(added), Tags.WIDENED: f"{rates.low!r} {rates.high!r}"}
        self.runs.note(cell, tags)

    def _best(self, cell: str) -> Best | None:
        trials = self.runs.children(cell, "search")
        loss = Metrics.VALIDATION_LOSS
        losses = {int(run.tags[Tags.OPTUNA_TRIAL]): run.metrics[loss] for run in trials if loss in run.metrics}
        return self.searches[cell].best(losses)
