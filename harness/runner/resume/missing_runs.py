"""What the store already holds of a study, cell by cell; what makes the same command again do only what is missing.

The rules, in one place:

* A cell's parent run is found by the cell's digest. A parent of the same id with another digest is superseded,
  together with its children.
* A child that a kill left running becomes KILLED and ``interrupted``; a new child replaces it. So does a reference
  row. A parent that a kill left running is ended as KILLED until a command works on its cell again.
* A parent's params are written once, at its end. When more trials find another winner, or other final runs leave a
  metric without a value, a new parent takes the children over and the old one is superseded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from harness.core.example import Split
from harness.tracking.run_records import CellRecord
from harness.tracking.schema import NONE, Params, Tags
from harness.tracking.store_protocols import DataUse, Phase, Run, Status, Tracker

__all__ = ["StudyRuns"]


class StudyRuns:
    """The runs of one study.

    Args:
        tracker: The store.
        cells: What every run of a cell says of it, by id, for the whole grid.
        tags: What every run carries.
        links: Cell ids to the tags that lead from its runs to its registered prompt.
        data: The splits that trials read; final runs also read what `open_test` adds.
    """

    def __init__(
        self,
        tracker: Tracker,
        cells: Mapping[str, CellRecord],
        *,
        tags: Mapping[str, str],
        links: Mapping[str, Mapping[str, str]],
        data: Mapping[Split, DataUse],
    ) -> None:
        self._tracker = tracker
        self._cells = cells
        self._tags = tags
        self._links = links
        self._data = dict(data)
        self._runs: dict[str, Run] = {}
        self._parents: dict[str, str] = {}
        self._open: dict[str, str] = {}
        self._own: set[str] = set()
        self._noted: dict[str, dict[str, str]] = {}

    def settle(self, fresh: Sequence[str] = ()) -> None:
        """Bring the store in order: supersede what is out of date, end what a kill left open.

        Args:
            fresh: Ids of cells that start over.
        """
        self._end_left_open()
        for run in self._of_phase("cell"):
            cell = run.tags.get(Tags.CELL, "")
            digest = self._cells[cell].digest if cell in self._cells else None
            if cell in fresh or digest != run.tags.get(Tags.CELL_DIGEST):
                self._supersede(run)
        for run in self._of_phase("cell"):
            older = self._parents.get(run.tags[Tags.CELL])
            if older is not None:  # a kill came between making a new parent and retiring the old one
                self._hand_over(older, run.id)
            self._parents[run.tags[Tags.CELL]] = run.id

    def open_test(self, test: DataUse) -> None:
        """Have the runs that follow say that they read the test split."""
        self._data["test"] = test

    def digest(self, cell: str) -> str:
        """Return a cell's digest."""
        return self._cells[cell].digest

    def parent(self, cell: str) -> Run:
        """Return a cell's parent run, started where it is missing and reopened where it had ended."""
        if cell not in self._parents:
            self._parents[cell] = self._start_parent(cell, {})
        run = self._runs[self._parents[cell]]
        self._tracker.reopen(run.id)
        self._open[run.id] = run.name
        missing = {key: value for key, value in self._cells[cell].params().items() if key not in run.params}
        if missing:  # a kill came between making the parent and describing it
            self._tracker.params(run.id, missing)
            run = self._read(run.id)
        return run

    def note(self, cell: str, tags: Mapping[str, str]) -> None:
        """Set tags on a cell's parent run, and on what takes its place."""
        self._tracker.tags(self._parents[cell], tags)
        self._noted[cell] = dict(tags)

    def search(self, cell: str) -> str:
        """Return what names a cell's search: a tag of its first parent, which its heirs carry on.

        Not the parent's id, which a tracking server gives only when it has heard of the run. Where the tag is missing,
        the id was the name.
        """
        parent = self._runs[self._parents[cell]]
        return parent.tags.get(Tags.SEARCH, parent.id)

    def children(self, cell: str, phase: Phase) -> list[Run]:
        """Return a cell's child runs of a phase, oldest first."""
        parent = self._parents.get(cell)
        return [run for run in self._of_phase(phase) if run.parent == parent] if parent else []

    def start(self, cell: str, name: str, *, phase: Phase, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Start a child run of a cell and return its id."""
        all_params = {**self._cells[cell].params(), **params}
        run = self._tracker.start(
            f"{cell} {name}",
            phase=phase,
            parent=self._parents[cell],
            params=all_params,
            tags={**self._tags_of(cell), **tags},
        )
        self._open[run] = f"{cell} {name}"
        self._tracker.inputs(run, self._read_by(cell))
        return run

    def twin(self, run: str, cell: str, weights: str, *, scored: str) -> Run | None:
        """Return an earlier final run of the same cell and weights that answered the same test rows, of any phase.

        Args:
            run: The id of the one that asks.
            cell: Its cell.
            weights: The digest of its weights.
            scored: The metric that says that all was answered.
        """
        same = {
            Tags.CELL_DIGEST: self._cells[cell].digest,
            Tags.WEIGHTS_DIGEST: weights,
            Tags.TEST_DIGEST: self._tracker.run(run).tags[Tags.TEST_DIGEST],
        }
        found = (other for other in self._runs.values() if other.id != run and same.items() <= other.tags.items())
        return next((other for other in found if scored in other.metrics), None)

    def references(self) -> list[Run]:
        """Return the reference rows, oldest first."""
        return self._of_phase("reference")

    def start_reference(self, name: str, *, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Start a reference row's run, which stands beside the cells, and return its id."""
        title = f"reference {name}"
        run = self._tracker.start(
            title, phase="reference", parent=None, params=params, tags={**self._tags, Tags.REFERENCE: name, **tags}
        )
        self._open[run] = title
        self._tracker.inputs(run, [used for split, used in self._data.items() if split != "train"])
        return run

    def watch(self, run: str, name: str) -> None:
        """Take charge of a run outside the cells, so that `abort` ends it."""
        self._open[run] = name
        self._own.add(run)

    def end(
        self,
        run: str,
        status: Status = "FINISHED",
        *,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """End a run that this process started, with what is only known by then."""
        self._tracker.end(run, status, tags=tags, metrics=metrics)
        self._open.pop(run, None)
        self._read(run)

    def interrupt(self, run: Run) -> None:
        """Retire a child that was cut short; marked first, so that a kill in here leaves no doubt about it."""
        self._tracker.mark(run.id, phase="interrupted", name=f"{run.name} (interrupted {run.id[:4]})")
        self.end(run.id, "KILLED")

    def retire(self, run: Run) -> None:
        """Retire a finished child that no longer belongs to its cell's result."""
        self._tracker.mark(run.id, phase="superseded", name=f"{run.name} (superseded {run.id[:4]})")
        if run.status == "RUNNING":
            self._tracker.end(run.id, "KILLED")
        self._read(run.id)

    def conclude(self, cell: str, params: Mapping[str, Any], metrics: Mapping[str, float], status: Status) -> str:
        """Write a parent's result and end it; return its id, which is new where it said something else before."""
        run = self._runs[self._parents[cell]]
        moved = any(key in run.params and run.params[key] != str(value) for key, value in params.items())
        if moved or run.metrics.keys() - metrics.keys():
            heir = self._start_parent(cell, {**self._noted.get(cell, {}), Tags.SEARCH: self.search(cell)})
            self._hand_over(run.id, heir)
            self._parents[cell] = heir
            run = self._runs[heir]
        self._tracker.params(run.id, {key: value for key, value in params.items() if key not in run.params})
        self._tracker.inputs(run.id, self._read_by(cell))
        changed = {key: value for key, value in metrics.items() if run.metrics.get(key) != value}
        self.end(run.id, status, metrics=changed)
        return run.id

    def abort(self, status: Status) -> None:
        """End all that this process left open: children are interrupted, parents wait for the next command."""
        lasting = self._own | set(self._parents.values())
        for run, name in list(self._open.items()):
            if run not in lasting:
                self._tracker.mark(run, phase="interrupted", name=f"{name} (interrupted {run[:4]})")
            self.end(run, status)
        self._end_left_open()  # one that was being started when the signal came

    def _end_left_open(self) -> None:
        self._runs = {run.id: run for run in self._tracker.runs()}
        for run in [run for run in self._runs.values() if run.status == "RUNNING"]:
            if run.phase in ("search", "final", "reference"):
                self.interrupt(run)
            elif run.phase:  # a run without a phase is not the harness's
                self.end(run.id, "KILLED")

    def _read(self, run: str) -> Run:
        """Read a run anew; reading all of them takes the longer, the more there are."""
        self._runs[run] = self._tracker.run(run)
        return self._runs[run]

    def _start_parent(self, cell: str, carried: Mapping[str, str]) -> str:
        tags = {**self._tags_of(cell), Tags.SEARCH: uuid4().hex, **carried}
        return self._read(
            self._tracker.start(cell, phase="cell", parent=None, params=self._cells[cell].params(), tags=tags)
        ).id

    def _tags_of(self, cell: str) -> dict[str, str]:
        return {**self._tags, **self._links[cell], **self._cells[cell].tags()}

    def _read_by(self, cell: str) -> list[DataUse]:
        """Return what a cell's runs read by now; zero-shot reads no training rows."""
        trains = self._cells[cell].factors[Params.TUNING] != NONE
        return [used for split, used in self._data.items() if trains or split != "train"]

    def _hand_over(self, old: str, heir: str) -> None:
        """Move the children of one parent below another and supersede the old one."""
        for run in list(self._runs.values()):
            if run.parent == old:
                self._tracker.tags(run.id, {Tags.PARENT: heir})
                self._read(run.id)
        self._tracker.mark(old, phase="superseded", name=f"{self._runs[old].name} (superseded {old[:4]})")
        self.end(old)

    def _supersede(self, parent: Run) -> None:
        for run in list(self._runs.values()):
            if run.parent == parent.id and run.phase not in ("interrupted", "superseded"):
                self.retire(run)
        self.retire(parent)

    def _of_phase(self, phase: Phase) -> list[Run]:
        return [run for run in self._runs.values() if run.phase == phase]
