"""A study's way to its store: what a question waits for, and the ids by which both know a run."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import wraps
from types import MappingProxyType
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from harness.core.database_outage import Patience
from harness.tracking.schema import Tags
from harness.tracking.stored_run import Run

__all__ = ["DIRECT", "Link", "Linked", "PatientLink", "asked", "translate", "translate_values"]

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

ID = re.compile(r"\b[0-9a-f]{32}\b")
"""An id of a run, the server's or our own."""


def translate(text: str, ids: Mapping[str, str]) -> str:
    """Return a text in which runs go by other ids, where it names any.

    >>> translate("see 0123456789abcdef0123456789abcdef.", {"0123456789abcdef0123456789abcdef": "that one"})
    'see that one.'
    """
    return ID.sub(lambda match: ids.get(match[0], match[0]), text) if ids else text


def translate_values(values: Mapping[str, str], ids: Mapping[str, str]) -> dict[str, str]:
    """Return tags or params in which runs go by other ids."""
    return {key: translate(value, ids) for key, value in values.items()}


class Link:
    """A way to a store that is always there, and names runs itself.

    Args:
        servers: Ids of our own to the server's, of all runs that the server has; grows while records are delivered.
    """

    def __init__(self, servers: Mapping[str, str] = MappingProxyType({})) -> None:
        self.servers = servers
        self._started: set[str] = set()

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Return the store's answer; the question may be put several times."""
        return question()

    def new(self) -> str:
        """Return an id of our own for a run that is about to be started."""
        run = uuid.uuid4().hex
        self._started.add(run)
        return run

    def server(self, run: str) -> str:
        """Return the server's id of a run; it has one once all records are there."""
        return self.servers.get(run, run)

    def own(self) -> dict[str, str]:
        """Return the server's ids to our own, of runs that this process started; nobody else calls any so."""
        servers = dict(self.servers)
        return {servers[run]: run for run in self._started if run in servers}

    def to_own(self, runs: Iterable[Run]) -> list[Run]:
        """Return runs in which runs go by our own ids."""
        own, translated = self.own(), []
        for run in runs:
            tags = translate_values(run.tags, own)
            translated.append(replace(run, id=own.get(run.id, run.id), tags=tags, parent=tags.get(Tags.PARENT)))
        return translated


DIRECT = Link()
"""The way to a file."""


class PatientLink(Link):
    """A way to a database server that may go away for a while; see `harness.core.database_outage`.

    Args:
        tell: Hears what is waited for.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._patience = Patience(tell)

    def ask(self, question: Callable[[], Answer]) -> Answer:
        """Return the database's answer, however long it takes until it gives one."""
        return self._patience.ask(question)


class Linked(Protocol):
    """A part of a store, with the way to it."""

    link: Link


Part = TypeVar("Part", bound=Linked)


def asked(method: Callable[Concatenate[Part, Arguments], Answer]) -> Callable[Concatenate[Part, Arguments], Answer]:
    """Make a method a question to the store; see `Link.ask`."""

    @wraps(method)
    def question(self: Part, /, *args: Arguments.args, **options: Arguments.kwargs) -> Answer:
        return self.link.ask(lambda: method(self, *args, **options))

    return question
