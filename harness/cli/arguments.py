"""What commands take, as the command line shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["LOOPBACK", "Host", "KnownStudy", "ModelName", "Overrides", "Port", "StudyPath", "Token"]

StudyPath = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file, such as experiments/quickstart.yaml.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.SUB=VALUE", help="Override a key of the study file; repeatable."),
]
KnownStudy = Annotated[str, typer.Argument(metavar="STUDY", help="A study file, or a study's name.")]
ModelName = Annotated[
    str,
    typer.Argument(metavar="MODEL", help="models:/name@champion, models:/m-..., a run's id, a study's name or folder."),
]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="Left out: a free one.")]

LOOPBACK = "127.0.0.1"
"""The address of this machine that no other one reaches."""

Host = Annotated[str, typer.Option(help="The address that is answered; 0.0.0.0: all of this machine's.")]
Token = Annotated[
    str | None,
    typer.Option(help="What callers must show; HARNESS_TOKEN in the environment is safer, as process lists show this."),
]
