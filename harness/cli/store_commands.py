"""The commands that only look: at the studies of a store, at how far one is, at what a study file may say."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live

from harness.cli.options import AsJson, KnownStudy
from harness.cli.terminal import Terminal, write_out
from harness.core import interrupts
from harness.core.plain_json import json_line, json_text, plain

if TYPE_CHECKING:
    from harness.results.study_status import StudyStatus

__all__ = ["add_store_commands", "list_studies", "print_json", "schema", "status"]

BETWEEN = 2.0
"""Seconds between two looks at the store."""

PATIENCE = 30.0
"""Seconds for which a study is watched that no process has begun to run."""

NOBODY = "no process runs it: it was stopped or killed, and running it again goes on where it was"


def add_store_commands(app: typer.Typer) -> None:
    """Enter them."""
    app.command("list", epilog="Example: harness list --json")(list_studies)
    app.command(epilog="Example: harness status quickstart --watch")(status)
    app.command(epilog="Example: harness schema > study.schema.json")(schema)


def print_json(value: object) -> None:
    """Print a value for programs, and nothing of a terminal's."""
    write_out(json_text(value) + "\n")


def list_studies(as_json: AsJson = False) -> None:
    """List the studies of the store, the one worked on last first: how far they are, and which cell is best."""
    from harness.cli.status_tables import list_table
    from harness.core.passwords import masked
    from harness.runner.look_up import all_statuses
    from harness.tracking.address import store_uri

    studies = all_statuses()
    if as_json:
        print_json([{**_facts(study), "cells": len(study.cells)} for study in studies])
        return
    uri = store_uri()
    out = Terminal(width=None if sys.stdout.isatty() else 160)
    out.print(list_table(studies) if studies else f"store {masked(uri, uri)} has no studies", soft_wrap=not studies)


def status(
    study: KnownStudy,
    watch: Annotated[
        bool, typer.Option("--watch", help="Look again until it is finished, or its process gone.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell how far a study is, cell by cell, and whether a process works on it, from what the store holds."""
    from harness.runner.look_up import status_of

    look = status_of(study)
    out = Terminal(width=None if sys.stdout.isatty() else 120)
    if watch and out.is_terminal and not as_json:
        now = _redraw(look, out)
    else:
        for now in _until_over(look) if watch else [look()]:
            if not (write_out(json_line(_facts(now)) + "\n") if as_json else _printed(now, out)):
                return  # nobody reads on
    if watch and not as_json and now.state != "finished":
        out.print(f"{now.study}: {NOBODY}", soft_wrap=True)


def schema() -> None:
    """Print the JSON schema of study files, for editors: every key with what it is."""
    from harness.study.json_schema import study_schema

    print_json(study_schema())


def _facts(study: StudyStatus) -> dict[str, object]:
    facts: dict[str, object] = plain(study)
    cells = [{**plain(cell), "done": cell.is_done} for cell in study.cells]
    return {**facts, "cells_done": study.cells_done, "cells": cells}


def _printed(study: StudyStatus, out: Terminal) -> bool:
    """Print how far a study is; return whether somebody reads it."""
    for part in _parts(study):
        out.print(part, soft_wrap=isinstance(part, str))
    return out.is_read


def _parts(study: StudyStatus) -> list[RenderableType]:
    from harness.cli.status_tables import status_tables

    return list(status_tables(study))


def _until_over(look: Callable[[], StudyStatus]) -> Iterator[StudyStatus]:
    """Yield what the store says whenever that has changed, until the study is finished or its process is gone."""
    before, was_run, began = None, False, time.monotonic()
    while True:
        now = look()
        if now != before:
            yield now
        before, was_run = now, was_run or now.state == "running"
        is_over = now.state == "finished" or was_run or time.monotonic() - began > PATIENCE
        if is_over and now.state != "running":
            return
        with interrupts.at_once():
            time.sleep(BETWEEN)


def _redraw(look: Callable[[], StudyStatus], out: Terminal) -> StudyStatus:
    """Draw a study's cells anew where they stand, and return what was drawn last."""
    with Live(console=out, auto_refresh=False) as live:
        for now in _until_over(look):
            live.update(Group(*_parts(now)), refresh=True)
    return now
