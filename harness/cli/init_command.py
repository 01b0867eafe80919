"""The command that writes a new study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.terminal import out

__all__ = ["add_init_command", "init"]


def add_init_command(app: typer.Typer) -> None:
    """Enter it."""
    app.command(epilog="Example: harness init demo --model HuggingFaceTB/SmolLM2-135M-Instruct")(init)


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write; made if it is not there.")] = Path(),
    model: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A Hub id or a local folder; one with a chat template gets a chat prompt."),
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="A study of this plain text instead, without prompts: a .txt file, or a folder with train.txt.",
        ),
    ] = None,
) -> None:
    """Write a starter study, a starter task and a little data, ready to run; with --text a study of a text of yours."""
    from harness.cli.new_study import write_starter, write_text_study

    for file in write_starter(folder, model) if text is None else write_text_study(folder, text, model):
        out.print(f"wrote {file}")
    where = "" if folder == Path() else f"cd {folder} && "
    out.print(f"next: {where}harness run study.yaml")
