"""Optuna's storage: the database that a study's searches are kept in."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import optuna
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from harness.core.database_urls import create, making, reach, reason_of, shown, sqlite_file, with_driver
from harness.core.environment_names import resolved
from harness.core.errors import StoreError
from harness.core.failures import explained
from harness.runner.search.patient_storage import patient
from harness.study.run_places import STORAGE_REMEDY

__all__ = ["open_storage", "reach_storage"]


def reach_storage(url: str) -> None:
    """See that Optuna's storage, as the study file has it, answers, without writing to it.

    Raises:
        UserError: It does not, or it reads an environment variable that is not set.
    """
    reach("search.storage", resolved(url, "search.storage"), remedy=STORAGE_REMEDY)


def open_storage(url: str, tell: Callable[[str], None]) -> optuna.storages.BaseStorage:
    """Open Optuna's storage.

    Args:
        url: As the study file has it.
        tell: Hears of a database server that is away, once it was there.

    Raises:
        StoreError: It cannot be reached, or holds something else.
    """
    reach_storage(url)
    url = with_driver(resolved(url, "search.storage"))
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # it would announce every trial, and what it raises
    try:
        create(url, _make)
        with making(url):
            return _quick(url) if sqlite_file(url) else patient(optuna.storages.get_storage(url), tell)
    except (SQLAlchemyError, RuntimeError) as error:
        if told := explained(error):
            raise told from error
        reason = reason_of(error, url)
        raise StoreError(f"search.storage {shown(url)} cannot be used: {reason}; name another database") from error


def _make(url: str) -> None:
    storage = optuna.storages.RDBStorage(url)
    storage.remove_session()
    storage.engine.dispose()


def _quick(url: str) -> optuna.storages.BaseStorage:
    """Open a sqlite database that does not wait for the disk; docs/decisions/sqlite.md says what a power cut costs."""
    storage = optuna.storages.RDBStorage(url)

    def relax(connection: sqlite3.Connection, _: object) -> None:
        if connection.execute("pragma journal_mode").fetchone() == ("wal",):
            connection.execute("pragma synchronous = normal")

    event.listen(storage.engine, "connect", relax)
    storage.engine.dispose()
    return optuna.storages.get_storage(storage)
