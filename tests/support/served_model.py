"""``harness serve`` as a process of its own, and plain sockets to ask it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["Said", "Served", "serving"]


class Said(NamedTuple):
    """What a server answers."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        """The body's JSON."""
        return json.loads(self.body)


class Served(NamedTuple):
    """A server that answers."""

    process: subprocess.Popen[str]
    port: int
    announced: str

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def send(self, sent: bytes) -> Said:
        """Send these bytes; return what is said until the server closes."""
        with closing(self.connect()) as client:
            client.sendall(sent)
            said = b"".join(iter(lambda: client.recv(65_536), b""))
        head, _, body = said.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return Said(int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body)

    def ask(self, body: bytes | Any, method: str = "POST", path: str = "/invocations", **headers: str | None) -> Said:
        """Send a request with usual headers; some replaced (``content_type="text/csv"``), or left out by ``None``."""
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        usual: dict[str, str | None] = {
            "host": f"127.0.0.1:{self.port}",
            "content_type": "application/json",
            "content_length": str(len(sent)),
        }
        lines = [
            f"{name.replace('_', '-')}: {value}" for name, value in {**usual, **headers}.items() if value is not None
        ]
        return self.send("\r\n".join([f"{method} {path} HTTP/1.1", *lines, "", ""]).encode("latin-1") + sent)


@contextmanager
def serving(model: Path, *options: str, env: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Serve a stored model; in the end kill the server, if it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from harness.cli.main import main; main()", "serve", str(model), *options],
        cwd=model.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        announced = process.stdout.readline()
        assert announced, process.stderr.read()
        yield Served(process, int(announced.rpartition(":")[2].partition("/")[0]), announced)
    finally:
        process.kill()
        process.communicate()
