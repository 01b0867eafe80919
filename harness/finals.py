"""Final runs: the winner of each cell retrained on fresh seeds and scored on the test split; the best one is kept."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from harness.bench import Bench
from harness.cells import Cell
from harness.errors import Diverged
from harness.example import Prediction, Split
from harness.serving import save_model
from harness.session import Session
from harness.stats import mean, spread
from harness.tracking.base import Run

__all__ = ["NONE", "Keeper", "conclude_cell", "final_cell", "key_of", "log_predictions", "missing_seeds", "trained"]

NOTE = "note.json"
NONE = "none"
"""The learning rate and seed of a zero-shot cell."""


def missing_seeds(cell: Cell, learning_rate: str, test_digest: str, session: Session) -> list[str]:
    """Return the seeds of a cell that have no final run yet; retire those that no longer belong to it."""
    seeds = session.checked.study.final.seeds
    wanted = [str(seed) for seed in seeds] if cell.tuning.trains else [NONE]
    there = set()
    for run in session.ledger.children(cell.id, "final"):
        same = run.params["learning_rate"] == learning_rate and run.tags.get("test_digest") == test_digest
        ended = run.status == "FINISHED" or run.tags.get("outcome") == "diverged"
        if same and ended and run.params["seed"] in wanted and run.params["seed"] not in there:
            there.add(run.params["seed"])
        else:
            session.ledger.retire(run)
    return [seed for seed in wanted if seed not in there]


class Keeper:
    """Keeps the weights of the best final run so far on disk, until the study knows its best.

    Args:
        folder: Its own.
        maximize: Whether a higher score is better.
    """

    def __init__(self, folder: Path, *, maximize: bool) -> None:
        self.folder = folder
        self._sign = 1.0 if maximize else -1.0

    def holds(self, key: str) -> bool:
        """Return whether these are the weights of a run, named by cell digest, learning rate and seed."""
        return bool(self._note().get("key") == key)

    def offer(self, key: str, score: float, cell: Cell, bench: Bench) -> None:
        """Save the model as it stands if it beats what is kept."""
        note = self._note()
        if note and note["key"] != key and self._sign * score <= self._sign * note["score"]:
            return
        self.save(key, score, cell, bench)

    def save(self, key: str, score: float, cell: Cell, bench: Bench) -> None:
        """Save the model as it stands, in place of what is kept; a kill leaves one or the other whole."""
        fresh = self.folder.with_name(f"{self.folder.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        save_model(fresh / "model", cell.prompt, bench.loaded, limits=bench.limits, decoding=bench.decoding)
        (fresh / NOTE).write_text(json.dumps({"key": key, "score": score}), encoding="utf-8")
        (self.folder / NOTE).unlink(missing_ok=True)  # first, so that no note vouches for half a folder
        shutil.rmtree(self.folder, ignore_errors=True)
        fresh.rename(self.folder)

    def _note(self) -> dict[str, Any]:
        file = self.folder / NOTE
        return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def key_of(cell_digest: str, learning_rate: str, seed: str) -> str:
    """Return what names the weights of a final run."""
    return f"{cell_digest} {learning_rate} {seed}"


def final_cell(
    cell: Cell, learning_rate: str, seed: str, *, test_digest: str, keeper: Keeper, session: Session
) -> None:
    """Retrain one winner on one seed and score it; zero-shot is scored as it is."""
    start, score = time.perf_counter(), math.nan
    name = f"seed {seed}" if cell.tuning.trains else "zero-shot"
    params = {"learning_rate": learning_rate, "seed": seed}
    run = session.ledger.start(cell.id, name, phase="final", params=params, tags={"test_digest": test_digest})
    try:
        with trained(cell, learning_rate, seed, session, run):
            score = _score_final(cell, run, session)
            if session.checked.study.final.seeds:
                key = key_of(session.ledger.digest(cell.id), learning_rate, seed)
                keeper.offer(key, score, cell, session.bench)
    except Diverged as error:
        session.tracker.tags(run, {"outcome": "diverged", "error": str(error)})
        session.ledger.end(run, "FAILED")
    else:
        session.ledger.end(run)
    best = math.nan if cell.tuning.trains else score  # a cell's best is its best trial's
    session.progress.done(cell.id, name, score=score, best=best, seconds=time.perf_counter() - start)


@contextmanager
def trained(cell: Cell, learning_rate: str, seed: str, session: Session, run: str | None) -> Iterator[None]:
    """Train a winner to its last epoch; inside the block the model is the trained one.

    Args:
        cell: Which; zero-shot trains nothing.
        learning_rate: As its param has it.
        seed: As its param has it.
        session: The study.
        run: Where to log the epochs, if anywhere.
    """
    if not cell.tuning.trains:
        yield
        return
    bench, study = session.bench, session.checked.study
    with closing(bench.train(cell, learning_rate=float(learning_rate), seed=int(seed))) as epochs:
        seconds, tokens = 0.0, 0
        for epoch in epochs:
            seconds, tokens = seconds + epoch.seconds, tokens + epoch.tokens
            last = epoch.epoch == study.training.epochs
            if run is not None:
                values = {"train/loss": epoch.train_loss}
                if last:
                    values |= {"cost/train_seconds": seconds, "cost/tokens": float(tokens)}
                else:
                    loss = bench.score(cell.prompt, "validation", generate=False).scores["loss"]
                    values["validation/loss"] = loss
                session.tracker.metrics(run, values, step=epoch.epoch)
            if last:
                yield


def _score_final(cell: Cell, run: str, session: Session) -> float:
    """Score the model as it stands on validation and test; return the validation score that ranks."""
    study, bench = session.checked.study, session.bench
    splits: tuple[Split, ...] = ("validation", "test") if study.final.seeds else ("validation",)
    generate = bool(study.final.seeds) or session.generates
    step = study.training.epochs if cell.tuning.trains else 0
    values: dict[str, float] = {}
    for split in splits:
        scored = bench.score(cell.prompt, split, generate=generate)
        values |= {f"{split}/{name}": score for name, score in scored.scores.items()}
        values[f"cost/{split}_seconds"] = scored.seconds
        if scored.predictions:
            log_predictions(split, scored.predictions, run, session)
    values["cost/peak_memory_mib"] = bench.peak_memory()
    session.tracker.tags(run, {"trunk": bench.trunk if cell.tuning.trains else "live: nothing trains"})
    session.tracker.metrics(run, values, step=step)
    return values[f"validation/{session.lead}"]


def log_predictions(split: Split, predictions: Sequence[Prediction], run: str, session: Session) -> None:
    """Store predictions beside references; verdicts are computed from these, never from a second scoring."""
    examples = session.bench.examples(split)
    table: dict[str, list[Any]] = {
        "id": [prediction.id for prediction in predictions],
        "source": [example.fields["source"] for example in examples],
        "prediction": [prediction.text for prediction in predictions],
        "reference": [example.target for example in examples],
        "nll": [prediction.nll for prediction in predictions],
        "tokens": [prediction.tokens for prediction in predictions],
    }
    if any(len(example.references) > 1 for example in examples):
        table["references"] = [json.dumps(list(example.references), ensure_ascii=False) for example in examples]
    session.tracker.table(run, table, f"predictions/{split}.json")


def conclude_cell(cell: Cell, learning_rate: str, session: Session) -> None:
    """Write the cell's result on its parent run: the winner, and mean and deviation over final runs."""
    runs: list[Run] = session.ledger.children(cell.id, "final")
    done = [run for run in runs if run.status == "FINISHED"]
    names = sorted({name for run in done for name in run.metrics if name.startswith(("validation/", "test/"))})
    metrics: dict[str, float] = {}
    for name in names:
        values = [run.metrics[name] for run in done if name in run.metrics]
        metrics |= {name: mean(values), f"{name}_sd": spread(values)}
    seeds = NONE if not cell.tuning.trains else " ".join(str(seed) for seed in session.checked.study.final.seeds)
    winner = {"learning_rate": learning_rate, "seed": seeds or NONE}
    session.ledger.conclude(cell.id, winner, metrics, "FINISHED")
