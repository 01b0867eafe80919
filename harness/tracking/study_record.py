"""What a summary run says of its study: the study itself, as ``study.json``, and which models it keeps."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from harness.core.absent_value import NONE
from harness.core.bounded_files import parse_json
from harness.core.errors import DamagedError
from harness.core.format_versions import FORMAT, refuse_newer
from harness.core.stored_values import of_kind
from harness.tracking.schema import FACTORS, Artifacts, Tags
from harness.tracking.store_protocols import RunStore
from harness.tracking.stored_run import Run, damage

__all__ = ["KeptModels", "StudyRecord", "decoding", "refuse_newer_study", "summary_of"]

RECORD_FORMAT = 1
"""The newest version of ``study.json``."""


@dataclass
class _Prompt:
    name: str
    registered: str | None = None


@dataclass
class _Search:
    sampler: str = ""
    learning_rate: Mapping[str, Any] | None = None
    space: Mapping[str, Any] | None = None
    ranges: Mapping[str, Any] | None = None
    first: Sequence[Any] | None = None


@dataclass
class _Final:
    seeds: Sequence[int] = ()
    pairs: bool = False
    smallest_difference: float | None = None


@dataclass
class _Data:
    path: str | None = None
    hub: str | None = None


@dataclass
class _Study:
    """What is read of a stored study file; the rest is shown, or checked like any study file."""

    task: str = ""
    prompts: Sequence[_Prompt] = ()
    search: _Search = field(default_factory=_Search)
    final: _Final = field(default_factory=_Final)
    data: _Data = field(default_factory=_Data)
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


@contextmanager
def decoding(summary: Run) -> Iterator[None]:
    """Tell of what goes wrong while a part of a study's record is decoded as damage of its file.

    Raises:
        DamagedError: Something did.
    """
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DamagedError(damage(Artifacts.FACTS, summary, repr(error))) from error


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """A study as its summary run's ``study.json`` has it."""

    question: str
    study: Mapping[str, Any]
    """The study file, defaults filled in."""
    space: Sequence[Mapping[str, Any]] | None = None
    """The dimensions of the search space; ``None`` of a study that was run before this was kept."""
    ranges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """The learning rates of each tuning, by its name, as a dimension of the space; empty of a study that was run when
    all tunings had the same, those of `space`."""
    overrides: tuple[str, ...]
    """What ``--set`` said."""
    file: str
    """The path of the study's file, as it was typed."""
    working_folder: str = ""
    """Where it was typed; empty of a study that was run before this was kept."""
    task_file: str
    """The name of the task's file, which is `Artifacts.task` of the summary."""
    edition: str | None = None
    """From `harness.study.grid.edition`; ``None`` of a study that was run before there were editions."""
    forecast: Mapping[str, Any] | None = None
    """What ``harness plan`` had said, if anything."""
    cells: tuple[str, ...]
    """Ids, in grid order."""
    axes: tuple[str, ...] = FACTORS
    """What cells differ by, outermost first."""
    levels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The names of each cell's levels, by axis; empty of a study that was run before this was kept."""
    depths: tuple[str, ...] = ()
    """The tunings, shallow ones first; empty of a study that was run before this was kept."""
    prompts: Mapping[str, str] = field(default_factory=dict)
    """The text of each prompt's template; empty for a study that was run before these were kept."""
    prompt_forms: tuple[Mapping[str, Any], ...] = ()
    """The prompts that are more than a text, whole; left out where there are none."""
    filled: Mapping[str, str] = field(default_factory=dict)
    """Those with demonstrations as the first validation row fills them in; left out where there are none."""
    metrics: tuple[str, ...]
    """In the task's order, ``loss`` last."""
    signatures: Mapping[str, str]
    """Of each metric that is scored by example."""
    lead: str
    """The metric that ranks."""
    maximize: bool
    objective: str
    """What trials are judged by."""
    baseline: str
    """The id of the cell that others are compared with."""
    rows: Mapping[str, str] = field(default_factory=dict)
    """The files of rows that came from memory, by split, each called by its content; left out where all data are
    files. `Artifacts.rows` has their text, unless texts are kept off the store."""
    data: Mapping[str, Any]
    """Split sizes, truncation rates, duplicates, as the report shows them."""
    leaks: tuple[str, ...] = ()
    """What two splits have in common and was not dropped, a line per pair."""
    cautions: tuple[str, ...] = ()
    """What `check` said that a reader must know, a sentence each; empty of a study run before."""
    provenance: Mapping[str, str]

    @classmethod
    def from_run(cls, store: RunStore, summary: Run) -> StudyRecord:
        """Read a study from its summary run.

        Raises:
            DamagedError: Its file is not what was stored.
            NewerError: A newer version of the harness wrote it.
        """
        with decoding(summary):
            facts = _refusing_gaps(parse_json(store.fetch(summary.id, Artifacts.FACTS)), summary)
            refuse_newer(f"{Artifacts.FACTS} of run {summary.name} ({summary.id})", facts.get(FORMAT), RECORD_FORMAT)
            of_kind(cls, facts)
            of_kind(_Study, facts["study"])
            if lost := set(FACTORS) - set(facts.get("axes", FACTORS)):
                raise ValueError(f"its axes lack {', '.join(sorted(lost))}")
            known = {own.name for own in fields(cls)}
            lists = {name: tuple(value) for name, value in facts.items() if isinstance(value, list)}
            return cls(**{name: value for name, value in {**facts, **lists}.items() if name in known})

    def to_run(self, store: RunStore, summary: str) -> None:
        """Write a study on its summary run."""
        facts = {FORMAT: RECORD_FORMAT, **asdict(self)}
        for name in ("prompt_forms", "filled", "rows"):
            if not facts[name]:
                del facts[name]
        store.text(summary, json.dumps(facts, ensure_ascii=False, indent=2), Artifacts.FACTS)


def _refusing_gaps(facts: Any, summary: Run) -> Any:
    """Return what a file holds; its objects say of a key which they lack that the file is damaged."""

    class Facts(dict[str, Any]):
        def __missing__(self, key: str) -> Any:
            raise DamagedError(damage(Artifacts.FACTS, summary, f"it lacks {key!r}"))

    def complete(value: Any) -> Any:
        if isinstance(value, dict):
            return Facts({key: complete(inner) for key, inner in value.items()})
        return [complete(inner) for inner in value] if isinstance(value, list) else value

    return complete(facts)


def summary_of(runs: Sequence[Run]) -> Run | None:
    """Return a study's summary run, ``None`` where it was never run to its end; of several the newest."""
    return next((run for run in reversed(runs) if run.phase == "summary"), None)


def refuse_newer_study(store: RunStore) -> None:
    """See that nothing of a study was written by a newer version; what is damaged is for others to mend.

    Raises:
        NewerError: Something was.
    """
    if summary := summary_of(store.runs(phase="summary")):
        with suppress(DamagedError):
            StudyRecord.from_run(store, summary)


@dataclass(frozen=True)
class KeptModels:
    """What a summary run says of the models that its study keeps."""

    model: str | None
    """The URI of the best one, ``None`` where none is kept."""
    run: str | None
    """The id of the best final run, whether its model is kept or not; ``None`` where nothing can be ranked."""
    cell: str | None
    """The id of that run's cell."""
    runs: tuple[str, ...]
    """The ids of all runs whose models are kept."""
    seed: str = ""
    """The best run's; ``none`` of zero-shot, empty in older stores, as the next."""
    reason: str = ""
    """Why it is this run's model, or none."""

    @classmethod
    def from_run(cls, summary: Run) -> KeptModels:
        """Read what is kept."""
        tags, model = summary.tags, summary.tags.get(Tags.BEST_MODEL, NONE)
        runs = tuple(tags.get(Tags.KEPT_RUNS, "").split())
        run, cell = tags.get(Tags.BEST_RUN) or None, tags.get(Tags.BEST_CELL) or None
        why = tags.get(Tags.BEST_SEED, ""), tags.get(Tags.BEST_REASON, "")
        return cls(None if model == NONE else model, run, cell, runs, *why)

    def tags(self) -> dict[str, str]:
        """Return what the summary is to say, once final runs are over."""
        best = {Tags.BEST_MODEL: self.model or NONE, Tags.BEST_RUN: self.run or "", Tags.BEST_CELL: self.cell or ""}
        why = {Tags.BEST_SEED: self.seed, Tags.BEST_REASON: self.reason}
        return {**best, **why, Tags.KEPT_RUNS: " ".join(self.runs)}
