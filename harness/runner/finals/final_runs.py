"""Final runs: the winner of each cell retrained on fresh seeds and scored on the test split; the best one is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.core.cost_names import summed
from harness.core.example import Example, Split
from harness.core.progress import Progress
from harness.report.mlflow_pages.descriptions import final_note
from harness.runner.executors.protocol import Ended, EpochEnded, Event, Job, Measured, Reply, Scored, Trained
from harness.runner.finals.best_checkpoint import Checkpoints
from harness.runner.objective import Objective
from harness.runner.resume.missing_runs import StudyRuns
from harness.stats import mean, spread
from harness.study.grid import Cell
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.tracking.prediction_table import copy_predictions, write_predictions
from harness.tracking.run_records import FinalRecord, in_order_of
from harness.tracking.schema import NONE, Metrics, Params, Tags, score_name
from harness.tracking.store_protocols import Run, Tracker

__all__ = ["FinalsPlan", "FinalsQueue"]

RESULTS = (Metrics.VALIDATION, Metrics.TEST, Metrics.GENERALITY)
"""What the metrics begin with whose means a cell has."""


@dataclass(frozen=True)
class FinalsPlan:
    """What final runs there are to be."""

    cells: Sequence[Cell]
    """Those that were searched, in the grid's order."""
    winners: Mapping[str, Hyperparameters]
    """Of each cell; empty where nothing trains or no trial completed."""
    spaces: Mapping[str, SearchSpace]
    """What they were drawn from, for each cell."""
    chosen: frozenset[str]
    """The cells whose final runs are made; the others are merely concluded."""
    seeds: Sequence[int]
    test_digest: str
    """The test rows; `NONE` while test is closed."""
    generality_digest: str
    """What it is measured on what the model still knows; `NONE` where it is not."""
    examples: Mapping[Split, Sequence[Example]]
    """The splits that are scored."""
    parameters: Mapping[str, tuple[int, int]]
    """Per cell: how many train, and how many there are."""


@dataclass
class _OpenFinal:
    """A final run that was taken."""

    cell: Cell
    seed: str
    run: str
    began: float = field(default_factory=time.perf_counter)
    values: dict[str, float] = field(default_factory=dict)
    saved: str | None = None
    """The key of the checkpoint that is being written."""


class FinalsQueue:
    """The final runs that are missing.

    Args:
        plan: What there is to be.
        objective: What cells are ranked by.
        checkpoints: Keep the best models on disk.
        runs: The study's.
        tracker: The store.
        progress: Who watches.
    """

    def __init__(
        self,
        plan: FinalsPlan,
        *,
        objective: Objective,
        checkpoints: Checkpoints,
        runs: StudyRuns,
        tracker: Tracker,
        progress: Progress,
    ) -> None:
        self._plan, self._objective, self._checkpoints = plan, objective, checkpoints
        self._runs, self._tracker, self._progress = runs, tracker, progress
        self._waiting: dict[str, tuple[Cell, str]] = {}
        self._open: dict[str, _OpenFinal] = {}
        for cell in plan.cells:
            missing = [] if self._has_no_winner(cell) else self._missing_seeds(cell)
            for seed in missing if cell.id in plan.chosen else ():
                self._waiting[f"{cell.id} {_title(cell, seed)}"] = cell, seed
            self._conclude(cell)

    def waiting(self) -> Sequence[str]:
        """Return all that is missing: no final run depends on another."""
        return list(self._waiting)

    def take(self, name: str) -> Job:
        """Start a final run."""
        cell, seed = self._waiting.pop(name)
        winner, record = self._plan.winners[cell.id], self._record(cell, seed)
        note = final_note(cell.id, seed, record.hyperparameters[Params.LEARNING_RATE])
        params, tags = record.params(), {**record.tags(), Tags.NOTE: note}
        run = self._runs.start(cell.id, _title(cell, seed), phase="final", params=params, tags=tags)
        self._open[name] = _OpenFinal(cell, seed, run)
        return Job(
            name,
            cell.id,
            winner,
            int(seed) if cell.tuning.trains else 0,
            scores="validation",
            predicts=bool(self._plan.seeds) or self._objective.generates,
            measures=self._plan.generality_digest != NONE,
        )

    def handle(self, event: Event) -> Reply:
        """Record an event of a final run."""
        final = self._open[event.job]
        match event:
            case EpochEnded():
                self._tracker.metrics(final.run, event.metrics, step=event.epoch)
            case Trained():
                if event.tags:
                    self._tracker.tags(final.run, event.tags)
                if event.metrics:
                    self._tracker.metrics(final.run, event.metrics, step=event.epoch)
            case Scored():
                return self._scored(event, final)
            case Measured():
                return self._measured(event, final)
            case Ended():
                self._end(event, self._open.pop(event.job))
        return Reply()

    def _scored(self, event: Scored, final: _OpenFinal) -> Reply:
        final.values |= event.metrics
        if event.predictions:
            examples = self._plan.examples[event.split]
            write_predictions(self._tracker, final.run, event.split, examples, event.predictions)
        if event.split == "validation":
            self._tracker.tags(final.run, {Tags.TRUNK: event.trunk, Tags.WEIGHTS_DIGEST: event.weights})
            if self._plan.seeds and not self._is_answered(event, final):
                return Reply(score="test")
        self._tracker.metrics(final.run, final.values, step=event.step)
        return Reply()

    def _is_answered(self, event: Scored, final: _OpenFinal) -> bool:
        """Take over what the very same weights answered to test before, if they did: an edit was taken back, say.

        The tag comes first: a run that is about to score test counts as one that did.
        """
        scored = score_name("test", self._objective.lead)
        twin = self._runs.twin(final.run, final.cell.id, event.weights, scored=scored)
        self._tracker.tags(final.run, {Tags.SCORED: twin.id if twin else "yes"})
        if twin is None:
            return False
        copy_predictions(self._tracker, twin, final.run, "test")
        final.values |= {name: value for name, value in twin.metrics.items() if name.startswith(Metrics.TEST)}
        return True

    def _measured(self, event: Measured, final: _OpenFinal) -> Reply:
        if event.metrics:
            self._tracker.metrics(final.run, event.metrics, step=event.step)
        if not self._plan.seeds:
            return Reply()
        winner = self._plan.winners[final.cell.id]
        key = self._checkpoints.key(self._runs.digest(final.cell.id), winner, final.seed)
        folder = self._checkpoints.offer(final.cell.id, key, self._score(final))
        final.saved = key if folder else None
        return Reply(save=folder)

    def _end(self, event: Ended, final: _OpenFinal) -> None:
        cell, score = final.cell, self._score(final)
        costs = {**event.costs, Metrics.TRAINABLE: float(self._plan.parameters[cell.id][0])}
        if event.outcome == "diverged":
            self._tracker.tags(final.run, {Tags.OUTCOME: "diverged", Tags.ERROR: event.error})
            self._runs.end(final.run, "FAILED", metrics=costs)
            score = math.nan
        else:
            if final.saved:
                self._checkpoints.adopt(cell.id, final.saved, score)
            self._runs.end(final.run, metrics=costs)
        best = math.nan if cell.tuning.trains else score  # a cell's best is its best trial's
        seconds = time.perf_counter() - final.began
        self._progress.done(cell.id, _title(cell, final.seed), score=score, best=best, seconds=seconds)
        self._conclude(cell)

    def _record(self, cell: Cell, seed: str) -> FinalRecord:
        """Return a final run of the study as it now is."""
        return FinalRecord(
            cell=cell.id,
            hyperparameters=self._plan.spaces[cell.id].format(self._plan.winners[cell.id]),
            seed=seed,
            test_digest=self._plan.test_digest,
            generality_digest=self._plan.generality_digest,
        )

    def _score(self, final: _OpenFinal) -> float:
        return final.values.get(score_name("validation", self._objective.lead), math.nan)

    def _has_no_winner(self, cell: Cell) -> bool:
        return cell.tuning.trains and not self._plan.winners[cell.id]

    def _missing_seeds(self, cell: Cell) -> list[str]:
        """Return the seeds of a cell that have no final run yet; retire those that no longer belong to it."""
        seeds = [str(seed) for seed in self._plan.seeds] if cell.tuning.trains else [NONE]
        there = set[str]()
        for run in self._runs.children(cell.id, "final"):
            record = FinalRecord.from_run(run, self._plan.spaces[cell.id].names)
            belongs = record.seed in seeds and record.is_of(self._record(cell, record.seed))
            if belongs and (run.status == "FINISHED" or record.diverged) and record.seed not in there:
                there.add(record.seed)
            else:
                self._runs.retire(run)
        return [seed for seed in seeds if seed not in there]

    def _conclude(self, cell: Cell) -> None:
        """Write a cell's result on its parent run, if none of its final runs is missing any more.

        The winner, mean and deviation over final runs in the order of the seeds, and what all its runs cost together.
        """
        open_cells = {waiting.id for waiting, _ in self._waiting.values()} | {
            final.cell.id for final in self._open.values()
        }
        if cell.id in open_cells:
            return
        winner = self._plan.spaces[cell.id].format(self._plan.winners[cell.id])
        finals = self._runs.children(cell.id, "final")
        costs = summed(run.metrics for run in [*self._runs.children(cell.id, "search"), *finals])
        if self._has_no_winner(cell):
            self._runs.conclude(cell.id, winner, costs, "FAILED")
            return
        seeds = [str(seed) for seed in self._plan.seeds] if cell.tuning.trains else [NONE]
        done = in_order_of(seeds, [run for run in finals if run.status == "FINISHED"])
        params = {**winner, Params.SEED: " ".join(seeds) or NONE}
        self._runs.conclude(cell.id, params, _means(done) | costs, "FINISHED")


def _means(finals: Sequence[Run]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name in sorted({name for run in finals for name in run.metrics if name.startswith(RESULTS)}):
        values = [run.metrics[name] for run in finals if name in run.metrics]
        metrics |= {name: mean(values), f"{name}{Metrics.SPREAD}": spread(values)}
    return metrics


def _title(cell: Cell, seed: str) -> str:
    return f"seed {seed}" if cell.tuning.trains else "zero-shot"
