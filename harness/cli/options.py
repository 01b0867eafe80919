"""Arguments and options that several commands have."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.core.permissions import PICKLE, REMOTE_CODE

__all__ = [
    "LOOPBACK",
    "AllowPickle",
    "AsJson",
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


class OnError(StrEnum):
    """What becomes of malformed rows."""

    STOP = "stop"
    SKIP = "skip"
