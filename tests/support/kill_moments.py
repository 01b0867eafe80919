"""Moments in the life of a study, read from its databases, and SIGKILL at one of them."""

from __future__ import annotations

import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.support.study_fixture import Place

Moment = Callable[[Place], bool]

PATIENCE = 600.0
"""Seconds that a life may take; the machine may be busy."""


def running(phase: str, number: int) -> Moment:
    """Return whether the so-many-th run of a phase is under way, by a look at the database."""

    def reached(place: Place) -> bool:
        query = "select r.status from runs r join tags t using (run_uuid) where t.key = 'phase' and t.value = ?"
        found = [status for (status,) in look(place.folder / "mlflow.db", query, phase)]
        return len(found) >= number and "RUNNING" in found

    return reached


def trials_told(number: int) -> Moment:
    """Return whether Optuna knows of so many finished trials: the moment between two trials."""

    def reached(place: Place) -> bool:
        query = "select number from trials where state = 'COMPLETE'"
        return (place.folder / "optuna.db").exists() and len(look(place.folder / "optuna.db", query)) >= number

    return reached


def storing_the_model(place: Place) -> bool:
    return bool(look(place.folder / "mlflow.db", "select model_id from logged_models"))


def look(database: Path, query: str, *values: str) -> list[tuple[str, ...]]:
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError:  # it is being made
        return []


def kill_at(place: Place, moment: Moment, delay: float, arguments: tuple[str, ...]) -> bool:
    """Run the study and kill it; return whether it was still running then."""
    process = place.process("run", "study.yaml", *arguments)
    try:
        end = time.monotonic() + PATIENCE
        while process.poll() is None and not moment(place):
            assert time.monotonic() < end
            time.sleep(0.005)
        time.sleep(delay)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    return process.returncode == -signal.SIGKILL
