"""The commands that tell a study what to do while it runs."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.cli.options import KnownStudy
from harness.cli.terminal import out

__all__ = ["add_control_commands", "more", "pause", "resume", "skip", "stop"]


def add_control_commands(app: typer.Typer) -> None:
    """Enter them."""
    app.command(epilog="Example: harness pause starter")(pause)
    app.command(epilog="Example: harness resume starter")(resume)
    app.command(epilog="Example: harness stop starter")(stop)
    app.command(epilog="Example: harness skip starter 'bare/*'")(skip)
    app.command(epilog="Example: harness more starter --trials 4")(more)


def pause(study: KnownStudy) -> None:
    """Have a study that is being run wait, until `harness resume`."""
    from harness.runner.give_orders import halt

    out.print(halt(study), soft_wrap=True)


def resume(study: KnownStudy) -> None:
    """Have a study that pauses go on."""
    from harness.runner import give_orders

    out.print(give_orders.resume(study), soft_wrap=True)


def stop(study: KnownStudy) -> None:
    """Have a study that is being run stop, wherever that is, as by Ctrl-C."""
    from harness.runner.give_orders import halt

    out.print(halt(study, stops=True), soft_wrap=True)


def skip(
    study: KnownStudy,
    cells: Annotated[str, typer.Argument(metavar="PATTERN", help="Cells such as 'bare/*'.")],
    undo: Annotated[bool, typer.Option("--undo", help="Take them in again, with the next run.")] = False,
) -> None:
    """Have a study leave cells out from now on; what they have stays."""
    from harness.runner.give_orders import leave_out

    out.print(leave_out(study, cells, undo=undo), soft_wrap=True)


def more(
    study: KnownStudy,
    trials: Annotated[int, typer.Option("--trials", metavar="N", help="Beyond what was given so far; -N takes back.")],
) -> None:
    """Have a study draw more trials in each cell than its file says."""
    from harness.runner.give_orders import draw_more

    out.print(draw_more(study, trials), soft_wrap=True)
