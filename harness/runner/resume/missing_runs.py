"""What the store already holds of a study, cell by cell; what makes the same command again do only what is missing.

The rules, in one place:

* A cell's parent run is found by the cell's digest. A parent of the same id with another digest is superseded,
  together with its children.
* A child that a kill left running becomes KILLED and ``interrupted``; a new child replaces it. So does a reference
  row. A parent that a kill left running is ended as KILLED until a command works on its cell again.
* What such a child was put by as, its new one goes on from; of one that ended, nothing stays.
* A parent's params are written once, at its end. When more trials find another winner, or other final runs leave a
  metric without a value, a new parent takes the children over and the old one is superseded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from harness.core.absent_value import NONE
from harness.core.example import Split, digest
from harness.runner.resume.put_by import PutBy
from harness.tracking.prediction_table import TextsKeptOff
from harness.tracking.run_records import CellRecord, chart_metrics
from harness.tracking.schema import Params, Tags
from harness.tracking.shot_names import ASKED
from harness.tracking.store_protocols import DataUse, Phase, Status, Tracker
from harness.tracking.stored_run import Run

__all__ = ["StudyRuns"]

UNJUDGED = "none as yet"
"""The verdict on a cell until its study has ended."""


@dataclass
class StudyRuns:
    """The runs of one study."""

    tracker: Tracker
    cells: Mapping[str, CellRecord]
    """What every run of a cell says of it, by id, for the whole grid."""
    tags: Mapping[str, str]
    """What every run carries."""
    links: Mapping[str, Mapping[str, str]]
    """Cell ids to the tags that lead from its runs to its registered prompt."""
    data: dict[Split, DataUse]
    """The splits that runs which start now read: test is added when it is opened."""
    put_by: PutBy
    """Where those that are under way are put by."""
    kept_off: TextsKeptOff | None = None
    """Where texts go that are to stay off the store."""
    trained_on: Mapping[str, DataUse] = field(default_factory=dict)
    """By cell, what it uses of train, where training sizes are compared."""
    _runs: dict[str, Run] = field(default_factory=dict, init=False)
    _parents: dict[str, str] = field(default_factory=dict, init=False)
    _noted: dict[str, dict[str, str]] = field(default_factory=dict, init=False)
    _fresh: frozenset[str] = field(default=frozenset(), init=False)
    """The cells that start over."""

    def settle(self, fresh: Sequence[str] = ()) -> None:
        """Bring the store in order: supersede what is out of date, or of a cell that starts over; end what is open."""
        self.end_all("KILLED")
        self._fresh = frozenset(fresh)
        for run in self.of_phase("cell"):
            cell = run.tags.get(Tags.CELL, "")
            now = self.cells[cell].digest if cell in self.cells else None
            if cell in fresh or now != run.tags.get(Tags.CELL_DIGEST) or not self._reads_alike(run):
                self._supersede(run)
        for run in self.of_phase("cell"):
            older = self._parents.get(run.tags[Tags.CELL])
            if older is not None:  # a kill came between making a new parent and retiring the old one
                self._hand_over(older, run.id)
            self._parents[run.tags[Tags.CELL]] = run.id
        ended = [*self.of_phase("search"), *self.of_phase("final")]
        self.put_by.settle(fresh, [(run.tags.get(Tags.CELL, ""), run.name) for run in ended])

    def knows(self, cell: str) -> bool:
        """Return whether a cell as it is now was ever begun here, or is to start over in any case."""
        now = self.cells[cell].digest
        return cell in self._fresh or any(run.tags.get(Tags.CELL_DIGEST) == now for run in self._runs.values())

    def identity(self, cell: str) -> str:
        """Return the content hash of all that the trials of a cell depend on."""
        return digest([self.cells[cell].digest, self._reading(cell)])

    def parent(self, cell: str, search: str | None = None) -> Run:
        """Return a cell's parent run; started where it is missing, for a known search."""
        if cell not in self._parents:
            self._parents[cell] = self._start_parent(cell, {Tags.SEARCH: search} if search else {})
        run = self._runs[self._parents[cell]]
        missing = {key: value for key, value in self.cells[cell].params().items() if key not in run.params}
        if missing:  # a kill came between making the parent and describing it
            self.tracker.params(run.id, missing)
            run = self._read(run.id)
        if not self._reading(cell).items() <= run.tags.items():  # an older version made it
            self.tracker.tags(run.id, self._reading(cell))
            run = self._read(run.id)
        return run

    def note(self, cell: str, tags: Mapping[str, str]) -> None:
        """Set tags on a cell's parent run, and on what takes its place."""
        if not tags.items() <= self._runs[self._parents[cell]].tags.items():
            self.tag(self._parents[cell], tags)
        self._noted[cell] = dict(tags)

    def search(self, cell: str) -> str:
        """Return what names a cell's search: a tag of its first parent, which its heirs carry on; once, its id."""
        parent = self._runs[self._parents[cell]]
        return parent.tags.get(Tags.SEARCH, parent.id)

    def children(self, cell: str, phase: Phase) -> list[Run]:
        """Return a cell's child runs of a phase, oldest first."""
        parent = self._parents.get(cell)
        return [run for run in self._runs.values() if run.parent == parent and run.phase == phase] if parent else []

    def start(self, cell: str, name: str, *, phase: Phase, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Start a child run of a cell, whose parent is reopened where it had ended, and return its id."""
        if self._runs[self._parents[cell]].status != "RUNNING":
            self.tracker.reopen(self._parents[cell])
            self._read(self._parents[cell])
        title, parent = f"{cell} {name}", self._parents[cell]
        params, tags = {**self.cells[cell].params(params), **params}, {**tags, **self._tags_of(cell), **tags}
        run = self.tracker.start(title, phase=phase, parent=parent, params=params, tags=tags)
        self.tracker.metrics(run, chart_metrics(params))
        self.tracker.inputs(run, self._read_by(cell))
        return run

    def twins(self, run: str, cell: str, weights: str, *, scored: str) -> list[Run]:
        """Return other final runs of a cell and weights, of any phase, that were scored on the same test rows."""
        same = {
            Tags.CELL_DIGEST: self.cells[cell].digest,
            Tags.WEIGHTS_DIGEST: weights,
            Tags.TEST_DIGEST: self.tracker.run(run).tags[Tags.TEST_DIGEST],
        }
        found = (other for other in self._runs.values() if other.id != run and same.items() <= other.tags.items())
        return [other for other in found if scored in other.metrics and self._reads_alike(other)]

    def start_reference(self, name: str, *, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Start a reference row's run, which stands beside the cells, and return its id."""
        title, tags = f"reference {name}", {**self.tags, Tags.REFERENCE: name, **tags}
        run = self.tracker.start(title, phase="reference", parent=None, params=params, tags=tags)
        self.tracker.inputs(run, [used for split, used in self.data.items() if split != "train"])
        return run

    def end(
        self,
        run: str,
        status: Status = "FINISHED",
        *,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> Run:
        """End a run that this process started, with what is only known by then; return it as it is now."""
        self.tracker.end(run, status, tags=tags, metrics=metrics)
        return self._read(run)

    def tag(self, run: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run."""
        self.tracker.tags(run, tags)
        self._read(run)

    def interrupt(self, run: Run, status: Status = "KILLED") -> None:
        """Retire a child that was cut short; marked first, so that a kill in here leaves no doubt about it."""
        self.tracker.mark(run.id, phase="interrupted", name=_marked(run, "interrupted"))
        self.end(run.id, status)

    def retire(self, run: Run) -> None:
        """Retire a finished child that no longer belongs to its cell's result."""
        self.tracker.mark(run.id, phase="superseded", name=_marked(run, "superseded"))
        if run.status == "RUNNING":
            self.tracker.end(run.id, "KILLED")
        self._read(run.id)

    def conclude(self, cell: str, params: Mapping[str, Any], metrics: Mapping[str, float], status: Status) -> str:
        """Write a parent's result and end it; return its id, which is new where it said something else before."""
        if self.cells[cell].growth:  # else they stand there since it was started
            params = {**params, **self.cells[cell].counts(params)}
        run, metrics = self._runs[self._parents[cell]], {**metrics, **chart_metrics(params), **self.cells[cell].shots}
        metrics = {key: value for key, value in metrics.items() if not math.isnan(value)}  # one run has no deviation
        moved = any(key in run.params and run.params[key] != str(value) for key, value in params.items())
        if moved or run.metrics.keys() - metrics.keys():
            heir = self._start_parent(cell, {**self._noted.get(cell, {}), Tags.SEARCH: self.search(cell)})
            self._hand_over(run.id, heir)
            self._parents[cell] = heir
            run = self._runs[heir]
        missing = {key: value for key, value in params.items() if key not in run.params}
        changed = {key: value for key, value in metrics.items() if run.metrics.get(key) != value}
        if missing or changed or run.status != status:
            self.tracker.params(run.id, missing)
            self.tracker.inputs(run.id, self._read_by(cell))
            self.end(run.id, status, metrics=changed)
        return run.id

    def end_all(self, status: Status) -> None:
        """End all that is open: children are interrupted, parents wait for the next command."""
        self._runs = {run.id: run for run in self.tracker.runs()}
        for run in [run for run in self._runs.values() if run.status == "RUNNING"]:
            if run.phase in ("search", "final", "reference"):
                self.interrupt(run, status)
            elif run.phase:  # a run without a phase is not the harness's
                self.end(run.id, status)

    def let_go(self) -> None:
        """End the parents of cells that were left out on the way; they wait for a command that takes them in again."""
        for run in [run for run in self._runs.values() if run.phase == "cell" and run.status == "RUNNING"]:
            self.end(run.id, "KILLED")

    def _reads_alike(self, run: Run) -> bool:
        """Return whether a run's model read and wrote as the study's does now, as far as the run says."""
        reading = self._reading(run.tags.get(Tags.CELL, ""))
        return all(run.tags.get(name, now) == now for name, now in reading.items())

    def _reading(self, cell: str) -> dict[str, str]:
        tags = {**self.tags, **self.links.get(cell, {})}
        return {name: tags[name] for name in (Tags.TOKENIZER_DIGEST, Tags.GENERATION_DIGEST) if name in tags}

    def _read(self, run: str) -> Run:
        """Read a run anew; reading all of them takes the longer, the more there are."""
        self._runs[run] = self.tracker.run(run)
        return self._runs[run]

    def _start_parent(self, cell: str, carried: Mapping[str, str]) -> str:
        # MLflow's pages list tags as they were first set, so what is looked for stands first, known or not.
        tags = {Tags.VERDICT: UNJUDGED, **self._tags_of(cell), Tags.SEARCH: uuid4().hex, **carried}
        params = self.cells[cell].params()
        return self._read(self.tracker.start(cell, phase="cell", parent=None, params=params, tags=tags)).id

    def _tags_of(self, cell: str) -> dict[str, str]:
        own = self.links[cell]  # in front of what all say, and in its place
        return {**self.cells[cell].tags(), **own, **self.tags, **own}

    def _read_by(self, cell: str) -> list[DataUse]:
        """Return what a cell's runs read by now; zero-shot reads no training rows, few-shot does."""
        record = self.cells[cell]
        reads = record.factors[Params.TUNING] != NONE or ASKED in record.settings
        own = dict(self.data)
        if cell in self.trained_on:
            own["train"] = self.trained_on[cell]
        return [used for split, used in own.items() if reads or split != "train"]

    def _hand_over(self, old: str, heir: str) -> None:
        """Move the children of one parent below another and supersede the old one."""
        for run in list(self._runs.values()):
            if run.parent == old:
                self.tracker.tags(run.id, {Tags.PARENT: heir})
                self._read(run.id)
        self.tracker.mark(old, phase="superseded", name=_marked(self._runs[old], "superseded"))
        self.end(old)

    def _supersede(self, parent: Run) -> None:
        for run in list(self._runs.values()):
            if run.parent == parent.id and run.phase not in ("interrupted", "superseded"):
                self.retire(run)
        self.retire(parent)

    def of_phase(self, phase: Phase) -> list[Run]:
        """Return the runs of a phase, oldest first."""
        return [run for run in self._runs.values() if run.phase == phase]


def _marked(run: Run, phase: Phase) -> str:
    """Return a run's name with its phase; marking may have been cut short behind the name."""
    mark = f" ({phase} {run.id[:4]})"
    return run.name if run.name.endswith(mark) else f"{run.name}{mark}"
