"""Arguments and options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.core.permissions import PICKLE, REMOTE_CODE

if TYPE_CHECKING:
    from harness.runner.executors.crew import Workers

__all__ = [
    "LOOPBACK",
    "Address",
    "AllowPickle",
    "AsJson",
    "Devices",
    "ExecutorOption",
    "Host",
    "KnownStudy",
    "ModelName",
    "OnError",
    "Overrides",
    "Port",
    "StudyPath",
    "Token",
    "TrustRemoteCode",
    "Values",
    "WorkersOption",
    "workers_of",
]

LOOPBACK = "127.0.0.1"
"""The address of this machine that no other one reaches."""

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file, such as experiments/quickstart.yaml.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.SUB=VALUE", help="Override a key of the study file, prompts[0].text say."),
]
Values = Annotated[
    list[str] | None,
    typer.Argument(metavar="KEY=VALUE", help="The same without --set, such as search.trials=16."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs; its fields: docs/json.md of the source distribution.")
]
WorkersOption = Annotated[
    str | None,
    typer.Option("--workers", metavar="N", help="Processes that train side by side, or auto; results stay the same."),
]
Devices = Annotated[
    str, typer.Option(metavar="cuda:0,cuda:1", help="Those of the workers; left out: all that are there.")
]
ExecutorOption = Annotated[
    str, typer.Option("--executor", metavar="{local,ray}", help="Who trains: this machine, or those of a Ray cluster.")
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="auto", help="Of the Ray cluster, or ray://host:10001; left out: RAY_ADDRESS, else this machine."
    ),
]
KnownStudy = Annotated[
    str, typer.Argument(metavar="STUDY", help="A study file, or a study's or its experiment's name.")
]
ModelName = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="models:/name@champion, models:/m-..., a run's id, a study's name or folder."),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        envvar=REMOTE_CODE,
        help="Code that comes with the model, or that the store holds, may run.",
    ),
]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", envvar=PICKLE, help="Weights that are no safetensors may be read.")
]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Left out: a free one.")]
Host = Annotated[str, typer.Option(help="The address that is answered; 0.0.0.0: all of this machine's.")]
Token = Annotated[
    str | None,
    typer.Option(help="What callers must show; HARNESS_TOKEN in the environment is safer, as process lists show this."),
]


def workers_of(text: str | None) -> Workers | None:
    """Return the workers that a command line asks for."""
    if text == "auto":
        return "auto"
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()):
        raise typer.BadParameter(f"{text!r} is no number of workers; give one, or auto", param_hint="--workers")
    return int(text)


class OnError(StrEnum):
    """What becomes of malformed rows."""

    STOP = "stop"
    SKIP = "skip"
