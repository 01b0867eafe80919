"""Options that every command takes, before its name or behind it: ``--home``, ``-v``, ``-q``."""

from __future__ import annotations

import os
from copy import copy
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from harness.cli.verbosity import be_quiet, be_verbose
from harness.core.named_path import named_path
from harness.core.workspace import HOME, make_folder

__all__ = ["EVERYWHERE", "Everywhere", "Home", "Quiet", "Verbose"]

EVERYWHERE = ("home", "verbose", "quiet")
"""By the names of their parameters."""


class Everywhere(TyperGroup):
    """Commands that take the options of their group as well."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command with them; they act by themselves, and the command's function hears nothing of them."""
        command = super().get_command(ctx, cmd_name)
        if command is not None and not any(param.name in EVERYWHERE for param in command.params):
            for option in [copy(param) for param in self.params if param.name in EVERYWHERE]:
                option.expose_value = False
                command.params.append(option)
        return command


def _at_home(folder: Path | None) -> None:
    if folder is None:
        return
    place = named_path(folder)
    make_folder(place, HOME if Path(os.environ.get(HOME, "")) == folder else "--home")
    os.environ[HOME] = str(place)  # processes that this one starts read it there


def _verbosely(wanted: bool) -> None:
    if wanted:
        be_verbose()


def _quietly(wanted: bool) -> None:
    if wanted:
        be_quiet()


Home = Annotated[
    Path | None,
    typer.Option(
        envvar=HOME,
        callback=_at_home,
        metavar="DIR",
        help="Where .harness/, reports/ and the local stores go; made if it is not there. Left out: here.",
    ),
]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", callback=_verbosely, help="Say what is done, on standard error.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", callback=_quietly, help="Say nothing but errors and results.")]
