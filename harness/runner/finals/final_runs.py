"""Final runs: the winner of each cell retrained on fresh seeds and scored on the test split; the best one is kept."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from torch import Tensor

from harness.core.cost_names import summed
from harness.core.errors import Diverged
from harness.core.example import Prediction, Split
from harness.models.delta import trained_digest
from harness.models.tuning import restore, snapshot
from harness.report.mlflow_pages.descriptions import final_note
from harness.runner.finals.best_checkpoint import BestCheckpoint, key_of
from harness.runner.run_parts import Session
from harness.stats import mean, spread
from harness.study.grid import Cell
from harness.tracking.mlflow.ui_views import NOTE
from harness.tracking.prediction_table import read_table
from harness.tracking.schema import SCORED
from harness.tracking.store_protocols import Run
from harness.training.early_stopping import EarlyStopping
from harness.training.loop import Epoch
from harness.training.trainer import finite, losses

__all__ = [
    "NONE",
    "Trained",
    "conclude_cell",
    "costs_of",
    "final_cell",
    "log_predictions",
    "missing_seeds",
    "trained",
]

NONE = "none"
"""The learning rate and seed of a zero-shot cell."""
RESULTS = ("validation/", "test/", "generality/")
"""What the metrics begin with whose means a cell has."""


def missing_seeds(cell: Cell, learning_rate: str, identity: Mapping[str, str], session: Session) -> list[str]:
    """Return the seeds of a cell that have no final run yet; retire those that no longer belong to it.

    Args:
        cell: Which.
        learning_rate: The winner's, as its param has it.
        identity: The tags of a final run that belongs to the study as it now is.
        session: The study.
    """
    seeds = session.checked.study.final.seeds
    wanted = [str(seed) for seed in seeds] if cell.tuning.trains else [NONE]
    there = set()
    for run in session.ledger.children(cell.id, "final"):
        same = run.params["learning_rate"] == learning_rate and identity.items() <= run.tags.items()
        ended = run.status == "FINISHED" or run.tags.get("outcome") == "diverged"
        if same and ended and run.params["seed"] in wanted and run.params["seed"] not in there:
            there.add(run.params["seed"])
        else:
            session.ledger.retire(run)
    return [seed for seed in wanted if seed not in there]


def final_cell(
    cell: Cell,
    learning_rate: str,
    seed: str,
    *,
    identity: Mapping[str, str],
    best_checkpoint: BestCheckpoint | None,
    session: Session,
) -> None:
    """Retrain one winner on one seed and score it; zero-shot is scored as it is."""
    start, score = time.perf_counter(), math.nan
    name = f"seed {seed}" if cell.tuning.trains else "zero-shot"
    params = {"learning_rate": learning_rate, "seed": seed}
    before = session.retention.before() if session.retention else {}  # while the model is as it was loaded
    size = {"trainable_parameters": float(session.trainer.parameters(cell)[0])}  # as a metric it sorts as a number
    tags = {**identity, NOTE: final_note(cell.id, seed, learning_rate)}
    run = session.ledger.start(cell.id, name, phase="final", params=params, tags=tags)
    account = session.trainer.open_account()
    try:
        with trained(cell, learning_rate, seed, session, run) as ended:
            score = _score_final(cell, run, session, ended=ended)
            _log_retained(cell, run, before, session=session, step=ended.step)
            if best_checkpoint is not None and session.checked.study.final.seeds:
                store = session.checked.study.final.store
                key = key_of(session.ledger.digest(cell.id), learning_rate, seed, store=store)
                best_checkpoint.offer(key, score, cell, session.trainer)
    except Diverged as error:
        session.tracker.tags(run, {"outcome": "diverged", "error": str(error)})
        session.ledger.end(run, "FAILED", metrics=account.metrics() | size)
    else:
        session.ledger.end(run, metrics=account.metrics() | size)
    best = math.nan if cell.tuning.trains else score  # a cell's best is its best trial's
    session.progress.done(cell.id, name, score=score, best=best, seconds=time.perf_counter() - start)


class Trained(NamedTuple):
    """How the training of a final run ended."""

    step: int = 0
    """Where its scores are logged; see `harness.training.early_stopping`."""
    last: Epoch | None = None
    """Its last epoch, if its weights are those that are scored."""


@contextmanager
def trained(cell: Cell, learning_rate: str, seed: str, session: Session, run: str | None) -> Iterator[Trained]:
    """Train a winner to its end; inside the block the model has the weights of the epoch that counts.

    Args:
        cell: Which; zero-shot trains nothing.
        learning_rate: As its param has it.
        seed: As its param has it.
        session: The study.
        run: Where to log the epochs, if anywhere.
    """
    if not cell.tuning.trains:
        yield Trained()
        return
    trainer, spec = session.trainer, session.checked.study.training
    stopping = EarlyStopping(spec, maximize=session.maximizes(session.checked.objective))
    weights: Mapping[str, Tensor] = {}
    with closing(trainer.train(cell, learning_rate=float(learning_rate), seed=int(seed), generates=True)) as epochs:
        for epoch in epochs:
            better = stopping.see(epoch.epoch, _follow(cell, epoch, run, session, watches=stopping.watches))
            if better and spec.keep == "best":
                weights = snapshot(trainer.loaded.model)
            if not stopping.ended:
                continue
            if run is not None:
                session.tracker.tags(run, stopping.tags())
                session.tracker.metrics(run, stopping.metrics(), step=epoch.epoch)
            if stopping.goes_back:
                restore(trainer.loaded.model, weights)
            yield Trained(stopping.step, None if stopping.goes_back else epoch)
            return


def _follow(cell: Cell, epoch: Epoch, run: str | None, session: Session, *, watches: bool) -> float:
    """Score an epoch as far as is needed and log it; return the objective, nan where nothing depends on it."""
    checked = session.checked
    if not watches and (run is None or epoch.epoch == checked.study.training.epochs):
        return math.nan  # the last one is scored in full, with the test split
    scores = session.trainer.score(cell.prompt, "validation", generate=watches and session.generates).scores
    if run is not None:
        values = {f"validation/{name}": score for name, score in scores.items()}
        session.tracker.metrics(run, {**losses(epoch, scores["loss"]), **values}, step=epoch.epoch)
    return finite(scores[checked.objective], epoch) if watches else math.nan


def _score_final(cell: Cell, run: str, session: Session, *, ended: Trained) -> float:
    """Score the model as it stands on validation and test; return the validation score that ranks."""
    study, trainer = session.checked.study, session.trainer
    values = _score_split(cell, "validation", run, session, generate=bool(study.final.seeds) or session.generates)
    trunk = trainer.trunk if cell.tuning.trains else "live: nothing trains"
    weights = trained_digest(trainer.loaded, cell.tuning)
    session.tracker.tags(run, {"trunk": trunk, "weights_digest": weights})
    if study.final.seeds:
        values |= _score_test(cell, run, session, weights=weights)
    if ended.last is not None:
        values |= losses(ended.last, values["validation/loss"])
    session.tracker.metrics(run, values, step=ended.step)
    return values[f"validation/{session.lead}"]


def _score_split(cell: Cell, split: Split, run: str, session: Session, *, generate: bool = True) -> dict[str, float]:
    scored = session.trainer.score(cell.prompt, split, generate=generate)
    if scored.predictions:
        log_predictions(split, scored.predictions, run, session)
    return {f"{split}/{name}": score for name, score in scored.scores.items()}


def _score_test(cell: Cell, run: str, session: Session, *, weights: str) -> dict[str, float]:
    """Score test, or take over what the very same weights answered before: an edit was taken back, for example."""
    twin = session.ledger.twin(run, cell.id, weights, scored=f"test/{session.lead}")
    session.tracker.tags(run, {SCORED: twin.id if twin else "yes"})
    if twin is None:
        return _score_split(cell, "test", run, session)
    session.tracker.table(run, read_table(session.tracker, twin, "test"), "predictions/test.json")
    return {name: value for name, value in twin.metrics.items() if name.startswith("test/")}


def _log_retained(cell: Cell, run: str, before: Mapping[str, float], *, session: Session, step: int) -> None:
    """Log what the model as it stands still knows, beside what the pretrained one did; zero-shot is that one."""
    if session.retention is not None:
        after = session.retention.measure() if cell.tuning.trains else before
        values = {**after, **{f"{name}_before": value for name, value in before.items()}}
        session.tracker.metrics(run, values, step=step)


def log_predictions(split: Split, predictions: Sequence[Prediction], run: str, session: Session) -> None:
    """Store predictions beside references; verdicts are computed from these, never from a second scoring."""
    examples = session.trainer.examples(split)
    table: dict[str, list[Any]] = {  # MLflow's page groups by the first column and compares the second
        "source": [example.fields["source"] for example in examples],
        "prediction": [prediction.text for prediction in predictions],
        "reference": [example.target for example in examples],
        "id": [prediction.id for prediction in predictions],
        "nll": [prediction.nll for prediction in predictions],
        "tokens": [prediction.tokens for prediction in predictions],
    }
    if any(len(example.references) > 1 for example in examples):
        table["references"] = [json.dumps(list(example.references), ensure_ascii=False) for example in examples]
    session.tracker.table(run, table, f"predictions/{split}.json")


def conclude_cell(cell: Cell, learning_rate: str, session: Session) -> None:
    """Write the cell's result on its parent run: the winner, mean and deviation over final runs, and all its costs."""
    runs: list[Run] = session.ledger.children(cell.id, "final")
    done = [run for run in runs if run.status == "FINISHED"]
    names = sorted({name for run in done for name in run.metrics if name.startswith(RESULTS)})
    metrics: dict[str, float] = {}
    for name in names:
        values = [run.metrics[name] for run in done if name in run.metrics]
        metrics |= {name: mean(values), f"{name}_sd": spread(values)}
    seeds = NONE if not cell.tuning.trains else " ".join(str(seed) for seed in session.checked.study.final.seeds)
    winner = {"learning_rate": learning_rate, "seed": seeds or NONE}
    session.ledger.conclude(cell.id, winner, metrics | costs_of(cell, session), "FINISHED")


def costs_of(cell: Cell, session: Session) -> dict[str, float]:
    """Return what the trials and final runs of a cell cost together, as metrics."""
    runs = [*session.ledger.children(cell.id, "search"), *session.ledger.children(cell.id, "final")]
    return summed(run.metrics for run in runs)
