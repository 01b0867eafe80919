"""A study as an object: read from a file, checked, planned, run. The command stands on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness.core.progress import Progress
from harness.core.workspace import HERE, Workspace
from harness.study.check import Checked, check
from harness.study.load_study import StudyFile, read_study

if TYPE_CHECKING:
    from harness.runner.planning.plan import Plan
    from harness.runner.result import Result

__all__ = ["Study"]


@dataclass(frozen=True)
class Study:
    """A study file, and what can be done with it."""

    file: StudyFile
    workspace: Workspace = HERE

    @classmethod
    def load(cls, path: str | Path, overrides: Sequence[str] = (), *, workspace: Workspace = HERE) -> Study:
        """Read a study file, with overrides such as ``key.sub=value``, the value in YAML.

        Raises:
            StudyError: All that is wrong with it.
        """
        return cls(read_study(Path(path), overrides), workspace)

    @property
    def name(self) -> str:
        """The report folder's, and the MLflow experiment's unless the file names another."""
        return self.file.study.name

    def check(self, *, test: bool = True, places: bool = True) -> Checked:
        """Find all that would fail, without weights.

        Args:
            test: Whether that split is opened.
            places: Whether all that a run writes to and connects with is tried; nothing is left behind.

        Raises:
            StudyError: All of it.
        """
        return check(self.file, test=test, workspace=self.workspace if places else None)

    @cached_property
    def checked(self) -> Checked:
        """The study, checked to be run: the test split is opened where final runs will need it."""
        return self.check(test=bool(self.file.study.final.seeds))

    def plan(self, *, progress: Progress | None = None, cells: str | None = None) -> tuple[Plan, Path]:
        """Predict what a run of the cells of a pattern would take, and keep the forecast for the report.

        Returns:
            The forecast, and where it is kept.
        """
        from harness.results.score_forecast import keep_forecast
        from harness.runner.planning.plan import plan

        made = plan(self.checked, self.workspace, say=(progress or Progress()).say, cells=cells)
        return made, keep_forecast(made.forecast, made.weights, self.checked, self.workspace)

    def run(
        self,
        *,
        progress: Progress | None = None,
        cells: str | None = None,
        fresh: bool = False,
        executor: str = "local",
    ) -> Result:
        """Run what is missing, write the report, and return what came out.

        Args:
            progress: Who watches.
            cells: A pattern such as ``cue/*``: run only these cells.
            fresh: Start the cells over; what is there is superseded.
            executor: Who trains, by name; see `harness.runner.executors.executor_table`.

        Raises:
            UserError: What the user must change.
        """
        from harness.runner.run_study import run  # torch, which `check` does without

        watcher = progress or Progress()
        return run(self.checked, self.workspace, progress=watcher, cells=cells, fresh=fresh, executor=executor)
