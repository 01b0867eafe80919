"""The search of all cells: trials until each budget is spent, each of them one job and one child run.

Which trials of a search on ``loss`` are scored on the metrics as well, `docs/decisions/loss-as-proxy.md` says.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.core.absent_value import NONE
from harness.core.progress import Progress
from harness.runner.executors.protocol import Ended, EpochEnded, Event, Job, Measured, Reply, Scored, Trained
from harness.runner.objective import Objective
from harness.runner.resume.missing_runs import StudyRuns
from harness.runner.search.optuna_search import RECORD, Best, CellSearch, OpenTrial, Outcome, trial_facts
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
    epoch: int = 0
    value: float = math.nan
    """The objective: of the last epoch, at the end of the one that counts."""


@dataclass
class SearchQueue:
    """The trials that are missing; within a cell one after the other, for a draw depends on the finished ones."""

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

    def __post_init__(self) -> None:
        self._next = {cell: len(search.finished()) for cell, search in self.searches.items()}
        for cell in self.searches:
            self._conclude(cell)

    def winner(self, cell: str) -> Hyperparameters:
        """Return a cell's winner; without values where nothing trains, no trial completed or the search is not over."""
        best = self.winners.get(cell)
        return best.hyperparameters if best else Hyperparameters()

    def trials(self, cell: str) -> tuple[int, int]:
        """Return how many of a cell's trials that count are done, and how many are missing."""
        if cell not in self.searches:
            return 0, 0
        search = self.searches[cell]
        done, missing = len(search.counted()), search.budget(self._start(cell)) - self._next[cell]
        return done, 0 if cell in self._over else missing

    def waiting(self) -> Sequence[str]:
        """Return the next trial of every cell that is not being searched just now."""
        return list(self._names())

    def _names(self) -> dict[str, str]:
        busy = {trial.cell for trial in self._open.values()}
        return {
            f"{cell} trial {index}": cell
            for cell, index in self._next.items()
            if cell not in busy | self._over and self.neighbors.get(cell) not in self.searches.keys() - self._over
        }

    def take(self, name: str) -> Job:
        """Ask Optuna for a trial, and start its run."""
        cell = self._names()[name]
        search, start = self.searches[cell], self._start(cell)
        trial = search.ask(start)
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
        return Job(name, cell, trial.hyperparameters, search.spec.seed, is_trial=True)

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
            case Measured():
                raise AssertionError(event)  # of final runs
        return Reply()

    def _follow(self, event: EpochEnded, trial: _TakenTrial) -> Reply:
        self.runs.tracker.metrics(trial.run, event.metrics, step=event.epoch)
        self.progress.record("epoch", event.job, {"epoch": event.epoch, "metrics": event.metrics})
        trial.epoch, trial.value = event.epoch, event.objective
        if not math.isfinite(event.objective):
            return Reply()
        trial.drawn.optuna.report(event.objective, event.epoch)
        return Reply(stop=not event.is_last and trial.drawn.optuna.should_prune())

    def _trained(self, event: Trained, trial: _TakenTrial) -> Reply:
        trial.value = event.objective
        if event.tags:
            self.runs.tracker.tags(trial.run, event.tags)
        if event.metrics:
            self.runs.tracker.metrics(trial.run, event.metrics, step=event.step)
        is_scored = self.objective.proxies and self.searches[trial.cell].among_best(event.objective, PROXIED)
        return Reply(score="validation" if is_scored else None)

    def _end(self, event: Ended, trial: _TakenTrial) -> None:
        """Settle a trial: the tracked run first, Optuna's trial second; `settle_trials` relies on that."""
        search, state = self.searches[trial.cell], "diverged"
        if event.outcome == "diverged":
            tags = {Tags.OUTCOME: "diverged", Tags.ERROR: event.error, Tags.TRUNK: event.trunk, **event.memory}
            run = self.runs.end(trial.run, "FAILED", tags=tags, metrics=event.costs)
            trial.drawn.optuna.set_user_attr(RECORD, trial_notes(run))
            search.fail(trial.drawn, event.error)
            trial.value = math.nan
        else:
            is_pruned = event.outcome == "stopped"
            outcome: Outcome = "pruned" if is_pruned else "complete"
            state = outcome
            tags = {Tags.OUTCOME: outcome, Tags.TRUNK: event.trunk, **event.memory}
            tags |= {Tags.PRUNED_AFTER: str(trial.epoch)} if is_pruned else {}
            metrics = {Metrics.OBJECTIVE: trial.value, **event.costs}
            run = self.runs.end(trial.run, "KILLED" if is_pruned else "FINISHED", tags=tags, metrics=metrics)
            trial.drawn.optuna.set_user_attr(RECORD, trial_notes(run))
            search.tell(trial.drawn.optuna.number, outcome, trial.value)
        self._next[trial.cell] += 1
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
        self._conclude(trial.cell)

    def _conclude(self, cell: str) -> None:
        """Take note of a cell's winner, if its budget is spent, and of how many trials it is the best of."""
        search, start = self.searches[cell], self._start(cell)
        if self._next[cell] < search.budget(start):
            return
        best = self._best(cell)
        if search.widen(best, start):
            if self._next[cell] < search.budget(start):
                self.progress.say(f"{cell}: {search.added[-1].in_words()}")
                self.progress.more(cell, search.budget(start) - self._next[cell])
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
