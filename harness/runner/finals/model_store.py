"""Which models of a study the store keeps: the best by validation, or the best of every cell."""

from __future__ import annotations

import re

from harness.report.mlflow_pages.descriptions import model_note
from harness.runner.finals.best_checkpoint import best_checkpoint_of, key_of
from harness.runner.finals.champion import promote
from harness.runner.finals.final_runs import trained
from harness.runner.run_parts import Session
from harness.serving.generator import SERVED
from harness.tracking.mlflow.ui_views import NOTE, Address
from harness.tracking.store_protocols import ModelCard, Run

__all__ = ["store_models"]

ABSENT = "none"
STORED = "stored"
"""The tag of a run that says how its model is stored: ``full`` or ``delta``."""


def store_models(summary: str, session: Session) -> None:
    """Store the models that the study keeps, register the best, and drop those that were kept before.

    A registered model stays: dropping it would leave its version without weights. `harness.runner.clean` drops those
    that no alias names any more.

    Args:
        summary: The id of the study's summary run, whose tags will say what is kept.
        session: The study, all finals done.
    """
    ranked = _ranked(session)
    if not ranked or not session.checked.study.final.seeds:
        return
    best, stored, wanted = ranked[0], session.tracker.models(), _wanted(ranked, session)
    for run in wanted:
        if run.id in stored and not _is_as_asked(run, session):
            session.tracker.drop_model(stored.pop(run.id))
        if run.id not in stored:
            stored[run.id] = _store(run, session)
    if wanted:
        promote(best, stored[best.id], session)
    uri = stored[best.id] if wanted else ABSENT
    tags = {"best_model": uri, "best_run": best.id, "best_cell": best.tags["cell"]}
    session.tracker.tags(summary, {**tags, "kept_runs": " ".join(run.id for run in wanted)})
    registry, kept = session.tracker.model_registry, {run.id for run in wanted}
    for other in stored.keys() - kept:
        if not registry.made_by(other):
            session.tracker.drop_model(stored[other])


def _ranked(session: Session) -> list[Run]:
    """Return the final runs, best on validation first; the earlier one among equals."""
    metric, sign = f"validation/{session.lead}", 1.0 if session.maximizes(session.lead) else -1.0
    cells = [cell.id for cell in session.checked.cells]
    finals = [run for cell in cells for run in session.ledger.children(cell, "final") if run.status == "FINISHED"]
    return sorted((run for run in finals if metric in run.metrics), key=lambda run: -sign * run.metrics[metric])


def _wanted(ranked: list[Run], session: Session) -> list[Run]:
    if session.checked.study.final.models == "none":
        return []
    firsts: dict[str, Run] = {}
    for run in ranked:
        firsts.setdefault(run.tags["cell"], run)
    return list(firsts.values()) if session.checked.study.final.models == "cells" else ranked[:1]


def _is_as_asked(run: Run, session: Session) -> bool:
    """Return whether a stored model may stay as it is; a registered one must, and the user hears of it."""
    asked = session.checked.study.final.store
    there = run.tags.get(STORED, asked)
    if there != asked and session.tracker.model_registry.made_by(run.id):
        kept = f"the model of {run.name} is registered and stays as it is, {there}"
        session.progress.say(f"{kept}; final.store: {asked} holds for new ones")
        return True
    return there == asked


def _store(run: Run, session: Session) -> str:
    """Hand a final run's model to the store; one whose weights are not at hand is trained again."""
    session.progress.say(f"storing the model of {run.name}")
    cell = next(cell for cell in session.checked.cells if cell.id == run.tags["cell"])
    rate, seed = run.params["learning_rate"], run.params["seed"]
    best_checkpoint, key = (
        best_checkpoint_of(cell, session),
        key_of(run.tags["cell_digest"], rate, seed, store=session.checked.study.final.store),
    )
    assert best_checkpoint is not None
    if not best_checkpoint.holds(key):
        with trained(cell, rate, seed, session, None):
            best_checkpoint.save(key, run.metrics[f"validation/{session.lead}"], cell, session.trainer)
    uri = session.tracker.model(run.id, best_checkpoint.model, _card(run, session))
    best_checkpoint.release()
    session.tracker.tags(run.id, {STORED: session.checked.study.final.store})
    return uri


def _card(run: Run, session: Session) -> ModelCard:
    cell = next(cell for cell in session.checked.cells if cell.id == run.tags["cell"])
    fields = session.checked.examples["validation"][0].fields
    params = ("task", "model", "prompt", "tuning", "learning_rate", "seed")
    tags = ("study", "cell", "cell_digest", "model_digest", "weights_digest", "prompt_uri")
    note = model_note(run, session.lead, Address(session.tracker.experiment))
    return ModelCard(
        name=re.sub(r"[^A-Za-z0-9 _-]", "-", run.name),
        code=SERVED,
        example={name: fields[name] for name in sorted(cell.prompt.names()) or ["source"]},
        params={name: run.params[name] for name in params} | {"store": session.checked.study.final.store},
        tags={name: run.tags[name] for name in tags if name in run.tags} | {"best_run": run.id, NOTE: note},
    )
