"""The registered models of a tracking server, asked with patience, in our own ids of runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

from harness.tracking.run_ids import renamed, renamed_values
from harness.tracking.store_protocols import ModelRegistry, Run, Version

__all__ = ["RemoteRegistry"]

Answer = TypeVar("Answer")


class _Ask(Protocol):
    """Asks a server until it answers."""

    def __call__(self, question: Callable[[], Answer]) -> Answer:
        """Return the answer."""


class RemoteRegistry:
    """See `harness.tracking.store_protocols.ModelRegistry`.

    Args:
        registry: The server's.
        ask: Asks it, once it has all records.
        names: Our ids of runs to the server's.
        own: Returns the server's ids to our own.
    """

    def __init__(
        self, registry: ModelRegistry, *, ask: _Ask, names: Mapping[str, str], own: Callable[[], Mapping[str, str]]
    ) -> None:
        self._registry = registry
        self._ask = ask
        self._names = names
        self._own = own

    def aliased(self, name: str, alias: str) -> Version | None:
        """Return the version that an alias names, ``None`` where there is none."""
        found = self._ask(lambda: self._registry.aliased(name, alias))
        return self._version(found) if found else None

    def made_by(self, run: str, name: str | None = None) -> list[Version]:
        """Return the versions that a run made, of one registered model or of all."""
        found = self._ask(lambda: self._registry.made_by(self._server(run), name))
        return [self._version(version) for version in found]

    def register(self, name: str, run: str, uri: str) -> Version:
        """Make a stored model a version of a registered one; one whose answer was lost is found again."""

        def once() -> Version:
            there = [version for version in self._registry.made_by(self._server(run), name) if version.uri == uri]
            return there[0] if there else self._registry.register(name, self._server(run), uri)

        return self._version(self._ask(once))

    def describe(self, version: Version, text: str, tags: Mapping[str, str]) -> None:
        """Write a version's description and tags."""
        self._ask(
            lambda: self._registry.describe(version, renamed(text, self._names), renamed_values(tags, self._names))
        )

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set a version's tags, in their order."""
        self._ask(lambda: self._registry.tag(version, renamed_values(tags, self._names)))

    def point(self, alias: str, version: Version) -> None:
        """Give a version an alias, and take it from the version that had it."""
        self._ask(lambda: self._registry.point(alias, version))

    def forget(self, version: Version) -> None:
        """Delete a version."""
        self._ask(lambda: self._registry.forget(version))

    def siblings(self, run: str) -> list[Run]:
        """Return the finished final runs of the same cell and learning rate as a run, itself among them."""
        found, own = self._ask(lambda: self._registry.siblings(self._server(run))), self._own()
        return [replace(each, id=own.get(each.id, each.id), tags=renamed_values(each.tags, own)) for each in found]

    def _version(self, version: Version) -> Version:
        own = self._own()
        return version._replace(run=own.get(version.run, version.run), tags=renamed_values(version.tags, own))

    def _server(self, run: str) -> str:
        return self._names.get(run, run)
