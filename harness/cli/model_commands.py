"""The commands around a model that a study stored: ``predict``, ``serve`` and ``reproduce``."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.core.workspace import HERE

__all__ = ["OnError", "predict", "reproduce", "serve"]

out = Console(width=None if sys.stdout.isatty() else 120, markup=False)

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="MODEL", help="models:/name@champion, models:/m-..., a run's id, a study's name, or a folder."
    ),
]


class OnError(StrEnum):
    """What becomes of malformed rows."""

    STOP = "stop"
    SKIP = "skip"


def predict(
    model: ModelName,
    source: Annotated[Path, typer.Option("--input", help="Rows as jsonl, with the prompt's fields and maybe an id.")],
    output: Annotated[Path, typer.Option("--output", help="Where answers go, a line each; what is there is kept.")],
    on_error: Annotated[OnError, typer.Option("--on-error", help="A malformed row: stop there, or note it.")] = (
        OnError.STOP
    ),
) -> None:
    """Answer the rows of a file; the same command again goes on where it was stopped."""
    from harness.cli.progress_display import LiveProgress, PlainProgress
    from harness.serving.find_model import stored_model
    from harness.serving.generator import Generator
    from harness.serving.predict import predict_file

    with (LiveProgress if out.is_terminal else PlainProgress)(out) as progress:
        with stored_model(model) as folder:
            generator = Generator(folder)
        tally = predict_file(generator, source, output, skip=on_error is OnError.SKIP, say=progress.say)
    skipped = f", {tally.failed:,} malformed" if tally.failed else ""
    before = f", {tally.found:,} were there" if tally.found else ""
    out.print(f"{output}: {tally.answered:,} rows answered{skipped}{before}", highlight=False, soft_wrap=True)


def serve(
    model: ModelName,
    port: Annotated[int | None, typer.Option(help="Left out: a free one.")] = None,
) -> None:
    """Serve a model over HTTP on this machine, until Ctrl-C."""
    from harness.serving.serve import serve_model

    serve_model(model, port=port, tell=lambda line: out.print(line, highlight=False, soft_wrap=True))


def reproduce(run: Annotated[str, typer.Argument(metavar="RUN", help="A final run's id, or how it begins.")]) -> None:
    """Do a final run again from what the store holds: status 0 the same to the last bit, 1 different, 2 it cannot."""
    from harness.cli.progress_display import LiveProgress, PlainProgress
    from harness.runner.reproduce import reproduce as do_again

    with (LiveProgress if out.is_terminal else PlainProgress)(out) as progress:
        done = do_again(run, HERE, progress=progress)
    for changed in done.changed:
        out.print(f"changed: {changed}", style="yellow", highlight=False, soft_wrap=True)
    for different in done.differences:
        out.print(f"different: {different}", style="red", highlight=False, soft_wrap=True)
    if done.differences:
        out.print(f"{done.run}: {len(done.differences)} of {len(done.compared)} results differ", highlight=False)
        raise typer.Exit(1)
    out.print(
        f"{done.run}: {len(done.compared)} results, weights among them, are the same to the last bit", style="green"
    )
