"""The commands about what a study left: its pages, its models at work, a run done again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.cli.options import (
    LOOPBACK,
    AllowPickle,
    Host,
    ModelName,
    OnError,
    Port,
    Token,
    TrustRemoteCode,
)
from harness.cli.terminal import out, tell
from harness.cli.until_signal import until_signal
from harness.cli.verbosity import watched
from harness.core.permissions import Permissions
from harness.core.workspace import HERE

__all__ = ["add_model_commands", "predict", "reproduce", "serve", "ui"]


def add_model_commands(app: typer.Typer) -> None:
    """Enter them."""
    app.command(epilog="Example: harness ui starter")(ui)
    app.command(epilog="Example: harness predict starter --input rows.jsonl --output answers.jsonl")(predict)
    app.command(epilog="Example: harness serve models:/starter@champion --port 8000")(serve)
    app.command(epilog="Example: harness reproduce 0f3a")(reproduce)


def ui(
    study: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="Open on this study.")] = None,
    port: Port = None,
) -> None:
    """Start the MLflow UI on the studies' store."""
    with until_signal(out):
        from harness.cli.mlflow_ui import serve_ui

        serve_ui(study, port=port, tell=tell)


def predict(
    model: ModelName,
    source: Annotated[
        Path,
        typer.Option("--input", help="Rows with the prompt's fields, maybe an id, in any format."),
    ],
    output: Annotated[Path, typer.Option("--output", help="Where answers go, a line each; what is there is kept.")],
    on_error: Annotated[
        OnError, typer.Option(metavar="{stop,skip}", help="A malformed row: stop there, or note it.")
    ] = OnError.STOP,
    encoding: Annotated[
        str | None, typer.Option(metavar="cp1251", help="Of the input's text; left out: found, and told.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(metavar="';'", help="Between the input's columns; left out: found, and told.")
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
    allow_pickle: AllowPickle = False,
) -> None:
    """Answer the rows of a file; the same command again goes on where it was stopped."""
    from harness.serving.find_model import stored_model
    from harness.serving.generator import Generator
    from harness.serving.predict import predict_file

    with watched(out) as progress:
        with stored_model(model) as folder:
            generator = Generator(folder, Permissions(trust_remote_code, allow_pickle))
        skip = on_error is OnError.SKIP
        reading = {"encoding": encoding, "delimiter": delimiter}
        tally = predict_file(generator, source, output, skip=skip, **reading, say=progress.say, stage=progress.stage)
    skipped = f", {tally.failed:,} malformed" if tally.failed else ""
    before = f", {tally.found:,} were there" if tally.found else ""
    out.print(f"{output}: {tally.answered:,} rows answered{skipped}{before}", soft_wrap=True)


def serve(
    model: ModelName,
    port: Port = None,
    host: Host = LOOPBACK,
    token: Token = None,
    trust_remote_code: TrustRemoteCode = False,
    allow_pickle: AllowPickle = False,
) -> None:
    """Serve a model over HTTP, until Ctrl-C."""
    with until_signal(out):
        from harness.serving.serve import serve_model

        allowed = Permissions(trust_remote_code, allow_pickle)
        serve_model(model, host=host, port=port, token=token, tell=tell, allowed=allowed)


def reproduce(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A final run's id, or how it begins.")],
    trust_remote_code: TrustRemoteCode = False,
    allow_pickle: AllowPickle = False,
) -> None:
    """Do a final run again from what the store holds: status 0 the same to the last bit, 1 different, 2 it cannot."""
    from harness.runner.reproduce import reproduce as do_again

    with watched(out) as progress:
        done = do_again(run, HERE, progress=progress, allowed=Permissions(trust_remote_code, allow_pickle))
    for changed in done.changed:
        out.print(f"changed: {changed}", style="yellow", soft_wrap=True)
    for different in done.differences:
        out.print(f"different: {different}", style="red", soft_wrap=True)
    count = len(done.compared)
    if done.differences:
        out.print(f"{done.run}: {len(done.differences)} of {count} results differ")
        raise typer.Exit(1)
    out.print(f"{done.run}: {count} results, weights among them, are the same to the last bit", style="green")
