"""Where runs that are under way are put by, in a study's folder, and what of it nothing goes on from any more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.core.workspace import inside
from harness.training.checkpoint_files import CheckpointFiles

__all__ = ["PutBy"]


@dataclass(frozen=True)
class PutBy:
    """The checkpoints of a study's jobs: a folder for each cell, and in it one for each job."""

    study: Path
    """The study's own folder."""

    @property
    def folder(self) -> Path:
        """Where they all are."""
        return inside(self.study, "checkpoints")

    def files(self, cell: str, job: str, keep: int = 1) -> CheckpointFiles:
        """Return the checkpoints of a job.

        Args:
            cell: The cell's id.
            job: Its name, which begins with that.
            keep: How many there are at a time.
        """
        place, title = _names(cell, job)
        return CheckpointFiles(inside(inside(self.folder, place), title), keep)

    def all(self) -> list[CheckpointFiles]:
        """Return those of all jobs, to be looked at."""
        return [CheckpointFiles(folder, 1) for folder in sorted(self.folder.glob("*/*"))]

    def settle(self, fresh: Iterable[str], ended: Iterable[tuple[str, str]]) -> None:
        """Drop what nothing goes on from, and what killed processes left half-written; only where the study is held.

        Whole models that final runs left stay with these.

        Args:
            fresh: The cells that start over.
            ended: Cells and jobs that ended: a kill may have come between their end and the dropping of these.
        """
        begun, over = {_names(cell, "")[0] for cell in fresh}, {_names(*job) for job in ended}
        for files in self.all():
            folder = files.folder
            if folder.parent.name in begun:
                files.clear()
                continue
            files.drop_unfinished()
            if (folder.parent.name, folder.name) in over:
                files.end()


def _names(cell: str, job: str) -> tuple[str, str]:
    """Return the names of the folders of a cell and of one of its jobs."""
    return cell.replace("/", "--"), job.removeprefix(f"{cell} ").replace(" ", "-")
