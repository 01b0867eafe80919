"""A study as an object: from keyword arguments or a file, checked, planned, run. The command stands on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Required, TypedDict, Unpack

from harness.core.errors import UserError
from harness.core.failures import in_words
from harness.core.interrupts import resumable
from harness.core.plain_yaml import cut
from harness.core.progress import Progress
from harness.core.workspace import HERE, Workspace
from harness.study.axes import AXES
from harness.study.check import check
from harness.study.checked_study import Checked
from harness.study.load_study import StudyFile, read_study
from harness.study.save_study import save_study
from harness.study.study_from_memory import MemoryStudy, study_from_memory
from harness.study.task import Task
from harness.tracking.address import StudyAddress

if TYPE_CHECKING:
    from harness.runner.executors.crew import Workers
    from harness.runner.planning.planned_work import Plan
    from harness.runner.result import Result
    from harness.runner.run_events import Listener

__all__ = ["Sections", "Study"]


class Sections(TypedDict, total=False):
    """The sections of a study file, as keywords; each is what it would be there, or as said here."""

    name: Required[str]
    task: Required[str | Path | Task]
    """A name, the path of a task file, or a task from memory."""
    prompts: Sequence[Any]
    """Names, keys of a prompt, or a `harness.Template` or `harness.Chat`; none where the task is of plain text."""
    tuning: Required[Sequence[Any]]
    model: Any
    """Its keys, or a name alone, or a model from memory with its tokenizer: ``(model, tokenizer)``."""
    models: Sequence[Any]
    """Several of such instead, each maybe with ``as``."""
    data: Any
    """Its keys, and rows: ``{"train": rows, "test": rows}``, or ``{"rows": {"train": rows}, "train": 64}`` with sizes.
    Rows are a list of dicts, a `datasets.Dataset` or a pandas frame; splits that have none are carved out of train."""
    tracking: Mapping[str, Any]
    answers: str
    """How prompts are answered: ``generate``, ``likelihood`` or ``head``."""
    training: Mapping[str, Any]
    generation: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    engine: Mapping[str, Any]
    search: Mapping[str, Any]
    final: Mapping[str, Any]
    generality: Any


class Study:
    """A study, and what can be done with it.

    Keyword arguments are the sections of a study file. Rows, a task and a model from memory are taken as they are now,
    and become files of the workspace (``.harness/.memory``) called by their content: a model at once, the others when
    the study is first checked or run. So a second process that builds the same study resumes it.

    Args:
        workspace: The folder of all that is written, local stores too, as ``--home`` names one; left out,
            ``HARNESS_HOME``, else the working folder.
        sections: Those of a study file, and what `Sections` says.

    Raises:
        StudyError: All that is wrong with it, each under its keyword.

    >>> from harness import Study
    >>> rows = [{"source": f"note {n}", "target": "note"} for n in range(40)]
    >>> study = Study(name="short", task="summarization", prompts=["bare"], tuning=["head"], data={"train": rows})
    >>> study
    Study('short', 1 prompts x 2 tunings)
    >>> Study(name="short", task="summarization", prompts=["bare"], tuning=["haed"])
    Traceback (most recent call last):
        ...
    harness.core.errors.StudyError: harness.Study(tuning[0]): unknown tuning 'haed'; did you mean 'head'? ...
    """

    file: StudyFile
    """What it says."""
    workspace: Workspace
    """Where all is written."""

    def __init__(self, *, workspace: Workspace | str | Path = HERE, **sections: Unpack[Sections]) -> None:
        self.workspace = Workspace.at(workspace)
        self.file = study_from_memory(sections, self.workspace)

    @classmethod
    def load(
        cls, path: str | Path, overrides: Sequence[str] = (), *, workspace: Workspace | str | Path = HERE
    ) -> Study:
        """Read a study file, with overrides such as ``key.sub=value``, the value in YAML.

        Raises:
            StudyError: All that is wrong with it.
        """
        if isinstance(overrides, str):
            raise UserError(f"overrides is the text {cut(overrides)!r}; give a list of such")
        study = cls.__new__(cls)
        study.file, study.workspace = read_study(Path(path), overrides), Workspace.at(workspace)
        return study

    @property
    def address(self) -> StudyAddress:
        """Where its runs are, or will be."""
        with self.workspace.in_force():
            return self.file.address

    @property
    def name(self) -> str:
        """The report folder's, and the MLflow experiment's unless the file names another."""
        return self.file.study.name

    def save(self, path: str | Path) -> Path:
        """Write a study file that the command runs alike, with rows and task from memory beside it.

        Rows go into ``<name>-rows/<split>.jsonl``, a task into ``<name>-task.py``, a model into ``<name>-model/``.

        Args:
            path: Of the study file; what is there is replaced.

        Returns:
            That path.
        """
        return save_study(self.file, Path(path), self.workspace)

    @in_words()
    def check(self, *, test: bool = True, places: bool = True) -> Checked:
        """Find all that would fail, without weights.

        Args:
            test: Whether that split is opened.
            places: Whether all that a run writes to and connects with is tried; nothing is left behind.

        Raises:
            StudyError: All of it.
        """
        self._keep()
        with self.workspace.in_force():
            return check(self.file, test=test, workspace=self.workspace if places else None)

    @cached_property
    def checked(self) -> Checked:
        """The study, checked to be run: the test split is opened where final runs will need it."""
        return self.check(test=bool(self.file.study.final.seeds))

    @resumable()
    @in_words()
    def plan(self, *, progress: Progress | bool = False, cells: str | None = None) -> Plan:
        """Predict what a run of the cells of a pattern would take, and keep the forecast for the report.

        Args:
            progress: Who watches: see `run`.
            cells: A pattern such as ``cue/*``.

        Returns:
            What it takes: ``cells``, ``seconds``, ``peak_memory_mib``, and the ``file`` that keeps the forecast.
        """
        from harness.results.score_forecast import keep_forecast
        from harness.runner.planning.plan import plan
        from harness.runner.watching import watching

        with watching(progress) as watcher, self.workspace.in_force():
            made = plan(self.checked, self.workspace, say=watcher.stage, cells=cells)
        return replace(made, file=keep_forecast(made.forecast, made.weights, self.checked, self.workspace))

    @resumable()
    @in_words()
    def run(
        self,
        *,
        progress: Progress | bool = False,
        cells: str | None = None,
        fresh: bool = False,
        executor: str = "local",
        workers: Workers | None = None,
        devices: Sequence[str] = (),
        address: str | None = None,
        on_event: Listener | None = None,
    ) -> Result:
        """Run what is missing, write the report, and return what came out.

        An interrupt (Ctrl-C, or a notebook's stop button) raises a `KeyboardInterrupt` that a notebook shows as one
        sentence; the same call then goes on. Bars and advice of libraries are turned off, as by the command.

        Args:
            progress: Who watches: ``True`` for the notebook's cell or the terminal, or a `Progress` of one's own.
            cells: A pattern such as ``cue/*``: run only these cells.
            fresh: Start the cells over; what is there is superseded.
            executor: Who trains: ``local``, this machine, or ``ray``, the machines of a Ray cluster.
            workers: How many processes train side by side, or ``auto``; left out: one for each of the devices, else
                this process alone. Results do not depend on it, at as many threads for each.
            devices: Theirs, such as ``["cuda:0", "cuda:1"]``; left out: all that are there.
            address: Of the Ray cluster: ``auto``, ``host:6379``, ``ray://host:10001``; left out: ``RAY_ADDRESS``, else
                one of this machine that begins and ends with the call.
            on_event: Is called with each event as a dict of plain values, once it is recorded: those of ``harness run
                --json``, ``started``, ``epoch``, ``trial``, ``final`` and ``finished``, with the fields of
                docs/json.md. If it raises, it hears no more.

        Raises:
            UserError: What the user must change.
        """
        from harness.runner.executors.executor_table import crew_for
        from harness.runner.run_events import RunEvents
        from harness.runner.run_study import run  # torch, which `check` does without
        from harness.runner.watching import watching

        self._keep()  # it may have been deleted since the check
        with watching(progress) as watcher, self.workspace.in_force():
            events = RunEvents(on_event, watcher) if on_event else None
            result = run(
                self.checked,
                self.workspace,
                progress=events or watcher,
                cells=cells,
                fresh=fresh,
                executor=executor,
                crew=crew_for(executor, workers, devices, self.checked.study.training.device, address),
            )
            if events:
                events.finished(result)
        return result

    def _keep(self) -> None:
        """Write what came from memory into the workspace."""
        if isinstance(self.file, MemoryStudy):
            self.file.keep()

    def __repr__(self) -> str:
        study = self.file.study
        counts = {axis.name: len(axis.levels(study)) for axis in AXES}
        shown = [f"{count} {name}s" for name, count in counts.items() if count > 1 or name in ("prompt", "tuning")]
        return f"Study({study.name!r}, {' x '.join(shown)})"

    def _repr_html_(self) -> str:
        from harness.report.html_previews import study_preview

        return study_preview(self.file)
