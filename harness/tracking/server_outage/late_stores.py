"""Prompts, models and pages of a tracking server, asked once it has all records, in our own ids of runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.data.tokenization import PromptForm
from harness.tracking.run_ids import RunIds, translate_values
from harness.tracking.server_outage.delivery import Delivery
from harness.tracking.store_protocols import (
    ModelCard,
    ModelRegistry,
    ModelStore,
    PromptRegistry,
    Registered,
    Run,
    StudyPages,
    Version,
)

__all__ = ["LateModels", "LatePages", "LatePrompts", "LateRegistry"]


class LatePrompts:
    """See `harness.tracking.store_protocols.PromptRegistry`."""

    def __init__(self, prompts: PromptRegistry, delivery: Delivery) -> None:
        self._prompts, self._ask = prompts, delivery.ask

    def register(self, prompt: PromptForm, *, task: str, study: str) -> Registered:
        """Return the version that holds a prompt's text and contract, registered where there is none."""
        return self._ask(lambda: self._prompts.register(prompt, task=task, study=study))

    def find(self, uri: str) -> Registered:
        """Return the version that an address stands for now."""
        return self._ask(lambda: self._prompts.find(uri))

    def alias(self, prompt: Registered, alias: str) -> None:
        """Give a version an alias, and take it from the version that had it."""
        self._ask(lambda: self._prompts.alias(prompt, alias))


class LatePages:
    """See `harness.tracking.store_protocols.StudyPages`."""

    def __init__(self, pages: StudyPages, delivery: Delivery, ids: RunIds) -> None:
        self.experiment = pages.experiment
        self._pages, self._ask, self._ids = pages, delivery.ask, ids

    def shown(self, run: str) -> str:
        """Return the id by which the pages know a run."""
        return self._ask(lambda: self._ids.server(run))

    def label(self, values: Mapping[str, str]) -> None:
        """Set tags of the study as a whole."""
        self._ask(lambda: self._pages.label(self._ids.to_server(values)))


class LateModels:
    """See `harness.tracking.store_protocols.ModelStore`."""

    def __init__(self, models: ModelStore, delivery: Delivery, ids: RunIds) -> None:
        self.registry = LateRegistry(models.registry, delivery, ids)
        self._models, self._ask, self._ids = models, delivery.ask, ids

    def stored(self) -> dict[str, str]:
        """Return the stored models: run id to model URI; one that a kill left unfinished is none."""
        stored = self._ask(self._models.stored)
        own = self._ids.own()
        return {own.get(run, run): uri for run, uri in stored.items()}

    def store(self, run: str, folder: Path, card: ModelCard) -> str:
        """Store a model that generates text, made by a run, from its files; its scores are the run's."""

        def once() -> str:
            return self._models.store(self._ids.server(run), folder, card._replace(tags=self._ids.to_server(card.tags)))

        return self._ask(once)

    def drop(self, uri: str) -> int:
        """Remove a stored model; return the bytes freed."""
        return self._ask(lambda: self._models.drop(uri))


class LateRegistry:
    """See `harness.tracking.store_protocols.ModelRegistry`."""

    def __init__(self, registry: ModelRegistry, delivery: Delivery, ids: RunIds) -> None:
        self._registry, self._ask, self._ids = registry, delivery.ask, ids

    def aliased(self, name: str, alias: str) -> Version | None:
        """Return the version that an alias names, ``None`` where there is none."""
        version = self._ask(lambda: self._registry.aliased(name, alias))
        return self._own(version) if version else None

    def made_by(self, run: str, name: str | None = None) -> list[Version]:
        """Return the versions that a run made, of one registered model or of all."""
        versions = self._ask(lambda: self._registry.made_by(self._ids.server(run), name))
        return [self._own(version) for version in versions]

    def register(self, name: str, run: str, uri: str) -> Version:
        """Make a stored model a version of a registered one; one whose answer was lost is found again."""

        def once() -> Version:
            maker = self._ids.server(run)
            there = [version for version in self._registry.made_by(maker, name) if version.uri == uri]
            return there[0] if there else self._registry.register(name, maker, uri)

        return self._own(self._ask(once))

    def describe(self, version: Version, text: str, tags: Mapping[str, str]) -> None:
        """Write a version's description and tags."""
        self._ask(lambda: self._registry.describe(version, self._ids.text_to_server(text), self._ids.to_server(tags)))

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set a version's tags, in their order."""
        self._ask(lambda: self._registry.tag(version, self._ids.to_server(tags)))

    def point(self, alias: str, version: Version) -> None:
        """Give a version an alias, and take it from the version that had it."""
        self._ask(lambda: self._registry.point(alias, version))

    def forget(self, version: Version) -> None:
        """Delete a version."""
        self._ask(lambda: self._registry.forget(version))

    def siblings(self, run: str) -> list[Run]:
        """Return the finished final runs of the same cell and learning rate as a run, itself among them."""
        return self._ids.to_own(self._ask(lambda: self._registry.siblings(self._ids.server(run))))

    def _own(self, version: Version) -> Version:
        own = self._ids.own()
        return version._replace(run=own.get(version.run, version.run), tags=translate_values(version.tags, own))
