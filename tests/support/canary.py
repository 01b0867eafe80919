"""What tells of itself: programs and modules that leave a file where they are run, and all bytes of a store."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from tests.support.study_fixture import Place

__all__ = ["Canaries", "stored"]


class Canaries:
    """Makes them; which of them were run is what lies in a folder afterwards.

    Args:
        folder: Where those that are run leave a file of their name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def python(self, name: str) -> str:
        """Return a line of Python that tells."""
        return f"open({str(self._folder / name)!r}, 'w').close()\n"

    def module(self, file: Path) -> None:
        """Write a module that tells of being imported, and is of no use."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{self.python(file.name)}raise SystemExit(f'{{__name__}} is not what was meant')\n")

    def command(self, name: str) -> str:
        """Return a command of the shell that tells, and fails."""
        return f"touch '{self._folder / name}'; false"

    def sang(self) -> list[str]:
        """Return which were run."""
        return sorted(file.name for file in self._folder.iterdir())


def stored(place: Place) -> Iterator[tuple[str, bytes]]:
    """Yield all that a store holds: each value of its database, each of its files."""
    with closing(sqlite3.connect(place.folder / "mlflow.db")) as store:
        tables = [name for (name,) in store.execute("select name from sqlite_master where type = 'table'")]
        for table in tables:
            for row in store.execute(f'select * from "{table}"'):
                yield table, "\n".join(map(str, row)).encode()
    for file in (place.folder / "mlruns").rglob("*"):
        if file.is_file():
            yield str(file.relative_to(place.folder)), file.read_bytes()
    if (place.folder / "optuna.db").exists():
        yield "optuna.db", (place.folder / "optuna.db").read_bytes()
