"""The search of one cell: trials until the budget is spent, each of them one child run.

A search on ``loss`` makes no predictions, so a report could not tell how well the loss stood in for the metric. So a
trial that ends among the best three so far is scored on the metrics as well: at the end the best three of all are,
whatever the order was and without training any of them again. Where the study has no final runs, nothing generates.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import closing
from typing import NamedTuple

from optuna.trial import Trial
from torch import Tensor

from harness.core.errors import Diverged
from harness.models.tuning import restore, snapshot
from harness.runner.run_parts import Session
from harness.runner.search.optuna_search import Best, CellSearch, Outcome
from harness.study.grid import Cell
from harness.study.spec import PROXIED
from harness.tracking.store_protocols import Run
from harness.training.early_stopping import EarlyStopping
from harness.training.trainer import finite, losses

__all__ = ["Start", "search_cell", "settle_trials"]


class Start(NamedTuple):
    """What a warm-started cell's first trial is taken from."""

    cell: str
    """The id of another cell, whose search is over."""
    learning_rate: float
    """That cell's winner."""


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


def search_cell(cell: Cell, search: CellSearch, session: Session, start: Start | None = None) -> Best | None:
    """Run a cell's missing trials and return its winner, ``None`` where every trial diverged.

    Args:
        cell: Which.
        search: Its trials.
        session: The study.
        start: What the first trial is taken from, if not from the sampler.
    """
    while (trial := search.ask(start.learning_rate if start else None)) is not None:
        began, rate, index = time.perf_counter(), trial.params["learning_rate"], trial.user_attrs["index"]
        tags = {"trial": str(index), "optuna_trial": str(trial.number)}
        if start and index == 0:
            tags["warm_start"] = start.cell
        params = {"learning_rate": repr(rate), "seed": session.checked.study.search.seed}
        run = session.ledger.start(cell.id, f"trial {index}", phase="search", params=params, tags=tags)
        score = _run_trial(cell, trial, run, search=search, session=session)
        what = f"trial {index}, learning rate {rate:.2g}"
        best, seconds = search.best(), time.perf_counter() - began
        session.progress.done(cell.id, what, score=score, best=best.value if best else math.nan, seconds=seconds)
    return search.best()


def _run_trial(cell: Cell, trial: Trial, run: str, *, search: CellSearch, session: Session) -> float:
    """Train one draw and settle it: the tracked run first, Optuna's trial second; `settle_trials` relies on that."""
    account = session.trainer.open_account()
    try:
        value, pruned = _epochs(cell, trial, run, search=search, session=session)
    except Diverged as error:
        tags = {"outcome": "diverged", "error": str(error), "trunk": session.trainer.trunk}
        session.ledger.end(run, "FAILED", tags=tags, metrics=account.metrics())
        search.fail(trial, str(error))
        return math.nan
    outcome: Outcome = "pruned" if pruned else "complete"
    session.ledger.end(
        run,
        "KILLED" if pruned else "FINISHED",
        tags={"outcome": outcome, "trunk": session.trainer.trunk},
        metrics={"objective": value, **account.metrics()},
    )
    search.tell(trial.number, outcome, value)
    return value


def _epochs(cell: Cell, trial: Trial, run: str, *, search: CellSearch, session: Session) -> tuple[float, bool]:
    """Train to the end or until the pruner stops it; return the objective that counts and whether it was stopped."""
    trainer, study = session.trainer, session.checked.study
    stopping = EarlyStopping(study.training, maximize=session.maximizes(session.checked.objective))
    kept: Mapping[str, float] = {}
    weights: Mapping[str, Tensor] = {}
    rate, seed = trial.params["learning_rate"], study.search.seed
    with closing(trainer.train(cell, learning_rate=rate, seed=seed)) as epochs:
        for epoch in epochs:
            scored = trainer.score(cell.prompt, "validation", generate=session.generates)
            values = {f"validation/{name}": score for name, score in scored.scores.items()}
            session.tracker.metrics(run, {**losses(epoch, scored.scores["loss"]), **values}, step=epoch.epoch)
            value = finite(scored.scores[session.checked.objective], epoch)
            trial.report(value, epoch.epoch)
            if stopping.see(epoch.epoch, value) and study.training.keep == "best":
                kept, weights = values, snapshot(trainer.loaded.model) if session.proxies else {}
            if stopping.ended:
                break
            if trial.should_prune():
                session.tracker.tags(run, {"pruned_after_epoch": str(epoch.epoch)})
                return value, True
        if stopping.watches:
            session.tracker.tags(run, stopping.tags())
            session.tracker.metrics(run, {**(kept if stopping.goes_back else {}), **stopping.metrics()}, stopping.step)
        if session.proxies and search.among_best(stopping.value, PROXIED):
            restore(trainer.loaded.model, weights)
            _score_metrics(cell, run, step=stopping.step, session=session)
    return stopping.value, False


def _score_metrics(cell: Cell, run: str, *, step: int, session: Session) -> None:
    """Score the model as it stands on what the search does without."""
    scored = session.trainer.score(cell.prompt, "validation", generate=True)
    values = {f"validation/{name}": score for name, score in scored.scores.items() if name != "loss"}
    session.tracker.metrics(run, values, step=step)
