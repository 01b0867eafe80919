"""What may lie where a file belongs, and is none that a study can use."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path


def _socket(file: Path) -> None:
    here = os.open(".", os.O_RDONLY)
    os.chdir(file.parent)  # an address has a hundred characters
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(file.name)
    finally:
        os.fchdir(here)
        os.close(here)


def _link_to_pipe(file: Path) -> None:
    os.mkfifo(file.with_name("pipe"))
    file.symlink_to("pipe")


NO_FILES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": Path.mkdir,
    "a socket": _socket,
    "a link to itself": lambda file: file.symlink_to(file.name),
    "a link to a device": lambda file: file.symlink_to("/dev/zero"),
    "a link to a pipe": _link_to_pipe,
    "a link to nothing": lambda file: file.symlink_to("nowhere"),
    "nothing in it": lambda file: file.write_bytes(b""),
    "noise": lambda file: file.write_bytes(bytes(range(256)) * 64),
    "null bytes": lambda file: file.write_bytes(bytes(2**22)),
}
"""Each put at a path where nothing lies."""


def instead_of(file: Path, kind: str) -> None:
    """Put something in place of a file."""
    file.unlink()
    NO_FILES[kind](file)
