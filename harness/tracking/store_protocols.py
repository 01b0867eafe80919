"""What the harness asks of a tracking store, in its own words: runs, prompts, models, pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from harness.data.tokenization import PromptForm
from harness.tracking.schema import Phase, Status
from harness.tracking.stored_run import Run

__all__ = [
    "DataUse",
    "Kind",
    "ModelCard",
    "ModelRegistry",
    "ModelStore",
    "Phase",
    "PromptRegistry",
    "Registered",
    "RunStore",
    "Status",
    "StudyPages",
    "Tracker",
    "Version",
]

Kind = Literal["start", "log", "update", "text", "inputs"]
"""What can be told of a run."""


class DataUse(NamedTuple):
    """One split as a run used it."""

    name: str
    """Of the data as a whole."""
    split: str
    digest: str
    """Of the rows in their order."""
    source: str
    """A path or Hub id."""
    source_type: Literal["local", "hf"]
    rows: int
    fields: tuple[str, ...]


class Registered(NamedTuple):
    """A version of a prompt in the store's registry."""

    name: str
    version: int
    link: Mapping[str, str]
    """The tags that lead from a run to the prompt it used."""


class ModelCard(NamedTuple):
    """What a store is told of a model beside its files."""

    name: str
    code: Path
    package: Mapping[str, Path]
    """The file that serves it, and those that it imports, by their places in a folder of code."""
    example: Mapping[str, Any]
    """A row that it answers, with every column that it needs."""
    params: Mapping[str, str]
    tags: Mapping[str, str]
    packages: tuple[str, ...] = ()
    """Published ones that its code imports, and other models' does not."""


class Version(NamedTuple):
    """One version of a registered model."""

    name: str
    number: str
    run: str
    """The id of the run that made it."""
    uri: str
    """Of the stored model."""
    tags: Mapping[str, str]
    aliases: tuple[str, ...]


class ModelRegistry(Protocol):
    """The registered models of a store."""

    def aliased(self, name: str, alias: str) -> Version | None:
        """Return the version that an alias names, ``None`` where there is none."""

    def made_by(self, run: str, name: str | None = None) -> list[Version]:
        """Return the versions that a run made, of one registered model or of all."""

    def refuse_taken(self, name: str) -> None:
        """See that a model can be registered under a name; a StoreError says that it belongs to a prompt."""

    def register(self, name: str, run: str, uri: str) -> Version:
        """Make a stored model a version of a registered one, which is made where there is none.

        Raises:
            StoreError: The name belongs to a prompt, or the store has no registry.
        """

    def describe(self, version: Version, text: str, tags: Mapping[str, str]) -> None:
        """Write a version's description, then its tags in their order."""

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set a version's tags, in their order."""

    def point(self, alias: str, version: Version) -> None:
        """Give a version an alias, and take it from the version that had it."""

    def forget(self, version: Version) -> None:
        """Delete a version."""

    def siblings(self, run: str) -> list[Run]:
        """Return the finished final runs of the same cell and learning rate as a run; none where it is gone.

        Those of a cell that was superseded since are among them: what a registered model is worth does not change with
        a later edit of its study.
        """


class RunStore(Protocol):
    """The runs of one study; every call names its run."""

    def runs(self, *, phase: Phase | None = None, removed: bool = False) -> list[Run]:
        """Return all runs of the study or of a phase, oldest first; or those deleted that the store still knows."""

    def run(self, run: str) -> Run:
        """Return one run as it is now."""

    def histories(self, runs: Sequence[str], names: Sequence[str]) -> dict[str, dict[str, dict[int, float]]]:
        """Return metrics by run, by name, by step; of a step that was recorded twice, the later value."""

    def start(
        self, name: str, *, phase: Phase, parent: str | None, params: Mapping[str, Any], tags: Mapping[str, str]
    ) -> str:
        """Start a run and return its id."""

    def reopen(self, run: str) -> None:
        """Mark an ended run as running again."""

    def mark(self, run: str, *, phase: Phase, name: str) -> None:
        """Give a run another phase and name."""

    def params(self, run: str, values: Mapping[str, Any]) -> None:
        """Record params; a param that is there keeps its value for good."""

    def tags(self, run: str, values: Mapping[str, str]) -> None:
        """Set tags; `Tags.PARENT` moves a run below another one."""

    def metrics(self, run: str, values: Mapping[str, float], step: int = 0) -> None:
        """Record metrics at a step, in one call; what is no number (an undefined score) is left out."""

    def inputs(self, run: str, used: Sequence[DataUse]) -> None:
        """Record which data a run read; what is recorded already is left as it is."""

    def text(self, run: str, text: str, file: str) -> None:
        """Store a text as an artifact."""

    def table(self, run: str, columns: Mapping[str, Sequence[Any]], file: str) -> None:
        """Store a table, column by column, as an artifact that the UI can show."""

    def files(self, run: str, folder: Path, into: str) -> None:
        """Store all files of a folder as artifacts."""

    def fetch(self, run: str, file: str) -> str:
        """Return a text artifact.

        Raises:
            DamagedError: It is missing, or not what was stored.
        """

    def end(
        self,
        run: str,
        status: Status = "FINISHED",
        *,
        tags: Mapping[str, str] | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        """End a run, for good when the call returns; what is only known by then is recorded before."""


class PromptRegistry(Protocol):
    """The registered prompts of a store."""

    def register(self, prompt: PromptForm, *, task: str, study: str) -> Registered:
        """Return the version that holds a prompt's text and contract, registered where there is none.

        Args:
            prompt: Any form of one.
            task: Its task; the same prompt of another study of this task is the same version.
            study: For tags and the commit message.

        Raises:
            StoreError: A registered model of that name is in the way.
        """

    def find(self, uri: str) -> Registered:
        """Return the version that ``prompts:/name/3`` or ``prompts:/name@alias`` stands for now.

        Raises:
            TemplateError: There is none.
        """

    def alias(self, prompt: Registered, alias: str) -> None:
        """Give a version an alias, and take it from the version that had it."""


class ModelStore(Protocol):
    """The models that a study keeps."""

    registry: ModelRegistry
    """The registered models of the store, whatever study they came from."""

    def stored(self) -> dict[str, str]:
        """Return the stored models: run id to model URI; one that a kill left unfinished, or without files, is none."""

    def holds(self, uri: str) -> bool:
        """Return whether a model is there with its files, whatever study it came from."""

    def store(self, run: str, folder: Path, card: ModelCard) -> str:
        """Store a model made by a run, tie the run's scores and data to it, and return its URI.

        One that is stored already, and damaged, gets its files anew under the URI that it has, and keeps its names.

        Args:
            run: The id of the run that made it.
            folder: What `harness.serving.generator.save_model` wrote.
            card: All the rest.
        """

    def folder(self, uri: str) -> Path | None:
        """Return the folder that holds a stored model; ``None`` where a server keeps it.

        Raises:
            ModelError: What describes and serves it there is missing or not what was stored.
        """

    def size(self, uri: str) -> int:
        """Return the bytes of a stored model, 0 where they are on a server."""

    def drop(self, uri: str) -> int:
        """Remove a stored model; return the bytes freed."""

    def drop_unfinished(self) -> None:
        """Remove what a kill left of models, and of files of the study's runs, that were being stored."""


class StudyPages(Protocol):
    """What the store's own pages show of a study as a whole."""

    experiment: str
    """What the pages call the study in their addresses."""

    def shown(self, run: str) -> str:
        """Return the id by which the pages know a run."""

    def label(self, values: Mapping[str, str]) -> None:
        """Set tags of the study as a whole; a description that somebody has changed stays as it is."""


class Tracker(RunStore, Protocol):
    """A tracking store as one study uses it: its runs, and three more by name."""

    prompts: PromptRegistry
    models: ModelStore
    """The study's."""
    pages: StudyPages
