"""The workspace: the folder that everything goes to, and every place in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["HERE", "Workspace"]


@dataclass(frozen=True)
class Workspace:
    """A folder in which studies are run; the current one unless another is named.

    Names that begin with a dot are no study's: a study's name begins with a letter or a digit.
    """

    home: Path = Path()

    @property
    def state(self) -> Path:
        """What the harness keeps between commands."""
        return self.home / ".harness"

    @property
    def recordings(self) -> Path:
        """Recorded activations of frozen parts, shared by all studies."""
        return self.state / ".recordings"

    @property
    def journals(self) -> Path:
        """What waits for a tracking server that is away."""
        return self.state / ".journals"

    def texts(self, study: str) -> Path:
        """Return where predictions are that a study keeps off its tracking store; `harness clean` leaves them."""
        return self.state / ".texts" / study

    @property
    def database_lock(self) -> Path:
        """Held while a database is made or migrated, by one process at a time."""
        return self.state / ".lock"

    def study(self, name: str) -> Path:
        """Return a study's own folder: its plan, and models until the store has them."""
        return self.state / name

    def study_lock(self, name: str) -> Path:
        """Return what is held while a study is run."""
        return self.state / f".{name}.lock"

    def report(self, name: str) -> Path:
        """Return where a study's report goes."""
        return self.home / "reports" / name


HERE = Workspace()
"""The workspace of the current folder."""
