"""The search of one cell: trials until the budget is spent, each of them one child run."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from optuna.trial import Trial

from harness.bench import finite
from harness.cells import Cell
from harness.errors import Diverged
from harness.search import Best, CellSearch, Outcome
from harness.session import Session
from harness.tracking.base import Run

__all__ = ["search_cell", "settle_trials"]


def settle_trials(cell: Cell, search: CellSearch, session: Session) -> None:
    """Make Optuna's trials and the tracked runs of a cell agree after a kill.

    A run that had ended is told to Optuna; any run that Optuna does not count as finished is retired.
    """
    ledger = session.ledger
    runs = {run.tags["optuna_trial"]: run for run in ledger.children(cell.id, "search")}
    search.recover(lambda number: _ended(runs.get(str(number))))
    finished = {str(trial.number) for trial in search.finished()}
    for number, run in runs.items():
        if number not in finished:
            (ledger.interrupt if run.status == "RUNNING" else ledger.retire)(run)


def _ended(run: Run | None) -> tuple[Outcome, float | None] | None:
    if run is None or run.status == "RUNNING":
        return None
    if run.tags.get("outcome") == "complete":
        return "complete", run.metrics["objective"]
    return ("pruned", None) if run.tags.get("outcome") == "pruned" else None


def search_cell(cell: Cell, search: CellSearch, session: Session) -> Best | None:
    """Run a cell's missing trials and return its winner, ``None`` where every trial diverged."""
    while (trial := search.ask()) is not None:
        start, rate, index = time.perf_counter(), trial.params["learning_rate"], trial.user_attrs["index"]
        run = session.ledger.start(
            cell.id,
            f"trial {index}",
            phase="search",
            params={"learning_rate": repr(rate), "seed": session.checked.study.search.seed},
            tags={"trial": str(index), "optuna_trial": str(trial.number)},
        )
        score = _run_trial(cell, trial, run, search=search, session=session)
        what = f"trial {index}, learning rate {rate:.2g}"
        best, seconds = search.best(), time.perf_counter() - start
        session.progress.done(cell.id, what, score=score, best=best.value if best else math.nan, seconds=seconds)
    return search.best()


def _run_trial(cell: Cell, trial: Trial, run: str, *, search: CellSearch, session: Session) -> float:
    """Train one draw and settle it: the tracked run first, Optuna's trial second; `settle_trials` relies on that."""
    costs = {"train_seconds": 0.0, "validation_seconds": 0.0, "tokens": 0.0}
    try:
        value, pruned = _epochs(cell, trial, run, session=session, costs=costs)
    except Diverged as error:
        session.tracker.tags(run, {"outcome": "diverged", "error": str(error)})
        _close(run, costs, session)
        session.ledger.end(run, "FAILED")
        search.fail(trial, str(error))
        return math.nan
    outcome: Outcome = "pruned" if pruned else "complete"
    session.tracker.tags(run, {"outcome": outcome})
    session.tracker.metrics(run, {"objective": value})
    _close(run, costs, session)
    session.ledger.end(run, "KILLED" if pruned else "FINISHED")
    search.tell(trial.number, outcome, value)
    return value


def _epochs(cell: Cell, trial: Trial, run: str, *, session: Session, costs: dict[str, float]) -> tuple[float, bool]:
    """Train to the end or until the pruner stops it; return the last objective and whether it was stopped."""
    bench, study = session.bench, session.checked.study
    epochs = bench.train(cell, learning_rate=trial.params["learning_rate"], seed=study.search.seed)
    value = math.nan
    for epoch in epochs:
        scored = bench.score(cell.prompt, "validation", generate=session.generates)
        costs["train_seconds"] += epoch.seconds
        costs["validation_seconds"] += scored.seconds
        costs["tokens"] += epoch.tokens
        values = {f"validation/{name}": score for name, score in scored.scores.items()}
        session.tracker.metrics(run, {"train/loss": epoch.train_loss, **values}, step=epoch.epoch)
        value = finite(scored.scores[session.checked.objective], epoch)
        trial.report(value, epoch.epoch)
        if epoch.epoch < study.training.epochs and trial.should_prune():
            session.tracker.tags(run, {"pruned_after_epoch": str(epoch.epoch)})
            epochs.close()
            return value, True
    return value, False


def _close(run: str, costs: Mapping[str, float], session: Session) -> None:
    """Record what a training run took."""
    session.tracker.tags(run, {"trunk": session.bench.trunk})
    peak = session.bench.peak_memory()
    session.tracker.metrics(
        run, {**{f"cost/{name}": cost for name, cost in costs.items()}, "cost/peak_memory_mib": peak}
    )
