"""The workspace: the folder that everything goes to, and every place in it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.core.errors import UserError

__all__ = ["HERE", "HOME", "LONGEST_NAME", "STUDY_NAME", "Workspace", "inside", "is_study_name", "make_folder"]

STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
LONGEST_NAME = 100

HOME = "HARNESS_HOME"
"""The environment variable that names the folder where all is written."""

LONGEST_FILE = 200
"""Bytes of a file's name: file systems take 255, and drafts and locks add to it."""


def is_study_name(name: str) -> bool:
    """Return whether a study may be called so."""
    return len(name) <= LONGEST_NAME and re.fullmatch(STUDY_NAME.rstrip("$"), name) is not None


def inside(folder: Path, name: str) -> Path:
    """Return what lies in a folder under a name that may come from anywhere: a command line, a store, a file.

    Raises:
        UserError: The name is a path, or no file can be called so, or a link is there, which may lead anywhere.
    """
    if not _is_file_name(name):
        raise UserError(
            f"{name[:LONGEST_FILE]!r} cannot name anything in {folder}: it must be a plain name without '/', of at "
            f"most {LONGEST_FILE} bytes; name it otherwise"
        )
    place = folder / name
    if place.is_symlink():
        raise UserError(f"{place} is a link, to {os.readlink(place)}, where a file or folder must be; remove the link")
    return place


def _is_file_name(name: str) -> bool:
    try:
        length = len(os.fsencode(name))
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return 0 < length <= LONGEST_FILE and name not in (".", "..") and not {"/", os.sep, "\0"} & set(name)


def make_folder(folder: Path, what: str) -> None:
    """Make a folder where none is.

    Args:
        folder: Where.
        what: Named it, for the message.

    Raises:
        UserError: It cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        why = f"none can be made there: {error.strerror}"
        raise UserError(f"{what} {folder} is no folder, and {why}; name another") from error


@dataclass(frozen=True)
class Workspace:
    """A folder in which studies are run; unless one is named, that of ``HARNESS_HOME``, else the current one.

    Names that begin with a dot are no study's: a study's name begins with a letter or a digit. What goes by a study's
    name is refused where no study can have it, wherever the name came from.
    """

    home: str | Path | None = None

    @property
    def folder(self) -> Path:
        """Where it is; of one that is not named, as the environment has it now."""
        return Path(os.environ.get(HOME, "") if self.home is None else self.home).expanduser()

    @classmethod
    def at(cls, place: Workspace | str | Path) -> Workspace:
        """Return a workspace, which may be given as its folder."""
        return place if isinstance(place, Workspace) else cls(place)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Have the local stores here as well for the length of a block, as ``--home`` has them for a command.

        Raises:
            UserError: No folder can be made there.
        """
        before = os.environ.get(HOME)
        if self.home is not None:
            make_folder(self.folder, "the workspace")
            os.environ[HOME] = str(self.folder)  # processes that this one starts read it there
        try:
            yield
        finally:
            if before is None:
                os.environ.pop(HOME, None)
            else:
                os.environ[HOME] = before

    @property
    def is_working_folder(self) -> bool:
        """Whether it is the current folder."""
        return self.folder.absolute() == Path.cwd()

    @property
    def state(self) -> Path:
        """What the harness keeps between commands."""
        return self.folder / ".harness"

    @property
    def runs_database(self) -> Path:
        """MLflow's store, where no other one is named."""
        return self.folder / "mlflow.db"

    @property
    def run_files(self) -> Path:
        """Files of runs, where the store is a database, in a folder for each study."""
        return self.folder / "mlruns"

    @property
    def searches_database(self) -> Path:
        """Optuna's storage, where no other one is named."""
        return self.folder / "optuna.db"

    @property
    def recordings(self) -> Path:
        """Recorded activations of frozen parts, shared by all studies."""
        return self.state / ".recordings"

    @property
    def tokens(self) -> Path:
        """Texts that were tokenized once, shared by all studies."""
        return self.state / ".tokens"

    @property
    def memory(self) -> Path:
        """Rows, tasks and models that studies were given from memory, each under a name made of its content."""
        return self.state / ".memory"

    @property
    def journals(self) -> Path:
        """What waits for a tracking server that is away."""
        return self.state / ".journals"

    def texts(self, study: str) -> Path:
        """Return where predictions are that a study keeps off its tracking store; `harness clean` leaves them."""
        return inside(self.state / ".texts", _study(study))

    @property
    def database_lock(self) -> Path:
        """Held while a database is made or migrated, by one process at a time."""
        return self.state / ".lock"

    def study(self, name: str) -> Path:
        """Return a study's own folder: its plan, and models until the store has them."""
        return inside(self.state, _study(name))

    def study_lock(self, name: str) -> Path:
        """Return what is held while a study is run."""
        return inside(self.state, f".{_study(name)}.lock")

    def journal(self, name: str, store: str) -> Path:
        """Return what waits for a study's store, which a few hex digits stand for."""
        return inside(self.journals, f"{_study(name)}-{store}.jsonl")

    def report(self, name: str) -> Path:
        """Return where a study's report goes."""
        return inside(self.folder / "reports", _study(name))


def _study(name: str) -> str:
    if not is_study_name(name):
        raise UserError(
            f"{name[:LONGEST_FILE]!r} is no study's name: that has letters, digits, '_', '.' and '-', at most "
            f"{LONGEST_NAME} of them, and begins with a letter or digit; correct it"
        )
    return name


HERE = Workspace()
"""The workspace of a command: of ``--home``, else of the current folder."""
