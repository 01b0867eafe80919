"""A store whose folder was moved or copied: MLflow keeps absolute addresses of all files, which lead to where it was.

A sqlite store is corrected at the first command in the new place: where a run's folder lies below ``mlruns`` beside
the database (or in the workspace, if it has left its old place), the addresses that led to the old ``mlruns`` lead
there. Runs have random ids, so that nothing else can be taken for them. What is found nowhere is refused; see
``docs/decisions/moved-stores.md``.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Experiment, ViewType

from harness.core.database_urls import sqlite_file
from harness.core.errors import StoreError
from harness.core.passwords import masked
from harness.core.printable import printable
from harness.core.workspace import HERE
from harness.tracking.address import address_of, local_folder

__all__ = ["artifacts_of", "follow_move", "refuse_absent"]

FILES = "mlruns"
"""Where MLflow keeps files, in the folder that a store was made in."""

COLUMNS = {
    "experiments": "artifact_location",
    "runs": "artifact_uri",
    "logged_models": "artifact_location",
    "model_versions": "storage_location",
}
"""Of MLflow's tables, those that hold addresses of files."""

PATIENCE = 60.0
"""Seconds that another process may keep the database locked."""


def artifacts_of(study: str) -> str | None:
    """Return where a new experiment's files are to go; ``None`` where MLflow's own choice is read back as it was meant.

    MLflow writes paths bare and reads them with their escapes resolved: of a folder that has some it makes another one.
    """
    folder = (HERE.run_files / study).absolute()
    address = address_of(folder)
    return None if address == str(folder) and HERE.is_working_folder else address


def follow_move(uri: str) -> None:
    """Have a sqlite store that was moved or copied with its files lead to where they are now, and say so."""
    file = sqlite_file(uri)
    if file is None:
        return
    with closing(sqlite3.connect(file, timeout=PATIENCE)) as store, store:
        for old, new in dict(_moves(store, file.resolve())).items():
            count = _redirect(store, old, new)
            moved = f"{count} addresses of its files led to {old} and lead to {new} now"
            logging.getLogger(__name__).warning(printable(f"store {file} was moved or copied: {moved}"))


def _moves(store: sqlite3.Connection, file: Path) -> Iterator[tuple[Path, Path]]:
    """Yield each old place of files, and the new one."""
    beside, here = file.parent / FILES, HERE.run_files.resolve()
    for experiment, location in store.execute("select experiment_id, artifact_location from experiments").fetchall():
        place = local_folder(location)
        if place is None or place.parent.name != FILES:
            continue
        old = place.parent
        for new in (beside, here):
            stays = _is_same(old, new) or (old.exists() if new != beside else _is_same(old.parent / file.name, file))
            if not stays and _has_runs(store, experiment, new / place.name):
                yield old, new
                break


def _has_runs(store: sqlite3.Connection, experiment: str, folder: Path) -> bool:
    if not folder.is_dir():
        return False
    runs = store.execute("select run_uuid from runs where experiment_id = ?", (experiment,))
    return any((folder / run).is_dir() for (run,) in runs)


def _redirect(store: sqlite3.Connection, old: Path, new: Path) -> int:
    """Change the addresses of what is in the new place, or in neither; return how many."""
    changed = 0
    for table, column in COLUMNS.items():
        for row, location in store.execute(f"select rowid, {column} from {table}").fetchall():
            place = local_folder(location or "")
            if place is None or old not in place.parents:
                continue
            now = new / place.relative_to(old)
            if now.exists() or not place.exists():
                store.execute(f"update {table} set {column} = ? where rowid = ?", (address_of(now), row))
                changed += 1
    return changed


def refuse_absent(client: MlflowClient, experiment: Experiment) -> None:
    """See that a study's files are where the store says, so that none are read or written in a wrong place.

    Files that were deleted where the store was made are no matter of this: what is missing is made again.

    Raises:
        StoreError: They are gone with their folder, or belong to the store that this one is a copy of.
    """
    store = client.tracking_uri
    place, file = local_folder(experiment.artifact_location), sqlite_file(store)
    homes = [HERE.run_files, *([file.resolve().parent / FILES] if file else [])]
    if place is None or any(_is_same(place.parent, home) for home in homes):
        return
    what = f"the files of study {experiment.name!r} are in {place} by store {masked(store, store)}"
    if file and _is_copied(experiment, file, place.parent.parent / file.name):
        files = place.parent
        raise StoreError(
            f"{what}, which is a copy of the store there; copy the files as well: cp -r '{files}' '{homes[-1].parent}'"
        )
    if not place.exists() and client.search_runs([experiment.experiment_id], run_view_type=ViewType.ALL, max_results=1):
        raise StoreError(
            f"{what}, and nothing is there; where the folder was moved, move it back, or lead there from where it was: "
            f"ln -s NEW_FOLDER '{place.parent.parent}'; where the files are lost: mkdir -p '{place}'"
        )


def _is_copied(experiment: Experiment, file: Path, other: Path) -> bool:
    """Return whether another database holds the very same experiment."""
    if not other.is_file() or _is_same(other, file):
        return False
    query = "select 1 from experiments where experiment_id = ? and name = ? and creation_time = ?"
    same = (experiment.experiment_id, experiment.name, experiment.creation_time)
    try:
        with closing(sqlite3.connect(f"file:{other.absolute().as_uri()[7:]}?mode=ro", uri=True)) as store:
            return store.execute(query, same).fetchone() is not None
    except sqlite3.Error:  # no store of MLflow's
        return False


def _is_same(one: Path, other: Path) -> bool:
    """Return whether two paths lead to the same place, which need not be there."""
    return one.resolve() == other.resolve() or (one.exists() and other.exists() and one.samefile(other))
