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
        """Read a study file.

        Args:
            path: The file.
            overrides: ``key.sub=value`` each, the value in YAML.
            workspace: Where everything goes.

        Raises:
            StudyError: All that is wrong with it.
        """
        return cls(read_study(Path(path), overrides), workspace)

    @property
    def name(self) -> str:
        """The MLflow experiment's, and the report folder's."""
        return self.file.study.name

    def check(self, *, test: bool = True) -> Checked:
        """Find all that would fail, without weights.

        Args:
            test: Whether to open the test split.

        Raises:
            StudyError: All of it.
        """
        return check(self.file, test=test)

    @cached_property
    def checked(self) -> Checked:
        """The study, checked to be run: the test split is opened where final runs will need it."""
        return self.check(test=bool(self.file.study.final.seeds))

    def plan(self, *, progress: Progress | None = None, cells: str | None = None) -> tuple[Plan, Path]:
        """Predict what a run would take, and keep the forecast for the report; return it, and where it is kept.

        Args:
            progress: Who watches.
            cells: A pattern such as ``cue/*``.
        """
        from harness.runner.planning.forecast_file import keep_forecast
        from harness.runner.planning.plan import plan

        forecast = plan(self.checked, self.workspace, say=(progress or Progress()).say, cells=cells)
        return forecast, keep_forecast(forecast, self.checked, self.workspace)

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

        return run(
            self.checked,
            self.workspace,
            progress=progress or Progress(),
            cells=cells,
            fresh=fresh,
            executor=executor,
        )
