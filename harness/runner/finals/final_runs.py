"""Final runs: the winner of each cell retrained on fresh seeds and scored on the test split; the middle one is kept."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.core.absent_value import NONE
from harness.core.cost_names import summed
from harness.core.example import Example, Split
from harness.core.progress import Progress
from harness.report.mlflow_pages.descriptions import final_note
from harness.runner.executors.protocol import Ended, EpochEnded, Event, Job, Lost, Measured, Reply, Scored, Trained
from harness.runner.finals.champion import middle_run
from harness.runner.finals.checkpoints import Checkpoints
from harness.runner.finals.common_finals import answered_for, take_over
from harness.runner.finals.final_records import final_records, standing
from harness.runner.finals.test_answers import TestAnswers
from harness.runner.objective import Objective
from harness.runner.resume.missing_runs import StudyRuns
from harness.stats import mean, spread
from harness.study.checked_study import Checked
from harness.study.grid import Cell, same_answers
from harness.study.search_space import Hyperparameters, SearchSpace
from harness.tracking.calibration_names import LABEL_PRIOR
from harness.tracking.prediction_table import write_predictions
from harness.tracking.run_records import FinalRecord, in_order_of
from harness.tracking.schema import Metrics, Params, Tags, score_name
from harness.tracking.stored_run import Run
from harness.tracking.transfer_names import TRANSFER, transfer_file
from harness.training.model_facts import ModelFacts

__all__ = ["FinalsQueue"]

RESULTS = (Metrics.VALIDATION, Metrics.TEST, Metrics.GENERALITY, TRANSFER, LABEL_PRIOR)
"""What the metrics begin with whose means a cell has."""


@dataclass
class _OpenFinal:
    """A final run that was taken."""

    cell: Cell
    seed: str
    run: str
    test: TestAnswers
    began: float = field(default_factory=time.perf_counter)
    values: dict[str, float] = field(default_factory=dict)
    saved: str | None = None
    """The key of the checkpoint that is being written."""


@dataclass
class FinalsQueue:
    """The final runs that are missing."""

    cells: Sequence[Cell]
    """Those that were searched, in the grid's order."""
    chosen: Sequence[Cell]
    """Those of them whose final runs are made; the others are merely concluded."""
    winners: Mapping[str, Hyperparameters]
    """Of each cell; empty where nothing trains or no trial completed."""
    spaces: Mapping[str, SearchSpace]
    """What they were drawn from, for each cell."""
    checked: Checked
    trials: Mapping[str, int]
    """How many trials of a cell count; the store may hold more of an earlier, larger budget."""
    test_digest: str
    """The test rows; `NONE` while test is closed."""
    examples: Mapping[Split, Sequence[Example]]
    """The splits that are scored."""
    model: ModelFacts
    objective: Objective
    checkpoints: Checkpoints
    runs: StudyRuns
    progress: Progress
    _waiting: dict[str, tuple[Cell, str]] = field(default_factory=dict, init=False)
    _open: dict[str, _OpenFinal] = field(default_factory=dict, init=False)
    _answered: dict[str, list[tuple[Cell, str]]] = field(default_factory=dict, init=False)
    """By final run that waits or is open, those of other cells that it answers for."""
    _merits: dict[str, tuple[bool, float, float]] = field(default_factory=dict, init=False)
    """By what the cells that are complete rank, as `harness.results.collect.Results.ranked`; higher is better."""

    def __post_init__(self) -> None:
        for cell in self.cells:
            missing = self._missing_seeds(cell)
            asked = [seed for seed in missing if not self._is_answered(cell, seed)] if cell in self.chosen else []
            self._waiting |= {f"{cell.id} {_title(cell, seed)}": (cell, seed) for seed in asked}
            self.progress.settle(cell.id, len(asked))
            self._conclude(cell)

    def _is_answered(self, cell: Cell, seed: str) -> bool:
        """Return whether another cell's final run answers for one that is missing: it is taken over, or will be."""
        others = [other for other in same_answers(cell, self.checked.cells) if other != cell]
        names = [name for name, (other, _) in self._waiting.items() if other in others]
        if names:
            self._answered.setdefault(names[0], []).append((cell, seed))
            return True
        last: Split = "test" if self.checked.study.final.seeds else "validation"
        donor = answered_for(self._records(cell)[seed], others, self.spaces[cell.id], self.runs, last)
        if donor:
            self._take_over(donor, cell, seed)
        return donor is not None

    def _take_over(self, donor: Run, cell: Cell, seed: str) -> None:
        note = final_note(cell.id, seed, self.winners[cell.id])
        take_over(donor, self._records(cell)[seed], _title(cell, seed), note, self.runs)

    def waiting(self) -> Sequence[str]:
        """Return all that is missing: no final run depends on another."""
        return list(self._waiting)

    def cell(self, name: str) -> str:
        """Return the cell of a final run that is missing."""
        return self._waiting[name][0].id

    def take(self, name: str) -> Job:
        """Start a final run."""
        cell, seed = self._waiting.pop(name)
        winner, record = self.winners[cell.id], self._records(cell)[seed]
        note = final_note(cell.id, seed, winner)
        params, tags = record.params(), {**record.tags(), Tags.NOTE: note}
        run = self.runs.start(cell.id, _title(cell, seed), phase="final", params=params, tags=tags)
        test = TestAnswers(run, cell.id, record.asked_under, self.objective, self.runs)
        self._open[name] = _OpenFinal(cell, seed, run, test)
        self.progress.began(name, cell.id, final=True)
        return Job(
            name,
            cell.id,
            winner,
            int(seed) if cell.tuning.trains else 0,
            scores="validation",
            predicts=bool(self.checked.study.final.seeds) or self.objective.generates,
            measures=self.model.forgetting is not None,
            identity=self.runs.identity(cell.id),
        )

    def handle(self, event: Event) -> Reply:
        """Record an event of a final run."""
        final = self._open[event.job]
        match event:
            case EpochEnded():
                self.runs.tracker.metrics(final.run, event.metrics, step=event.at)
                facts = {"epoch": event.epoch, "step": event.step, "metrics": event.metrics}
                self.progress.record("epoch", event.job, facts)
            case Trained():
                if event.tags:
                    self.runs.tracker.tags(final.run, event.tags)
                if event.metrics:
                    self.runs.tracker.metrics(final.run, event.metrics, step=event.at)
            case Scored():
                return self._scored(event, final)
            case Measured():
                return self._measured(event, final)
            case Ended():
                self._end(event, self._open.pop(event.job))
            case Lost():
                lost = self._open.pop(event.job)
                self.runs.interrupt(self.runs.tracker.run(lost.run))
                self._waiting = {event.job: (lost.cell, lost.seed), **self._waiting}
        return Reply()

    def _scored(self, event: Scored, final: _OpenFinal) -> Reply:
        final.values |= event.metrics
        if event.predictions:
            examples = self.examples[event.split]
            made = transfer_file(event.under) if event.under else event.split, examples, event.predictions
            write_predictions(self.runs.tracker, final.run, *made, self.runs.kept_off)
        if event.split == "validation":
            self.runs.tracker.tags(final.run, {Tags.TRUNK: event.trunk, Tags.WEIGHTS_DIGEST: event.weights})
        if self.checked.study.final.seeds and (question := final.test.next(event.weights, final.values)).score:
            return question
        self.runs.tracker.metrics(final.run, final.values, step=event.step)
        return Reply()

    def _measured(self, event: Measured, final: _OpenFinal) -> Reply:
        if event.metrics:
            self.runs.tracker.metrics(final.run, event.metrics, step=event.step)
        if not self.checked.study.final.seeds or self.checked.study.final.models == "none":
            return Reply()
        cell = final.cell.id
        final.saved = self.checkpoints.key(self.runs.cells[cell].digest, self.winners[cell], final.seed)
        return Reply(save=str(self.checkpoints.of(cell, final.seed).offered()))

    def _end(self, event: Ended, final: _OpenFinal) -> None:
        cell, score = final.cell, self._score(final)
        counts = self.runs.cells[cell.id].counts(self.spaces[cell.id].format(self.winners[cell.id]))
        costs = {**event.costs, Metrics.TRAINABLE: float(counts.get(Params.TRAINABLE) or 0)}
        if tags := {**event.memory, **event.tags}:
            self.runs.tracker.tags(final.run, tags)
        if event.outcome == "diverged":
            self.runs.tracker.tags(final.run, {Tags.OUTCOME: "diverged", Tags.ERROR: event.error})
            self.runs.end(final.run, "FAILED", metrics=costs)
            score = math.nan
        else:
            if final.saved:
                self.checkpoints.of(cell.id, final.seed).adopt(final.saved)
            self.runs.end(final.run, metrics=costs)
        best = math.nan if cell.tuning.trains else score  # a cell's best is its best trial's
        seconds = time.perf_counter() - final.began
        facts = {
            "seed": int(final.seed) if cell.tuning.trains else None,
            "state": "diverged" if event.outcome == "diverged" else "complete",
            "metrics": dict(final.values),
            "seconds": seconds,
            "error": event.error or None,
        }
        self.progress.record("final", event.job, facts)
        self.progress.done(event.job, _title(cell, final.seed), score=score, best=best, seconds=seconds)
        self._conclude(cell)
        for other, seed in self._answered.pop(event.job, ()):
            self._take_over(self.runs.tracker.run(final.run), other, seed)
            self._conclude(other)

    def _records(self, cell: Cell) -> dict[str, FinalRecord]:
        """Return the final runs that a cell is to have, by seed."""
        winner, space = self.winners[cell.id], self.spaces[cell.id]
        generality = self.model.forgetting or NONE
        return final_records(
            cell, winner, space, self.checked, test_digest=self.test_digest, generality_digest=generality
        )

    def _score(self, final: _OpenFinal) -> float:
        return final.values.get(score_name("validation", self.objective.lead), math.nan)

    def _has_no_winner(self, cell: Cell) -> bool:
        return cell.tuning.trains and not self.winners[cell.id]

    def _missing_seeds(self, cell: Cell) -> list[str]:
        """Return the seeds of a cell that have no final run yet; retire those that no longer belong to it."""
        records = self._records(cell)
        there = standing(self.runs.children(cell.id, "final"), records, self.spaces[cell.id])
        for run in self.runs.children(cell.id, "final"):
            if run.id not in there.values():
                self.runs.retire(run)
        return [seed for seed in records if seed not in there]

    def _conclude(self, cell: Cell) -> None:
        """Write a cell's result on its parent run, if none of its final runs is missing any more."""
        missing = [cell.id for cell, _ in self._waiting.values()] + [final.cell.id for final in self._open.values()]
        missing += [cell.id for cells in self._answered.values() for cell, _ in cells]
        if cell.id in missing:
            return
        winner = self.spaces[cell.id].format(self.winners[cell.id])
        finals = self.runs.children(cell.id, "final")
        trials = sorted(self.runs.children(cell.id, "search"), key=lambda run: int(run.tags[Tags.TRIAL]))
        costs = summed(run.metrics for run in [*trials[: self.trials.get(cell.id)], *finals])
        if self._has_no_winner(cell):
            self.runs.conclude(cell.id, winner, costs, "FAILED")
            return
        seeds = list(self._records(cell))
        done = in_order_of(seeds, [run for run in finals if run.status == "FINISHED"])
        params = {**winner, Params.SEED: " ".join(seeds) or NONE}
        means = _means(done)
        self.runs.conclude(cell.id, params, means | costs, "FINISHED")
        self._free_weights(cell, done, means)

    def _free_weights(self, cell: Cell, done: Sequence[Run], means: Mapping[str, float]) -> None:
        """Drop weights that will not be stored: of all but the middle run, and of cells that do not rank first."""
        middle = middle_run(done, self.objective)
        self.checkpoints.keep(cell.id, middle.params[Params.SEED] if middle else None)
        if middle is None or self.checked.study.final.models != "best":
            return
        score, loss = means[score_name("validation", self.objective.lead)], means[Metrics.VALIDATION_LOSS]
        is_whole = len(done) == len(self._records(cell))
        self._merits[cell.id] = (is_whole, score if self.objective.lead_maximize else -score, -loss)
        first = max(self._merits, key=lambda other: self._merits[other])
        for other in self._merits.keys() - {first}:
            self.checkpoints.keep(other, None)


def _means(finals: Sequence[Run]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name in sorted({name for run in finals for name in run.metrics if name.startswith(RESULTS)}):
        values = [run.metrics[name] for run in finals if name in run.metrics]
        metrics |= {name: mean(values), f"{name}{Metrics.SPREAD}": spread(values)}
    return metrics


def _title(cell: Cell, seed: str) -> str:
    return f"seed {seed}" if cell.tuning.trains else cell.untrained
